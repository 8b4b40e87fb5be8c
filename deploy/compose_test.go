package deploy

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// TestComposeCommands asks the binary about the options and the environment of every service in docker-compose.yml. It says
// nothing of what a Docker engine makes of the file.
func TestComposeCommands(t *testing.T) {
	b, err := os.ReadFile("../docker-compose.yml")
	require.NoError(t, err)
	var file struct {
		Services map[string]struct {
			Image       string
			Command     []string
			Environment map[string]string
			DependsOn   map[string]any `yaml:"depends_on"`
		}
		Volumes map[string]any
	}
	require.NoError(t, yaml.Unmarshal(b, &file))
	binary := build(t)
	ours := 0
	for name, s := range file.Services {
		for other := range s.DependsOn {
			require.Contains(t, file.Services, other, "%s depends on it", name)
		}
		if s.Image != "kubescribe:dev" {
			continue
		}
		ours++
		args := append(s.Command, "--check-config")
		for i := range args {
			args[i] = strings.Replace(args[i], "/recordings", "../testdata/recordings", 1)
		}
		check := exec.Command(binary, args...)
		for key, value := range s.Environment {
			check.Env = append(check.Env, key+"="+strings.ReplaceAll(value, "${CLUSTER:-demo}", "demo"))
		}
		out, err := check.CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
	}
	require.Equal(t, 7, ours)
}

// build makes the binary that is asked.
func build(t *testing.T) string {
	t.Helper()
	binary := t.TempDir() + "/kubescribe"
	out, err := exec.Command("go", "build", "-o", binary, "kubescribe/cmd/kubescribe").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}
