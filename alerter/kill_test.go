package alerter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const childEnv = "KUBESCRIBE_ALERTER_CHILD"

// child is an alerter in a process of its own.
type child struct {
	Kafka  stream.Config
	Config alerter.Config
	// Hook is the address of the webhook: a Secret does not survive JSON.
	Hook string
}

func TestMain(m *testing.M) {
	spec := os.Getenv(childEnv)
	if spec == "" {
		os.Exit(m.Run())
	}
	var c child
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		panic(err)
	}
	for i := range c.Config.Receivers {
		c.Config.Receivers[i].URL = stream.Secret(c.Hook)
	}
	d := stream.Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if err := alerter.Run(context.Background(), c.Config, c.Kafka, d); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// start starts the process; its log is in a file that is shown when the test fails.
func (c child) start(t *testing.T, log *os.File) *exec.Cmd {
	t.Helper()
	spec, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	return cmd
}

const killRules = `
groups:
- name: kills
  rules:
  - alert: CrashLoop
    expr: reason == "BackOff"
    group_by: [namespace, name]
    count: {at_least: 3, within: 5m}
    dedup: 10m
    resolve: {after: 30m}
    annotations: {summary: "{{ .Name }}"}
  - alert: Killing
    expr: reason == "Killing"
    group_by: [name]
    dedup: 1h
    resolve: {after: 30m}
`

// history are the documents of the kill test, in order: for each pod a burst that fires and repeats, and an hour later one that
// resolves it by event time; one more reason fires alone. Some documents come twice.
func history(rng *rand.Rand, clusters []string, pods int) []*schemas.Document {
	var docs []*schemas.Document
	add := func(d *schemas.Document) {
		docs = append(docs, d)
		if rng.IntN(5) == 0 {
			docs = append(docs, d)
		}
	}
	for i := range 8 {
		for _, c := range clusters {
			for p := range pods {
				pod, at := fmt.Sprint("pod-", p), epoch.Add(time.Duration(i)*2*time.Minute)
				add(document(c, fmt.Sprintf("%s-%d-%d", c, p, i), "BackOff", pod, at))
				if i == 4 && p%4 == 0 {
					add(document(c, fmt.Sprintf("%s-%d-killing", c, p), "Killing", pod, at))
				}
			}
		}
	}
	for _, c := range clusters {
		for p := range pods {
			add(document(c, fmt.Sprintf("%s-%d-late", c, p), "BackOff", fmt.Sprint("pod-", p), epoch.Add(time.Hour)))
		}
	}
	return docs
}

// TestKilledInMidWindow kills alerters with SIGKILL, again and again, while documents flow and while the receiver fails for some
// time, and expects of the whole what an undisturbed run gives: each alert once, each page once, the same state.
func TestKilledInMidWindow(t *testing.T) {
	clusters := []string{"c0", "c1", "c2"}
	const pods, instances, kills = 20, 3, 8
	rng := rand.New(rand.NewPCG(3, 4))
	docs := history(rng, clusters, pods)

	calm := fakeWorld(t, clusters...)
	calmHook := newWebhook(t)
	calm.produce(t, docs...)
	calm.start(t, config(t, killRules, calmHook), testDeps(t))
	// In each cluster, for each pod: firing, a repeat, resolved; for every fourth a Killing.
	const expected = 3 * (3*pods + pods/4)
	eventually(t, "the undisturbed run", func() bool { n, _ := calmHook.got(); return n >= expected })
	want := calm.alerts(t)
	require.Len(t, want, expected)

	w := newWorld(t, stack.SharedKafka(t), clusters...)
	hook := newWebhook(t)
	c := child{Kafka: w.kafka, Config: config(t, killRules, hook), Hook: hook.URL}
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	require.NoError(t, err)
	defer func() {
		log.Close()
		if text, err := os.ReadFile(path); err == nil && t.Failed() {
			t.Logf("the processes' log:\n%s", text[max(0, len(text)-20000):])
		}
	}()
	run := make([]*exec.Cmd, instances)
	begin := func(i int) {
		mine := c
		mine.Config.Instance = fmt.Sprint(w.topics.Prefix, i)
		run[i] = mine.start(t, log)
	}
	end := func(i int) {
		_ = run[i].Process.Kill()
		_ = run[i].Wait()
	}
	for i := range run {
		begin(i)
	}
	defer func() {
		for i := range run {
			end(i)
		}
	}()

	inFlight := 0
	chunk := len(docs)/(kills+2) + 1
	for n := 0; len(docs) > 0; n++ {
		part := docs[:min(chunk, len(docs))]
		docs = docs[len(part):]
		w.produce(t, part...)
		switch n {
		case 2:
			hook.set(func(schemas.Alert) int { return http.StatusInternalServerError })
		case 5:
			hook.set(nil)
		}
		if n == 0 || n > kills {
			continue
		}
		victim := rng.IntN(instances)
		if w.killInFlight(t, run[victim]) {
			inFlight++
		}
		_ = run[victim].Wait()
		<-time.After(time.Duration(rng.IntN(3000)) * time.Millisecond) // how long it is away is part of the disturbance
		begin(victim)
	}
	eventually(t, "every page", func() bool { n, _ := hook.got(); return n >= expected })
	eventually(t, "every document matched, decided and notified", func() bool { done, err := w.drained(t); return err == nil && done })

	got := w.alerts(t)
	assert.ElementsMatch(t, want, got, "each expected alert exactly once")
	assert.Equal(t, calm.states(t), w.states(t), "the state of an undisturbed run")
	pages, repeats := hook.got()
	assert.Equal(t, expected, pages)
	assert.GreaterOrEqual(t, inFlight, kills/2, "kills must hit work")
	fmt.Printf("alerter-kills: kills_in_flight=%d of=%d alerts_expected=%d alerts_got=%d pages_expected=%d pages_got=%d repeats_by_key=%d\n",
		inFlight, kills, expected, len(got), expected, pages, repeats)
}

// killInFlight waits until there is work, stops the process so that nothing moves in it, looks whether there is still work that has
// not been committed, and kills it.
func (w world) killInFlight(t *testing.T, p *exec.Cmd) bool {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for done, err := w.drained(t); (done || err != nil) && time.Now().Before(deadline); done, err = w.drained(t) {
		<-time.After(20 * time.Millisecond)
	}
	require.NoError(t, p.Process.Signal(syscall.SIGSTOP))
	done, err := w.drained(t)
	require.NoError(t, p.Process.Kill())
	return err == nil && !done
}

// drained says whether all three steps have committed over all their input.
func (w world) drained(t *testing.T) (bool, error) {
	t.Helper()
	enriched := []string{w.topics.Enriched("c0"), w.topics.Enriched("c1"), w.topics.Enriched("c2")}
	for group, topics := range map[string][]string{
		alerter.MatchGroup: enriched, alerter.DecideGroup: {w.topics.Matches()}, alerter.ReceiverGroup("hook"): {w.topics.Alerts()},
	} {
		done, err := stream.Drained(t.Context(), w.kafka, stream.Deps{}, group, topics...)
		if err != nil || !done {
			return false, err
		}
	}
	return true, nil
}
