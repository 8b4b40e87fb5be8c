package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/embedded"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
)

// TestMain makes the test binary a kubescribe, too: under that name in the PATH of the tests it runs main.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubescribe": main})
}

const recording = "testdata/recordings/kwok-shop.ndjson"

// repoRoot is where the module is.
func repoRoot(t interface{ Fatal(...any) }) string {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestScripts(t *testing.T) {
	root := repoRoot(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("RECORDING", filepath.Join(root, recording))
			env.Setenv("RULES", filepath.Join(root, "rules"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"broker": cmdBroker, "deadletter": cmdDeadletter, "topiccount": cmdTopicCount, "record": cmdRecord, "locked": cmdLocked,
			"jsonlines": cmdJSONLines, "code": cmdCode, "forget": cmdForget, "elasticsearch": cmdElasticsearch, "engine": cmdEngine,
		},
	})
}

// cmdCode runs a command that must end with an exit code: code N COMMAND ARGS...
func cmdCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// cmdBroker starts a broker for the script and sets $BROKER: broker [tls].
func cmdBroker(ts *testscript.TestScript, _ bool, args []string) {
	opts := []kfake.Opt{kfake.NumBrokers(1)}
	if len(args) == 1 && args[0] == "tls" {
		opts = append(opts, kfake.TLS(selfSigned(ts)))
	}
	cluster, err := kfake.NewCluster(opts...)
	ts.Check(err)
	ts.Defer(cluster.Close)
	ts.Setenv("BROKER", cluster.ListenAddrs()[0])
	ts.Setenv("KUBESCRIBE_KAFKA_BROKERS", cluster.ListenAddrs()[0])
}

func kafkaOf(ts *testscript.TestScript) stream.Config {
	cfg := stream.Default()
	cfg.Brokers = []string{ts.Getenv("BROKER")}
	return cfg
}

// cmdDeadletter writes a dead letter: deadletter DEADTOPIC TOPIC PARTITION OFFSET GROUP REASON VALUE.
func cmdDeadletter(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 7 {
		ts.Fatalf("usage: deadletter DEADTOPIC TOPIC PARTITION OFFSET GROUP REASON VALUE")
	}
	header := func(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: k, Value: []byte(v)} }
	ts.Check(stream.Produce(context.Background(), kafkaOf(ts), stream.Deps{}, &kgo.Record{
		Topic: args[0], Key: []byte("k"), Value: []byte(args[6]),
		Headers: []kgo.RecordHeader{
			header("ce_id", "id-"+args[3]), header("ce_type", "kubescribe.observation.event"),
			header("ce_time", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)), header("class", "warning"), header(stream.HeaderDeadTopic, args[1]), header(stream.HeaderDeadPartition, args[2]),
			header(stream.HeaderDeadOffset, args[3]), header(stream.HeaderDeadGroup, args[4]), header(stream.HeaderDeadReason, args[5]),
			header(stream.HeaderDeadError, "it is broken\nin two lines"), header(stream.HeaderDeadTime, "2026-11-20T10:00:00Z"),
		},
	}))
}

// cmdTopicCount fails unless a topic has so many records: topiccount TOPIC N.
func cmdTopicCount(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n := 0
	ts.Check(stream.ReadTopic(ctx, kafkaOf(ts), stream.Deps{}, stream.ReadOptions{Topic: args[0], From: stream.FromStart}, func(*kgo.Record) error {
		n++
		return nil
	}))
	if strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d records, not %s", args[0], n, args[1])
	}
}

// cmdRecord cuts the shipped recording: record FILE FROM TO, lines from 1.
func cmdRecord(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(ts.Getenv("RECORDING"))
	ts.Check(err)
	from, err := strconv.Atoi(args[1])
	ts.Check(err)
	to, err := strconv.Atoi(args[2])
	ts.Check(err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Join(lines[from-1:to], nil), 0o600))
}

// cmdLocked takes a data directory for the rest of the script: locked DIR.
func cmdLocked(ts *testscript.TestScript, _ bool, args []string) {
	release, err := embedded.LockDir(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(release)
}

// cmdElasticsearch starts a double of Elasticsearch for the script, which refuses documents that hold the word given: elasticsearch WORD.
func cmdElasticsearch(ts *testscript.TestScript, _ bool, args []string) {
	double := storetest.NewDouble()
	ts.Defer(double.Close)
	double.Judge(func(_, _ string, body []byte) *storetest.Refusal {
		if !bytes.Contains(body, []byte(args[0])) {
			return nil
		}
		return &storetest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "failed to parse"}
	})
	ts.Setenv("KUBESCRIBE_ELASTICSEARCH_ADDRESSES", double.URL)
}

// cmdForget deletes documents behind the store's back: forget FILE N.
func cmdForget(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec("DELETE FROM documents WHERE seq IN (SELECT seq FROM documents ORDER BY seq LIMIT ?)", args[1])
	ts.Check(err)
}

// cmdJSONLines fails unless the last stdout is exactly one JSON object and nothing else: jsonlines.
func cmdJSONLines(ts *testscript.TestScript, _ bool, _ []string) {
	out := ts.ReadFile("stdout")
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(out), &object))
	if n := strings.Count(out, "\n"); n != 1 {
		ts.Fatalf("stdout has %d lines, not one", n)
	}
}

// generate writes a recording of n Events, each with a revision of its own, and returns its name.
func generate(t *testing.T, n int) string {
	t.Helper()
	source, err := os.Open(filepath.Join(repoRoot(t), recording))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var objects []map[string]any
	lines := bufio.NewScanner(source)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, line)
	}
	name := filepath.Join(t.TempDir(), "generated.ndjson")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	for i := range n {
		line := objects[i%len(objects)]
		meta := line["object"].(map[string]any)["metadata"].(map[string]any)
		meta["uid"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		meta["name"] = fmt.Sprintf("generated.%d", i)
		meta["resourceVersion"] = strconv.Itoa(1000 + i)
		text, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(append(text, '\n'))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return name
}
