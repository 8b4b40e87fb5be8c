package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kotel"
	"github.com/twmb/franz-go/plugin/kprom"
	"github.com/twmb/franz-go/plugin/kslog"
	"go.opentelemetry.io/otel/propagation"
)

const (
	dialTimeout = 5 * time.Second
	// sessionTimeout and transactionTimeout bound how long a killed process holds others up.
	sessionTimeout     = 10 * time.Second
	transactionTimeout = 10 * time.Second
	heartbeatInterval  = 2 * time.Second
	// batchMaxBytes is the topics' max.message.bytes.
	batchMaxBytes = 4 << 20
	// quitTimeout bounds the polite part of closing a client: leaving the group while brokers may be away.
	quitTimeout = 5 * time.Second
)

// options are what every client shares. role ends up in the client id and labels its metrics; it must be unique among the
// clients that live at the same time in a process.
func options(cfg Config, d Deps, role string) ([]kgo.Opt, error) {
	id := cfg.ClientID + "-" + role
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(id),
		kgo.WithLogger(&quietLogger{sl: d.Log, kslog: kslog.New(d.Log.With("client", id))}),
		kgo.WithHooks(kprom.NewMetrics("kubescribe_kafka",
			kprom.Registerer(&tolerantRegisterer{to: d.Metrics}), kprom.WithClientLabel(), kprom.NativeBucketFactor(0))),
		kgo.DialTimeout(dialTimeout),
		kgo.MetadataMaxAge(30 * time.Second),
		kgo.MetadataMinAge(time.Second),
		kgo.DisableClientMetrics(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(batchMaxBytes),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil)}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Start and reset both say "the oldest record": the reset's own default is one minute ago, a silent gap.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	if d.Tracer != nil {
		tracer := kotel.NewTracer(kotel.TracerProvider(d.Tracer), kotel.ClientID(id),
			kotel.TracerPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})))
		opts = append(opts, kgo.WithHooks(kotel.NewKotel(kotel.WithTracer(tracer)).Hooks()...))
	}
	if cfg.TLS.Enabled {
		conf, err := cfg.TLS.build()
		if err != nil {
			return nil, &configError{err.Error()}
		}
		opts = append(opts, kgo.DialTLSConfig(conf))
	}
	if mechanism := cfg.SASL.build(); mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// newClient opens a client that is in no group. No connection is made yet.
func newClient(cfg Config, d Deps, role string, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := options(cfg, d, role)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(append(opts, more...), d.opts...)...)
	if err != nil {
		return nil, &configError{fmt.Sprintf("opening a Kafka client: %v", err)}
	}
	return cl, nil
}

func (s SASLConfig) build() sasl.Mechanism {
	scramAuth := func(context.Context) (scram.Auth, error) {
		pass, err := s.password()
		return scram.Auth{User: s.Username, Pass: pass}, err
	}
	switch s.Mechanism {
	case "plain":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			pass, err := s.password()
			return plain.Auth{User: s.Username, Pass: pass}, err
		})
	case "scram-sha-256":
		return scram.Sha256(scramAuth)
	case "scram-sha-512":
		return scram.Sha512(scramAuth)
	case "oauthbearer":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := readSecret(s.TokenFile)
			return oauth.Auth{Token: token}, err
		})
	}
	return nil
}

// quietLogger takes the client's info lines, several for each transaction, down to debug. The client's own debug lines, one for
// each request, are dropped.
type quietLogger struct {
	sl    *slog.Logger
	kslog *kslog.Logger
}

func (q *quietLogger) Level() kgo.LogLevel {
	switch ctx := context.Background(); {
	case q.sl.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case q.sl.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	case q.sl.Enabled(ctx, slog.LevelError):
		return kgo.LogLevelError
	}
	return kgo.LogLevelNone
}

func (q *quietLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	if level == kgo.LogLevelInfo {
		level = kgo.LogLevelDebug
	}
	q.kslog.Log(level, msg, keyvals...)
}

// tolerantRegisterer registers a client's collectors. When a client with the same role lives already, its series stand and the
// second one's are not exported: metrics must not be able to stop a loop.
type tolerantRegisterer struct {
	to   prometheus.Registerer
	mu   sync.Mutex
	mine map[prometheus.Collector]bool
}

func (t *tolerantRegisterer) Register(c prometheus.Collector) error {
	err := t.to.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		return nil
	}
	if err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.mine == nil {
			t.mine = map[prometheus.Collector]bool{}
		}
		t.mine[c] = true
	}
	return err
}

func (t *tolerantRegisterer) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := t.Register(c); err != nil {
			panic(err)
		}
	}
}

func (t *tolerantRegisterer) Unregister(c prometheus.Collector) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.mine[c] {
		return false
	}
	delete(t.mine, c)
	return t.to.Unregister(c)
}
