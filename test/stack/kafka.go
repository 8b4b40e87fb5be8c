package stack

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// KafkaVersion is the version of the broker.
const KafkaVersion = "4.3.1"

//go:embed kafka/pom.xml
var kafkaPOM []byte

//go:embed kafka/server.properties
var kafkaProperties []byte

//go:embed log4j2.properties
var log4j2 []byte

// Kafka is one real broker: KRaft, a single node that is controller too, on two loopback ports. Its methods may not be called
// at the same time.
type Kafka struct {
	Bootstrap string // host:port of the plaintext listener
	Dir       string // absolute; data, configuration, log/kafka.log and kafka.pid
	PID       int    // of the present incarnation

	heap       int // MiB
	node       int // its id in its cluster
	clusterID  string
	properties map[string]string
	security   *KafkaSecurity // nil: none
	training   []string       // JVM flags of the start that makes kafkaWarm
	server     process
}

// A KafkaOption changes how StartKafka starts a broker.
type KafkaOption interface{ applyKafka(*Kafka) }

type kafkaProperty struct{ key, value string }

func (p kafkaProperty) applyKafka(k *Kafka) { k.properties[p.key] = p.value }

// WithKafkaProperty sets a broker property over the stack's own.
func WithKafkaProperty(key, value string) KafkaOption { return kafkaProperty{key, value} }

// StartKafka starts a broker on dir, which is created if need be, and returns when the broker answers with itself as the
// controller. A start on the dir of an earlier broker brings back its data on its ports. The caller stops the broker.
func StartKafka(ctx context.Context, dir string, opts ...KafkaOption) (*Kafka, error) {
	k, err := newKafka(dir)
	if err != nil {
		return nil, err
	}
	if err := Prepare(ctx, PartKafka); err != nil {
		return nil, err
	}
	err = exclusively(ctx, k.Dir, func() error {
		if err := k.server.requireStopped(); err != nil {
			return err
		}
		for _, opt := range opts {
			opt.applyKafka(k)
		}
		return settle(k.Dir, k.portNames(), func(ports map[string]int) error { return k.start(ctx, ports) })
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// OpenKafka finds a broker that another process started on dir. It returns an error if none runs there.
func OpenKafka(dir string) (*Kafka, error) {
	k, err := newKafka(dir)
	if err != nil {
		return nil, err
	}
	ports, err := loadPorts(k.Dir, kafkaPorts...)
	if err != nil {
		return nil, err
	}
	if err := k.server.open(); err != nil {
		return nil, err
	}
	if ports == nil || !k.server.running() {
		return nil, fmt.Errorf("no kafka runs on %s", k.Dir)
	}
	k.PID, k.Bootstrap = k.server.pid, loopback(ports["broker"])
	return k, nil
}

// Kill sends SIGKILL and waits until the broker is gone.
func (k *Kafka) Kill() error { return k.server.kill() }

// Restart starts a broker that was killed or stopped as it was started before, on its own ports and data, and returns when it
// serves.
func (k *Kafka) Restart(ctx context.Context) error { return k.serve(ctx) }

// Stop shuts the broker down cleanly; after 20 seconds it kills it. It returns when the broker is gone.
func (k *Kafka) Stop() error { return k.server.stop(20 * time.Second) }

// Log returns the last n lines of the broker's log.
func (k *Kafka) Log(n int) string { return k.server.tail(n) }

var kafkaPorts = []string{"broker", "controller"}

func kafkaJars() artifact {
	return artifact{name: "kafka-" + KafkaVersion, key: hashOf(kafkaPOM), make: func(ctx context.Context, tmp string) error {
		return fetchJars(ctx, "Kafka "+KafkaVersion, kafkaPOM, tmp)
	}}
}

// kafkaWarm holds what makes a first start quick: the formatted storage and the broker's class archive. A broker that is started
// once and stopped leaves both.
func kafkaWarm(java jvm) artifact {
	key := hashOf(kafkaPOM, kafkaProperties, []byte(java.build))
	return artifact{name: "kafka-warm-" + key, key: key, make: func(ctx context.Context, tmp string) error {
		defer reportStep("starting Kafka once, to keep its classes")()
		run := filepath.Join(tmp, "run")
		k, err := newKafka(run)
		if err != nil {
			return err
		}
		k.training = writeArchive(tmp)
		if err := settle(run, kafkaPorts, func(ports map[string]int) error { return k.start(ctx, ports) }); err != nil {
			return err
		}
		return finishTraining(&k.server, tmp, run, "data/meta.properties", "data/bootstrap.checkpoint")
	}}
}

func prepareKafka(ctx context.Context) error {
	java, err := findJava()
	if err != nil {
		return err
	}
	if _, err := kafkaJars().ensure(ctx); err != nil {
		return err
	}
	_, err = kafkaWarm(java).ensure(ctx)
	return err
}

func newKafka(dir string) (*Kafka, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("starting kafka: %w", err)
	}
	return &Kafka{
		Dir: dir, heap: 512, node: 1, clusterID: newClusterID(), properties: map[string]string{}, server: process{name: "kafka", dir: dir},
	}, nil
}

// start configures the broker for these ports and runs it.
func (k *Kafka) start(ctx context.Context, ports map[string]int) error {
	if err := k.configure(ctx, ports); err != nil {
		return err
	}
	return k.serve(ctx)
}

// configure writes what the broker reads, and its command.
func (k *Kafka) configure(ctx context.Context, ports map[string]int) error {
	java, err := findJava()
	if err != nil {
		return err
	}
	jars, err := kafkaJars().dir()
	if err != nil {
		return err
	}
	if err := writeFile(k.path("log4j2.properties"), log4j2, 0o644); err != nil {
		return err
	}
	properties, err := k.config(ports)
	if err != nil {
		return err
	}
	if err := writeFile(k.path("server.properties"), properties, 0o600); err != nil {
		return err
	}
	warm, err := kafkaWarm(java).dir()
	if err != nil {
		return err
	}
	flags := []string{"-Dlog4j2.configurationFile=" + k.path("log4j2.properties"), "-cp", filepath.Join(jars, "lib", "*")}
	archive := k.training
	if archive == nil {
		archive = useArchive(warm)
		err = k.copyFormat(warm)
	} else {
		err = k.format(ctx, java, flags)
	}
	if err != nil {
		return err
	}
	size := fmt.Sprint(k.heap, "m")
	k.server.argv = slices.Concat([]string{
		java.path, "-Xms" + size, "-Xmx" + size, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
		"-Djava.awt.headless=true",
	}, archive, flags, []string{"kafka.Kafka", k.path("server.properties")})
	k.Bootstrap = loopback(ports["broker"])
	return nil
}

// serve runs the broker as it is configured and waits until it answers.
func (k *Kafka) serve(ctx context.Context) error {
	if err := k.server.start(); err != nil {
		return err
	}
	k.PID = k.server.pid
	return k.await(ctx)
}

// await returns when the broker answers and its cluster has a controller.
func (k *Kafka) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Bootstrap))
	if err != nil {
		return errors.Join(fmt.Errorf("making a Kafka client: %w", err), k.server.kill())
	}
	defer client.Close()
	return k.server.await(ctx, func(ctx context.Context) error {
		meta, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
		switch {
		case err != nil:
			return err
		case len(meta.Brokers) == 0 || meta.ControllerID < 0:
			return errors.New("the broker is not registered with its controller")
		}
		return nil
	})
}

