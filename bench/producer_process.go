package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// process measures the real binary: memory with many live Events, latency at a steady rate, memory with many pods besides.
func (p *producerBench) process(ctx context.Context, m *Measured) error {
	bin := p.path("kubescribe")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "kubescribe/cmd/kubescribe").CombinedOutput(); err != nil {
		return fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	if err := p.store(ctx, producerRecords, producerLive); err != nil {
		return err
	}
	s, err := p.startService(ctx, bin, "events.")
	if err != nil {
		return err
	}
	defer s.kill()
	took, err := p.latencies(ctx, s.topics)
	if err != nil {
		return err
	}
	slices.Sort(took)
	ms := func(share float64) float64 { return round(took[int(float64(len(took)-1)*share)].Seconds() * 1000) }
	m.Detail["latency_p50_ms"], m.Detail["latency_p99_ms"], m.Detail["latency_of"] = ms(0.5), ms(0.99), len(took)
	if m.Detail["rss_events_mib"], err = s.stop(); err != nil {
		return err
	}
	p.logf("latency %v and %v ms, peak RSS %v MiB", ms(0.5), ms(0.99), m.Detail["rss_events_mib"])

	if err := p.storePods(ctx, producerPods); err != nil {
		return err
	}
	s, err = p.startService(ctx, bin, "pods.")
	if err != nil {
		return err
	}
	defer s.kill()
	for range 500 { // a little of what comes after the start
		if _, err := p.writeOne(ctx, "after-"+strconv.Itoa(int(time.Now().UnixNano()))); err != nil {
			return err
		}
	}
	m.Detail["rss_pods_mib"], err = s.stop()
	p.logf("peak RSS %v MiB with pods", m.Detail["rss_pods_mib"])
	return err
}

// service is a producer of the real binary.
type service struct {
	cmd    *exec.Cmd
	topics schemas.Topics
	log    bytes.Buffer
	ended  chan error
}

// startService starts a producer that has never run before, and returns when it is ready.
func (p *producerBench) startService(ctx context.Context, bin, prefix string) (*service, error) {
	t, err := p.topics(ctx, prefix)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	config := p.path("producer-" + prefix + "yaml")
	err = os.WriteFile(config, fmt.Appendf(nil,
		"cluster: %s\nkafka: {brokers: [%q], topic_prefix: %q}\nkubernetes: {kubeconfig: %q}\nhttp: {listen: %q}\nproducer: {lease: {namespace: default}}\n",
		cluster, p.kafka.Bootstrap, prefix, p.k.Kubeconfig, addr), 0o600)
	if err != nil {
		return nil, err
	}
	s := &service{cmd: exec.Command(bin, "producer", "--config", config), topics: t, ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	for deadline := time.Now().Add(3 * time.Minute); ; {
		if resp, err := http.Get("http://" + addr + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("the producer ended: %w\n%s", err, s.log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			s.kill()
			return nil, errors.Join(ctx.Err(), fmt.Errorf("the producer was not ready in time\n%s", s.log.String()))
		}
	}
}

func (s *service) kill() { _ = s.cmd.Process.Kill() }

// stop ends the process and returns the most memory that it had, in MiB.
func (s *service) stop() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var peak float64
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			if err != nil {
				return 0, err
			}
			peak = round(kib / 1024)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	if err := <-s.ended; err != nil {
		return 0, fmt.Errorf("the producer did not stop cleanly: %w\n%s", err, s.log.String())
	}
	return peak, nil
}

// latencies writes Events at a steady rate through the API server, and returns the time from each write to the moment when a
// read-committed consumer has its record.
func (p *producerBench) latencies(ctx context.Context, t schemas.Topics) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.kafka.Bootstrap), kgo.ConsumeTopics(t.Events(cluster)), kgo.FetchMaxWait(20*time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var mu sync.Mutex
	written := map[string]time.Time{} // name → when it was written
	writes := make(chan error, 1)
	begin := make(chan struct{})
	go func() {
		<-begin
		writes <- p.writeSteadily(ctx, func(name string) {
			mu.Lock()
			defer mu.Unlock()
			written[name] = time.Now()
		})
	}()
	var took []time.Duration
	warm := time.Now()
	begun := false
	for len(took) < producerWrites {
		if !begun && time.Since(warm) > time.Second { // the consumer has found the ends by then
			begun = true
			close(begin)
		}
		poll, done := context.WithTimeout(ctx, 200*time.Millisecond)
		fetches := cl.PollFetches(poll)
		done()
		now := time.Now()
		select {
		case err := <-writes:
			if err != nil {
				return nil, err
			}
		default:
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("only %d of %d records came: %w", len(took), producerWrites, ctx.Err())
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			o, err := schemas.DecodeObservation(r.Value)
			if err != nil {
				bad = err
				return
			}
			var ev struct{ Metadata metav1.ObjectMeta }
			if bad = errors.Join(bad, json.Unmarshal(o.Payload, &ev)); bad != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if at, ok := written[ev.Metadata.Name]; ok {
				took = append(took, now.Sub(at))
			}
		})
		if bad != nil {
			return nil, bad
		}
	}
	return took, nil
}

// writeSteadily writes Events at the rate of the benchmark; before is called with the name of each just before its request.
func (p *producerBench) writeSteadily(ctx context.Context, before func(name string)) error {
	client, err := protobuf(p.rc)
	if err != nil {
		return err
	}
	const writers = 8
	tokens := make(chan int, writers)
	errs := make(chan error, writers)
	for range writers {
		go func() {
			var err error
			for i := range tokens {
				if err == nil {
					e := benchEvent(fmt.Sprintf("steady.%06d", i), i)
					before(e.Name)
					_, err = client.CoreV1().Events("default").Create(ctx, e, metav1.CreateOptions{})
				}
			}
			errs <- err
		}()
	}
	tick := time.NewTicker(time.Second / producerRate)
	defer tick.Stop()
	for i := range producerWrites {
		<-tick.C
		tokens <- i
	}
	close(tokens)
	var all []error
	for range writers {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
