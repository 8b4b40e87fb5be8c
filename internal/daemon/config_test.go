package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/stream"
)

type testReceiver struct {
	Name string `koanf:"name"`
	URL  string `koanf:"url" secret:"true"`
}

type testSection struct {
	ListenAddr string                   `koanf:"listen_addr"`
	Workers    int                      `koanf:"workers"`
	Every      time.Duration            `koanf:"every"`
	On         bool                     `koanf:"on"`
	Keep       map[string]time.Duration `koanf:"keep"`
	Receivers  []testReceiver           `koanf:"receivers"`
	Ready      func(string)
	Hidden     string `koanf:"-"`
}

type testConfig struct {
	Cluster string        `koanf:"cluster"`
	Kafka   stream.Config `koanf:"kafka"`
	Thing   testSection   `koanf:"thing"`
}

func testDefaults() *testConfig {
	return &testConfig{Kafka: stream.Default(), Thing: testSection{
		Workers: 2, Every: time.Minute, Hidden: "kept", Keep: map[string]time.Duration{"warning": 90 * time.Hour, "normal": time.Hour},
		Receivers: []testReceiver{{Name: "default", URL: "http://default"}},
	}}
}

func loadYAML(t *testing.T, yaml string, environ []string, flags map[string]string) (*testConfig, string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	c := testDefaults()
	err := Load(c, Sources{File: file, Environ: environ, Flags: flags})
	return c, file, err
}

func TestLoadOrder(t *testing.T) {
	c, _, err := loadYAML(t, `
cluster: from-file
kafka:
  brokers: [a:1, b:2]
  tls:
thing:
  listen_addr: file
  workers: 3
  every: 90s
`, []string{"PATH=/bin", "KUBESCRIBE_THING_LISTEN_ADDR=env", "KUBESCRIBE_THING_WORKERS=4", "KUBESCRIBE_THING_ON=true"},
		map[string]string{"thing.workers": "5"})
	require.NoError(t, err)
	assert.Equal(t, "from-file", c.Cluster)
	assert.Equal(t, []string{"a:1", "b:2"}, c.Kafka.Brokers, "a list replaces the default list")
	assert.Equal(t, "kubescribe.", c.Kafka.TopicPrefix, "what nobody sets keeps its default")
	assert.Equal(t, "env", c.Thing.ListenAddr)
	assert.Equal(t, 5, c.Thing.Workers)
	assert.Equal(t, 90*time.Second, c.Thing.Every)
	assert.True(t, c.Thing.On)
	assert.Equal(t, "kept", c.Thing.Hidden, "fields that are no keys are left alone")
}

func TestLoadNothing(t *testing.T) {
	for _, yaml := range []string{"", "\n", "# only a comment\n", "thing:\n", "thing: {}\n", "kafka:\n  brokers:\n"} {
		c, _, err := loadYAML(t, yaml, nil, nil)
		require.NoError(t, err, yaml)
		assert.Equal(t, testDefaults().Kafka, c.Kafka, "%q changes nothing", yaml)
		assert.Equal(t, testDefaults().Thing.Keep, c.Thing.Keep)
	}
}

func TestLoadLists(t *testing.T) {
	c, _, err := loadYAML(t, "thing:\n  receivers:\n  - name: a.b\n  keep:\n    my.class: 2h\n    normal: 3h\n",
		[]string{"KUBESCRIBE_KAFKA_BROKERS=x:1, y:2,"}, nil)
	require.NoError(t, err)
	assert.Equal(t, []testReceiver{{Name: "a.b"}}, c.Thing.Receivers, "elements are not mixed with default elements")
	assert.Equal(t, map[string]time.Duration{"warning": 90 * time.Hour, "normal": 3 * time.Hour, "my.class": 2 * time.Hour}, c.Thing.Keep, "a map is laid over the default by key")
	assert.Equal(t, []string{"x:1", "y:2"}, c.Kafka.Brokers)
}

// All problems of all sources come at once, each with its place and, where one is near, a suggestion.
func TestLoadReportsEverything(t *testing.T) {
	_, file, err := loadYAML(t, `
clutser: a
kafka:
  broker: x
  tls: 5
  client_id: 42
thing:
  every: 5
  workers: many
  listen: x
  receivers:
  - nmae: x
  keep: {normal: 3d}
topic_prefix: x
thing:
  on: true
`, []string{"KUBESCRIBE_KAFKA_BROKER=x", "KUBESCRIBE_THING_WORKERS=1.5", "KUBESCRIBE_ZZZ=1", "KUBESCRIBE_THING_EVERY="}, map[string]string{"thing.on": "maybe"})
	require.Error(t, err)
	assert.Equal(t, ExitUsage, Exit(err))
	got := strings.ReplaceAll(err.Error(), file, "FILE")
	for _, want := range []string{
		"FILE:2: unknown key clutser: did you mean cluster?",
		"FILE:4: unknown key kafka.broker: did you mean kafka.brokers?",
		"FILE:5: kafka.tls: want a section (keys with values)",
		"FILE:6: kafka.client_id: want a string (quote it), got a whole number",
		"FILE:8: thing.every: 5 is no duration: write it with a unit, such as 30s, 5m or 12h",
		"FILE:9: thing.workers: want a whole number, got a string (quote it)",
		"FILE:10: unknown key thing.listen",
		"FILE:12: unknown key thing.receivers[].nmae: did you mean thing.receivers[].name?",
		`FILE:13: thing.keep: [normal]: "3d" is no duration: write it with a unit, such as 30s, 5m or 12h`,
		"FILE:14: unknown key topic_prefix: did you mean kafka.topic_prefix?",
		"FILE:15: thing: is set in line 7 already",
		"environment: unknown variable KUBESCRIBE_KAFKA_BROKER: did you mean KUBESCRIBE_KAFKA_BROKERS?",
		"environment: KUBESCRIBE_THING_WORKERS: ",
		"environment: unknown variable KUBESCRIBE_ZZZ",
		"environment: KUBESCRIBE_THING_EVERY: is empty: want a duration",
		"flag for thing.on: ",
	} {
		assert.Contains(t, got, want)
	}
	assert.Equal(t, 16, strings.Count(got, "\n")+1, "one line for each problem:\n%s", got)
}