// format writes the storage's identity with Kafka's own tool.
func (k *Kafka) format(ctx context.Context, java jvm, flags []string) error {
	args := slices.Concat([]string{"-Xmx128m", "-XX:TieredStopAtLevel=1"}, flags, []string{
		"kafka.tools.StorageTool", "format", "-t", k.clusterID, "-c", k.path("server.properties"),
	})
	if err := runTool(ctx, k.Dir, nil, java.path, args...); err != nil {
		return fmt.Errorf("formatting Kafka's storage: %w", err)
	}
	return nil
}

var identityLine = regexp.MustCompile(`(?m)^(cluster\.id|directory\.id|node\.id)=.*$`)

// copyFormat gives a first start the storage that the tool formatted once, under ids of its own.
func (k *Kafka) copyFormat(warm string) error {
	meta := k.path("data", "meta.properties")
	if _, err := os.Stat(meta); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range []string{"bootstrap.checkpoint", "meta.properties"} { // the last one tells that the storage is formatted
		content, err := os.ReadFile(filepath.Join(warm, name))
		if err != nil {
			return fmt.Errorf("formatting Kafka's storage: %w", err)
		}
		if name == "meta.properties" {
			ids := map[string]string{"cluster.id": k.clusterID, "directory.id": newClusterID(), "node.id": strconv.Itoa(k.node)}
			content = identityLine.ReplaceAllFunc(content, func(line []byte) []byte {
				key, _, _ := strings.Cut(string(line), "=")
				return []byte(key + "=" + ids[key])
			})
		}
		if err := writeFile(k.path("data", name), content, 0o644); err != nil {
			return fmt.Errorf("formatting Kafka's storage: %w", err)
		}
	}
	return nil
}

// newClusterID returns a Kafka uuid: 16 bytes in URL-safe base64.
func newClusterID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	id[0] &= 0x7f        // so that it does not begin with a dash, as an option does
	return base64.RawURLEncoding.EncodeToString(id)
}

func (k *Kafka) path(parts ...string) string {
	return filepath.Join(append([]string{k.Dir}, parts...)...)
}

// config renders server.properties: the stack's own from the embedded file, what depends on this broker, and last, so that it
// wins, what the caller set.
func (k *Kafka) config(ports map[string]int) ([]byte, error) {
	broker, controller := loopback(ports["broker"]), loopback(ports["controller"])
	secure, security := "", ""
	if k.security != nil {
		address, properties, err := k.secure(ports[securePort])
		if err != nil {
			return nil, err
		}
		secure, security = ",SASL_SSL://"+address, properties
	}
	var b strings.Builder
	b.Write(kafkaProperties)
	fmt.Fprintf(&b, "\ncontroller.quorum.voters=1@%s\n", controller)
	fmt.Fprintf(&b, "listeners=PLAINTEXT://%s,CONTROLLER://%s%s\n", broker, controller, secure)
	fmt.Fprintf(&b, "advertised.listeners=PLAINTEXT://%s%s\n%s", broker, secure, security)
	fmt.Fprintf(&b, "log.dirs=%s\n", k.path("data"))
	for _, key := range slices.Sorted(maps.Keys(k.properties)) {
		fmt.Fprintf(&b, "%s=%s\n", key, k.properties[key])
	}
	return []byte(b.String()), nil
}
