package embedded

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is a Kafka broker in this process.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	dir     string
}

// stopped is the file that says that the last run ended in order. A run takes it away when it starts.
const stopped = "stopped"

// Segments are small so that what retention lets go leaves the disk soon.
const segmentBytes = "16777216"

// Start starts a broker on 127.0.0.1 whose topics are in dir, which is created if missing. Nobody else may use dir
// meanwhile: see LockDir. With the topics of an earlier run in dir, it reads them all, which takes memory of about their
// size.
func Start(dir string, log *slog.Logger) (*Broker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the broker's directory: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, stopped)); err != nil {
		if !os.IsNotExist(err) {
			return nil, fmt.Errorf("starting the embedded broker: %w", err)
		}
		if err := mend(dir, time.Now(), log); err != nil {
			return nil, fmt.Errorf("mending the data of a killed run: %w", err)
		}
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID("kubescribe-local"),
		kfake.DataDir(filepath.Clean(dir)),
		kfake.SyncWrites(),
		kfake.ListenFn(listen),
		kfake.WithLogger(logger{log}),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms": "5000", // by default sizes are looked at once an hour
			"log.segment.bytes":      segmentBytes,
			"log.retention.ms":       "-1",
			"message.max.bytes":      "5242880",
			// A later run must find the offsets of this one, however long ago it was.
			"offsets.retention.minutes": "5256000",
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0], dir: dir}, nil
}

// Addr is where it listens, host:port.
func (b *Broker) Addr() string { return b.addr }

// Close writes down the state that a graceful stop keeps, and stops. Clients should be closed before.
func (b *Broker) Close() {
	b.cluster.Close()
	_ = os.WriteFile(filepath.Join(b.dir, stopped), nil, 0o600) // without it the next start looks for damage and finds none
}

// listen listens on loopback whatever it is asked for, and lets only Kafka requests through.
func listen(network, address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen(network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	return filteredListener{l}, nil
}

// logger passes on warnings and errors: at lower levels the broker has a line for each request.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch {
	case l.log == nil:
	case level == kfake.LogLevelError:
		l.log.Error("embedded broker", "detail", fmt.Sprintf(format, args...))
	case level == kfake.LogLevelWarn:
		l.log.Debug("embedded broker", "detail", fmt.Sprintf(format, args...))
	}
}
