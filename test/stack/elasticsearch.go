package stack

import (
	"archive/zip"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ElasticsearchVersion is the version of the node.
const ElasticsearchVersion = "8.19.21"

//go:embed elasticsearch/pom.xml
var elasticsearchPOM []byte

//go:embed elasticsearch/*.java
var elasticsearchSources embed.FS

// Elasticsearch is one real node on a loopback port, without security. Its lifecycle runner is the stack's own, not stock ILM, and
// it looks every second. Its methods may not be called at the same time.
type Elasticsearch struct {
	URL string // http://127.0.0.1:port
	Dir string // absolute; home/data, home/config, log/elasticsearch.log and elasticsearch.pid
	PID int    // of the present incarnation

	heap     int // MiB
	settings map[string]string
	training []string // JVM flags of the start that makes elasticsearchWarm
	server   process
}

// An ElasticsearchOption changes how StartElasticsearch starts a node.
type ElasticsearchOption interface{ applyElasticsearch(*Elasticsearch) }

type elasticsearchSetting struct{ key, value string }

func (s elasticsearchSetting) applyElasticsearch(e *Elasticsearch) { e.settings[s.key] = s.value }

// WithElasticsearchSetting sets a node setting over the stack's own, as in elasticsearch.yml: `indexing_pressure.memory.limit` at
// "2mb" makes the node answer 429.
func WithElasticsearchSetting(key, value string) ElasticsearchOption {
	return elasticsearchSetting{key, value}
}

// StartElasticsearch starts a node on dir, which is created if need be, and returns when its primary shards serve. A start on the
// dir of an earlier node brings back its data on its ports. The caller stops the node.
func StartElasticsearch(ctx context.Context, dir string, opts ...ElasticsearchOption) (*Elasticsearch, error) {
	e, err := newElasticsearch(dir)
	if err != nil {
		return nil, err
	}
	if err := Prepare(ctx, PartElasticsearch); err != nil {
		return nil, err
	}
	err = exclusively(ctx, e.Dir, func() error {
		if err := e.server.requireStopped(); err != nil {
			return err
		}
		for _, opt := range opts {
			opt.applyElasticsearch(e)
		}
		return settle(e.Dir, elasticsearchPorts, func(ports map[string]int) error { return e.start(ctx, ports) })
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// OpenElasticsearch finds a node that another process started on dir. It returns an error if none runs there.
func OpenElasticsearch(dir string) (*Elasticsearch, error) {
	e, err := newElasticsearch(dir)
	if err != nil {
		return nil, err
	}
	ports, err := loadPorts(e.Dir, elasticsearchPorts...)
	if err != nil {
		return nil, err
	}
	if err := e.server.open(); err != nil {
		return nil, err
	}
	if ports == nil || !e.server.running() {
		return nil, fmt.Errorf("no elasticsearch runs on %s", e.Dir)
	}
	e.PID, e.URL = e.server.pid, "http://"+loopback(ports["http"])
	return e, nil
}

// Kill sends SIGKILL and waits until the node is gone.
func (e *Elasticsearch) Kill() error { return e.server.kill() }

// Restart starts a node that was killed or stopped as it was started before, on its own ports and data, and returns when its
// primary shards serve.
func (e *Elasticsearch) Restart(ctx context.Context) error { return e.serve(ctx) }

// Stop shuts the node down cleanly; after 20 seconds it kills it. It returns when the node is gone.
func (e *Elasticsearch) Stop() error { return e.server.stop(20 * time.Second) }

// Log returns the last n lines of the node's log.
func (e *Elasticsearch) Log(n int) string { return e.server.tail(n) }

var elasticsearchPorts = []string{"http", "transport"}

func elasticsearchJars() artifact {
	return artifact{
		name: "elasticsearch-" + ElasticsearchVersion, key: hashOf(elasticsearchPOM),
		make: func(ctx context.Context, tmp string) error {
			return fetchJars(ctx, "Elasticsearch "+ElasticsearchVersion, elasticsearchPOM, tmp)
		},
	}
}

// elasticsearchNode holds the compiled launcher and plugin. The source's hash is in the folder's name, so that two checkouts with
// different sources do not take turns in replacing each other's.
func elasticsearchNode() artifact {
	contents := [][]byte{elasticsearchPOM}
	sources, err := fs.Glob(elasticsearchSources, "elasticsearch/*.java")
	for _, source := range sources {
		text, readErr := elasticsearchSources.ReadFile(source)
		err = errors.Join(err, readErr)
		contents = append(contents, text)
	}
	key := hashOf(contents...)
	return artifact{name: "elasticsearch-node-" + key, key: key, make: func(ctx context.Context, tmp string) error {
		if err != nil { // of an embedded file system: a broken build
			return err
		}
		return compileNode(ctx, sources, contents[1:], tmp)
	}}
}

func compileNode(ctx context.Context, sources []string, texts [][]byte, dir string) error {
	defer reportStep("compiling the Elasticsearch test node")()
	javac, err := findInJDK("javac")
	if err != nil {
		return err
	}
	jars, err := elasticsearchJars().dir()
	if err != nil {
		return err
	}
	args := []string{
		"-proc:none", "-nowarn", "--release", "17", "-cp", filepath.Join(jars, "lib", "*"), "-d", filepath.Join(dir, "classes"),
	}
	for i, source := range sources {
		path := filepath.Join(dir, "src", filepath.Base(source))
		if err := writeFile(path, texts[i], 0o644); err != nil {
			return err
		}
		args = append(args, path)
	}
	if err := runTool(ctx, dir, nil, javac, args...); err != nil {
		return err
	}
	return packJar(filepath.Join(dir, "classes"), filepath.Join(dir, "node.jar"))
}

// packJar packs a folder of classes: a JVM's class archive takes in jars only.
func packJar(classes, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("packing %s: %w", path, err)
	}
	z := zip.NewWriter(f)
	if err := errors.Join(z.AddFS(os.DirFS(classes)), z.Close(), f.Close()); err != nil {
		return fmt.Errorf("packing %s: %w", path, err)
	}
	return nil
}

// elasticsearchWarm holds the node's class archive.
func elasticsearchWarm(java jvm) artifact {
	key := hashOf([]byte(elasticsearchNode().key), []byte(java.build))
	return artifact{name: "elasticsearch-warm-" + key, key: key, make: func(ctx context.Context, tmp string) error {
		defer reportStep("starting Elasticsearch once, to keep its classes")()
		run := filepath.Join(tmp, "run")
		e, err := newElasticsearch(run)
		if err != nil {
			return err
		}
		e.training = writeArchive(tmp)
		if err := settle(run, elasticsearchPorts, func(ports map[string]int) error { return e.start(ctx, ports) }); err != nil {
			return err
		}
		return finishTraining(&e.server, tmp, run)
	}}
}

func prepareElasticsearch(ctx context.Context) error {
	java, err := findJava()
	if err != nil {
		return err
	}
	for _, a := range []artifact{elasticsearchJars(), elasticsearchNode(), elasticsearchWarm(java)} {
		if _, err := a.ensure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func newElasticsearch(dir string) (*Elasticsearch, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("starting elasticsearch: %w", err)
	}
	return &Elasticsearch{
		Dir: dir, heap: 768, settings: map[string]string{}, server: process{name: "elasticsearch", dir: dir},
	}, nil
}

// start configures the node for these ports and runs it.
func (e *Elasticsearch) start(ctx context.Context, ports map[string]int) error {
	java, err := findJava()
	if err != nil {
		return err
	}
	jars, err := elasticsearchJars().dir()
	if err != nil {
		return err
	}
	node, err := elasticsearchNode().dir()
	if err != nil {
		return err
	}
	archive := e.training
	if archive == nil {
		warm, err := elasticsearchWarm(java).dir()
		if err != nil {
			return err
		}
		archive = useArchive(warm)
	}
	home := filepath.Join(e.Dir, "home")
	log4j := filepath.Join(home, "config", "log4j2.properties")
	if err := writeFile(log4j, log4j2, 0o644); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(home, "config", "elasticsearch.yml"), e.config(ports), 0o644); err != nil {
		return err
	}
	size := fmt.Sprint(e.heap, "m")
	flags := []string{"-Xms" + size, "-Xmx" + size, "-Djava.locale.providers=CLDR", "-Dlog4j2.configurationFile=" + log4j}
	if java.version < 18 { // newer ones refuse what 17 needs
		flags = append(flags, "-Djava.security.manager=allow")
	}
	classPath := filepath.Join(node, "node.jar") + ":" + filepath.Join(jars, "lib", "*")
	e.server.argv = slices.Concat([]string{java.path}, flags, archive, []string{"-cp", classPath, "org.elasticsearch.node.EmbeddedNode", home})
	e.URL = "http://" + loopback(ports["http"])
	return e.serve(ctx)
}

// serve runs the node as it is configured and waits until it answers.
func (e *Elasticsearch) serve(ctx context.Context) error {
	if err := e.server.start(); err != nil {
		return err
	}
	e.PID = e.server.pid
	ctx, cancel := context.WithTimeout(ctx, 120*time.Second)
	defer cancel()
	return e.server.await(ctx, func(ctx context.Context) error {
		return getOK(ctx, http.DefaultClient, e.URL+"/_cluster/health?wait_for_status=yellow&timeout=4s")
	})
}

// config renders elasticsearch.yml.
func (e *Elasticsearch) config(ports map[string]int) []byte {
	settings := map[string]string{
		"cluster.name":                    "kubescribe-test",
		"node.name":                       "n1",
		"discovery.type":                  "single-node",
		"network.host":                    "127.0.0.1",
		"http.port":                       fmt.Sprint(ports["http"]),
		"transport.port":                  fmt.Sprint(ports["transport"]),
		"transport.type":                  "netty4",
		"http.type":                       "netty4",
		"xpack.security.enabled":          "false",
		"indices.lifecycle.poll_interval": "1s",
		"cluster.routing.allocation.disk.threshold_enabled": "false",
	}
	maps.Copy(settings, e.settings)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s: %q\n", key, settings[key])
	}
	return []byte(b.String())
}

// getOK is nil when a GET of url answers 200.
func getOK(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking %s: %s", url, resp.Status)
	}
	return nil
}