func TestLoadBrokenFile(t *testing.T) {
	for yaml, want := range map[string]string{
		"a: [":               "c.yaml",
		"- a\n":              "the file: want a section",
		"cluster: a\n---\nb": "more than one document",
	} {
		_, _, err := loadYAML(t, yaml, nil, nil)
		assert.ErrorContains(t, err, want, yaml)
	}
	err := Load(testDefaults(), Sources{File: "/does/not/exist.yaml"})
	assert.ErrorContains(t, err, "opening the configuration: open /does/not/exist.yaml")
}

// Kubernetes injects variables for every Service of the namespace: one called kubescribe must not stop our pods.
func TestLoadIgnoresServiceLinks(t *testing.T) {
	_, _, err := loadYAML(t, "", []string{
		"KUBESCRIBE_SERVICE_HOST=10.0.0.1", "KUBESCRIBE_SERVICE_PORT=80", "KUBESCRIBE_SERVICE_PORT_HTTP=80",
		"KUBESCRIBE_PORT=tcp://10.0.0.1:80", "KUBESCRIBE_PORT_80_TCP=tcp://10.0.0.1:80", "KUBESCRIBE_PORT_80_TCP_ADDR=10.0.0.1",
		"KUBESCRIBE_EXPLORER_SERVICE_HOST=10.0.0.1", "KUBESCRIBE_EXPLORER_PORT=tcp://10.0.0.1:80", "KUBESCRIBE_CACHE=/tmp/x",
	}, nil)
	assert.NoError(t, err)
	_, _, err = loadYAML(t, "", []string{"KUBESCRIBE_HTTP_PORT=80"}, nil)
	assert.ErrorContains(t, err, "KUBESCRIBE_HTTP_PORT")
}

func TestSecretsStaySecret(t *testing.T) {
	c, _, err := loadYAML(t, "kafka: {sasl: {password: hunter2}}\nthing: {receivers: [{name: a, url: http://x/hunter2}], listen_addr: 'https://user:hunter2@h/p'}\n", nil, nil)
	require.NoError(t, err)
	assert.Equal(t, "hunter2", string(c.Kafka.SASL.Password))
	var out strings.Builder
	require.NoError(t, Print(&out, c))
	assert.NotContains(t, out.String(), "hunter2")
	assert.Contains(t, out.String(), "password: <redacted>")
	assert.Contains(t, out.String(), "user:xxxxx@h")

	_, _, err = loadYAML(t, "kafka: {sasl: {password: [hunter2]}}\n", nil, nil)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

// What Print writes, Load reads.
func TestPrintRoundTrip(t *testing.T) {
	want := testDefaults()
	want.Cluster = "yes" // a string that looks like a boolean
	var out strings.Builder
	require.NoError(t, Print(&out, want))
	got, _, err := loadYAML(t, out.String(), nil, nil)
	require.NoError(t, err, out.String())
	want.Thing.Receivers[0].URL = redacted
	assert.Equal(t, want, got)
	assert.Contains(t, out.String(), "every: 1m\n")
}

func TestKeys(t *testing.T) {
	byPath := map[string]Key{}
	for _, k := range Keys(testDefaults()) {
		byPath[k.Path] = k
	}
	assert.Equal(t, "KUBESCRIBE_KAFKA_TLS_CA_FILE", byPath["kafka.tls.ca_file"].Env)
	assert.True(t, byPath["kafka.sasl.password"].Secret)
	assert.True(t, byPath["thing.receivers[].url"].Secret)
	assert.Empty(t, byPath["thing.receivers[].url"].Env)
	assert.NotContains(t, byPath, "thing.hidden")
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "1h", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", 20 * time.Hour: "20h", 0: "0s", 70 * time.Minute: "1h10m",
	} {
		assert.Equal(t, want, shortDuration(d))
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("cluster: a\nkafka: {brokers: [x]}\n")
	f.Add("thing: &a {on: true}\nkafka: *a\n")
	f.Add("? [a]\n: b\n<<: {a: b}\n")
	f.Fuzz(func(t *testing.T, yaml string) {
		file := filepath.Join(t.TempDir(), "c.yaml")
		require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
		if err := Load(testDefaults(), Sources{File: file}); err != nil {
			assert.Equal(t, ExitUsage, Exit(err))
		}
	})
}
