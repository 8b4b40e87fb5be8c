package stack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissingToolsAreNamedWithTheirCommands(t *testing.T) {
	t.Setenv("STACK_CACHE", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", t.TempDir())
	err := Prepare(t.Context())
	require.ErrorContains(t, err, "Java is missing")
	require.ErrorContains(t, err, "apt-get install openjdk-17-jdk-headless")
	require.ErrorContains(t, err, "apt-get install maven")
	require.ErrorContains(t, err, "the go command is missing")

	require.ErrorContains(t, MissingTools("zookeeper"), `unknown part "zookeeper": choose from kafka, elasticsearch, kubernetes, alertmanager`)
}

func TestAnOldJavaIsNamed(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "bin")
	require.NoError(t, writeFile(filepath.Join(bin, "java"), []byte("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n"), 0o755))
	t.Setenv("JAVA_HOME", filepath.Dir(bin))
	_, err := findJava()
	require.ErrorContains(t, err, "Java 17 or newer is missing ("+bin+"/java is 11")
}

// The versions are stated in Go and pinned in poms and a module: they must be the same.
func TestVersionsAgreeWithWhatIsPinned(t *testing.T) {
	require.Contains(t, string(kafkaPOM), "<version>"+KafkaVersion+"</version>")
	require.Contains(t, string(elasticsearchPOM), "<elasticsearch.version>"+ElasticsearchVersion+"</elasticsearch.version>")
	mod, err := os.ReadFile("kubernetes/tools/go.mod")
	require.NoError(t, err)
	for path, version := range map[string]string{
		"k8s.io/kubernetes": KubernetesVersion, "go.etcd.io/etcd/server/v3": etcdVersion, "sigs.k8s.io/kwok": kwokVersion,
	} {
		require.Contains(t, string(mod), "\t"+path+" "+version+"\n")
	}
	mod, err = os.ReadFile("alertmanager/tools/go.mod")
	require.NoError(t, err)
	require.Contains(t, string(mod), " "+alertmanagerModule+" "+AlertmanagerVersion+"\n")
	tools, err := os.ReadFile("kubernetes/tools/tools.go")
	require.NoError(t, err)
	for _, program := range kubernetesPrograms {
		require.Contains(t, string(tools), `"`+program.pkg+`"`)
	}
}

func TestToolsEndWithTheContextAndTellTheirOutput(t *testing.T) {
	err := runTool(t.Context(), t.TempDir(), []string{"WORD=why"}, "/bin/sh", "-c", "echo $WORD; exit 3")
	require.ErrorContains(t, err, "running sh: exit status 3\nwhy")
	_, err = exec.LookPath("sleep")
	require.NoError(t, err)
	err = runTool(testContext(t, 1e8), t.TempDir(), nil, "/bin/sh", "-c", "sleep 1000 & wait")
	require.Error(t, err)
	require.True(t, strings.Contains(err.Error(), "killed"), err)
}
