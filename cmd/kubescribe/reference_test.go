package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/daemon"
	"kubescribe/internal/daemon/configdoc"
)

//go:generate go test . -run ^TestConfigReference$ -update

var update = flag.Bool("update", false, "write generated files")

// docs/reference/config.md says what the source says.
func TestConfigReference(t *testing.T) {
	root := repoRoot(t)
	page, err := configdoc.Reference(defaultConfig(), root, "kubescribe")
	require.NoError(t, err)
	file := filepath.Join(root, "docs", "reference", "config.md")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(page), 0o644))
		return
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, page, string(got), "run make generate")
}

// Every key can be told from every other by its variable, and none of ours is taken for one of Kubernetes'.
func TestEnvironmentNames(t *testing.T) {
	keys := map[string]string{}
	for _, k := range daemon.Keys(defaultConfig()) {
		if k.Env == "" {
			continue
		}
		assert.Empty(t, keys[k.Env], "%s and %s share %s", k.Path, keys[k.Env], k.Env)
		keys[k.Env] = k.Path
	}
	assert.Greater(t, len(keys), 50)
}

// The defaults are valid, but for what only a person can know.
func TestDefaultsAreValid(t *testing.T) {
	c := defaultConfig()
	for name, err := range map[string]error{
		"process": c.process().Validate(), "kafka": c.Kafka.Validate(), "topics": c.Topics.Validate(), "elasticsearch": c.Elasticsearch.Validate(),
		"producer": c.Producer.Validate(), "enricher": c.Enricher.Validate(), "indexer": c.Indexer.Validate(), "sqlite": c.SQLite.Validate(),
		"alerter": c.Alerter.Validate(), "explorer": c.Explorer.Validate(),
	} {
		assert.NoError(t, err, name)
	}
	assert.ErrorContains(t, c.validateCluster(), "KUBESCRIBE_CLUSTER")
}

// What the problems of the sections name is a key of the configuration.
func TestProblemsNameKeys(t *testing.T) {
	c := &config{}
	for section, err := range map[string]error{
		"kafka": c.Kafka.Validate(), "elasticsearch": c.Elasticsearch.Validate(), "producer": c.Producer.Validate(),
		"enricher": c.Enricher.Validate(), "indexer": c.Indexer.Validate(), "alerter": c.Alerter.Validate(), "explorer": c.Explorer.Validate(),
	} {
		require.Error(t, err, section)
		for line := range strings.SplitSeq(err.Error(), "\n") {
			assert.True(t, strings.HasPrefix(line, section+"."), "%q", line)
		}
	}
}
