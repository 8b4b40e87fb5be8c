// Command etcdwatch writes one line of JSON to standard output for every revision of an Event in etcd. It is the independent
// reference of the end-to-end tests: a process of its own that asks neither the API server nor kubescribe.
//
//	{"type":"put","key":"/registry/events/ns/name","namespace":"ns","name":"name","uid":"…","resourceVersion":"41"}
//	{"type":"delete",…}                               a client deleted it, or its TTL ended
//	{"type":"progress","resourceVersion":"57"}        every revision up to 57 has been written
//	{"type":"end","resourceVersion":"57"}             the last line after SIGTERM or SIGINT, exit 0
//
// On SIGTERM it goes on until it has written all that etcd held when the signal came. It exits 1 on any error, and 3 when etcd was
// compacted past what it had yet to read: a reference with a hole would be worse than none.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"kubescribe/test/stack"
)

const exitCompacted = 3

func main() {
	endpoint := flag.String("endpoint", "", "etcd's client URL")
	from := flag.Int64("from", 0, "first revision; 0 writes the present revision of each Event, then what follows")
	flag.Parse()
	if *endpoint == "" || flag.NArg() > 0 || *from < 0 {
		fmt.Fprintln(os.Stderr, "usage: etcdwatch -endpoint http://127.0.0.1:2379 [-from REVISION]")
		os.Exit(2)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	drain := make(chan struct{})
	go func() {
		<-signals
		close(drain)
	}()
	if err := run(context.Background(), *endpoint, *from, drain, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "etcdwatch:", err)
		if compacted := (*stack.CompactedError)(nil); errors.As(err, &compacted) {
			os.Exit(exitCompacted)
		}
		os.Exit(1)
	}
}

type line struct {
	Type            string `json:"type"`
	Key             string `json:"key,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	Name            string `json:"name,omitempty"`
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resourceVersion"`
}

func run(ctx context.Context, endpoint string, from int64, drain <-chan struct{}, out io.Writer) error {
	buffered := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffered)
	last := int64(0)
	each := func(r stack.EventRevision) error {
		kind := "put"
		if r.Deleted {
			kind = "delete"
		}
		return encoder.Encode(line{kind, r.Key, r.Namespace, r.Name, r.UID, r.ResourceVersion()})
	}
	progress := func(revision int64) error {
		last = revision
		if err := encoder.Encode(line{Type: "progress", ResourceVersion: strconv.FormatInt(revision, 10)}); err != nil {
			return err
		}
		return buffered.Flush()
	}
	if err := stack.WatchEvents(ctx, endpoint, from, drain, each, progress); err != nil {
		return errors.Join(err, buffered.Flush())
	}
	if err := encoder.Encode(line{Type: "end", ResourceVersion: strconv.FormatInt(last, 10)}); err != nil {
		return err
	}
	return buffered.Flush()
}
