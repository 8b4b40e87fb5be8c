package stream

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/test/stack"
)

// broker is what a test runs against: the in-process broker, always, and a real one.
type broker struct {
	cfg  Config
	real bool
}

// onBrokers runs a test on both. $STACK_KAFKA names a real broker that runs already; otherwise one is started and shared by the
// tests of this binary.
func onBrokers(t *testing.T, test func(t *testing.T, b broker)) {
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		test(t, startFake(t))
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		test(t, broker{cfg: configFor(stack.SharedKafka(t)), real: true})
	})
}

// onRealBroker runs a test of what the in-process broker does not do, such as fencing stale epochs.
func onRealBroker(t *testing.T, test func(t *testing.T, b broker)) {
	t.Parallel()
	test(t, broker{cfg: configFor(stack.SharedKafka(t)), real: true})
}

func startFake(t *testing.T, opts ...kfake.Opt) broker {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return broker{cfg: configFor(cluster.ListenAddrs()[0])}
}

func configFor(address string) Config {
	cfg := Default()
	cfg.Brokers = []string{address}
	return cfg
}

func (b broker) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := newClient(b.cfg, Deps{}.withDefaults(), "test-"+uuid.NewString(), opts...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func newAdmin(t *testing.T, b broker) *kadm.Client { return kadm.NewClient(b.client(t)) }

// topic creates a topic with a name of its own. configs are key=value.
func (b broker) topic(t *testing.T, partitions int32, configs ...string) string {
	t.Helper()
	name := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")
	m := map[string]*string{"max.message.bytes": kadm.StringPtr("4194304")}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		m[k] = &v
	}
	_, err := kadm.NewClient(b.client(t)).CreateTopic(t.Context(), partitions, 1, m, name)
	require.NoError(t, err)
	return name
}

// fill produces n records, with their number in the partition as value, to each partition.
func (b broker) fill(t *testing.T, topic string, partitions int32, from, n int) {
	t.Helper()
	records := make([]*kgo.Record, 0, n*int(partitions))
	for p := range partitions {
		for i := range n {
			records = append(records, ToPartition(&kgo.Record{
				Topic: topic, Key: fmt.Appendf(nil, "k%d", p), Value: fmt.Appendf(nil, "%d", from+i),
				Headers: []kgo.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "%d-%d", p, from+i)}},
			}, p))
		}
	}
	require.NoError(t, Produce(t.Context(), b.cfg, Deps{}, records...))
}

// read returns what a read-committed reader sees of a topic now.
func (b broker) read(t *testing.T, topic string) []*kgo.Record {
	t.Helper()
	var all []*kgo.Record
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, ReadTopic(ctx, b.cfg, Deps{}, ReadOptions{Topic: topic, From: FromStart}, func(r *kgo.Record) error {
		all = append(all, r)
		return nil
	}))
	return all
}

// committed is the group's committed offset, -1 if none.
func (b broker) committed(t *testing.T, group, topic string, partition int32) int64 {
	t.Helper()
	offsets, err := groupOffsets(t.Context(), b.client(t), group)
	require.NoError(t, err)
	if o, ok := offsets.Lookup(topic, partition); ok {
		return o.At
	}
	return -1
}

const patienceOfTests = 60 * time.Second

// eventually polls a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patienceOfTests, 20*time.Millisecond, what)
}

// never watches a condition for a while.
func never(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Never(t, condition, 2*time.Second, 50*time.Millisecond, what)
}

// loop runs a loop in the background; stop ends it cleanly and requires that it returns nil.
type loop struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func start(t *testing.T, run func(ctx context.Context) error) *loop {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &loop{t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.err = run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-l.done })
	return l
}

func (l *loop) stop() {
	l.t.Helper()
	l.cancel()
	l.wait()
	require.NoError(l.t, l.err)
}

func (l *loop) wait() {
	l.t.Helper()
	select {
	case <-l.done:
	case <-time.After(patienceOfTests):
		l.t.Fatal("the loop does not end")
	}
}

func (l *loop) runs() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// board is a HealthReporter that remembers.
type board struct {
	mu  sync.Mutex
	now map[string]string
}

func (b *board) Set(component, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now == nil {
		b.now = map[string]string{}
	}
	b.now[component] = reason
}

func (b *board) reason(component string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now[component]
}

// deps logs to the test's output when KUBESCRIBE_TEST_LOG is set.
func deps(h HealthReporter) Deps {
	d := Deps{Health: h}
	if level := os.Getenv("KUBESCRIBE_TEST_LOG"); level != "" {
		var l slog.Level
		_ = l.UnmarshalText([]byte(level))
		d.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
	}
	return d
}

// ledger collects what a handler saw.
type ledger struct {
	mu   sync.Mutex
	seen map[topicPartition][]int
	max  int
}

func (l *ledger) add(b Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[topicPartition][]int{}
	}
	tp := topicPartition{b.Topic, b.Partition}
	for _, r := range b.Records {
		l.seen[tp] = append(l.seen[tp], number(r))
	}
	l.max = max(l.max, len(b.Records))
}

func (l *ledger) of(topic string, partition int32) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int(nil), l.seen[topicPartition{topic, partition}]...)
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.seen {
		n += len(s)
	}
	return n
}

func number(r *kgo.Record) int {
	n, err := strconv.Atoi(string(r.Value))
	if err != nil {
		return -1
	}
	return n
}

func count(from, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = from + i
	}
	return all
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
