package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"kubescribe/schemas"
)

// reference is what really happened: every revision of every Event, read from etcd by a process of its own.
type reference struct {
	clusterUID string
	cmd        *exec.Cmd
	ended      chan struct{}

	mu      sync.Mutex
	ids     map[string]bool
	changes []change
	named   map[string]string // key → UID of the Event that is there
	last    uint64            // the newest resourceVersion
	err     error
}

// change is one revision of an Event, or its deletion by a client or by its TTL.
type change struct {
	uid     string
	rv      uint64
	deleted bool
}

// etcdRecord is a line of etcdwatch.
type etcdRecord struct {
	Type            string `json:"type"` // put, delete, progress or end
	Key             string `json:"key"`
	UID             string `json:"uid"`
	ResourceVersion uint64 `json:"resourceVersion,string"`
}

// startReference begins to record; everything from etcd revision `from` on is in it.
func (e *Env) startReference(ctx context.Context, clusterUID string, from int64) (*reference, error) {
	bin := e.path("etcdwatch")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "kubescribe/test/stack/cmd/etcdwatch")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building etcdwatch: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, bin, "--endpoint", e.kube.EtcdEndpoint, "--from", fmt.Sprint(from))
	cmd.SysProcAttr = childAttr()
	log, err := os.Create(e.path("etcdwatch.log"))
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	r := &reference{clusterUID: clusterUID, cmd: cmd, ended: make(chan struct{}), ids: map[string]bool{}, named: map[string]string{}}
	go func() {
		defer close(r.ended)
		defer log.Close()
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			r.add(lines.Bytes())
		}
		if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
			r.fail(fmt.Errorf("etcdwatch: %w", err))
		}
	}()
	e.onClose(func() { _ = cmd.Process.Kill(); <-r.ended })
	return r, nil
}

func (r *reference) add(line []byte) {
	var rec etcdRecord
	if err := json.Unmarshal(line, &rec); err != nil {
		r.fail(fmt.Errorf("reading etcdwatch: %w", err))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch rec.Type {
	case "put":
		r.named[rec.Key] = rec.UID
	case "delete":
		if rec.UID == "" { // its former value is compacted away
			rec.UID = r.named[rec.Key]
		}
	}
	if rec.Type == "put" || rec.Type == "delete" {
		r.changes = append(r.changes, change{rec.UID, rec.ResourceVersion, rec.Type == "delete"})
	}
	if rec.Type == "put" {
		r.last = max(r.last, rec.ResourceVersion)
		r.ids[schemas.EventID(r.clusterUID, 0, rec.UID, fmt.Sprint(rec.ResourceVersion))] = true
	}
}

func (r *reference) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

// snapshot is every revision so far, by id.
func (r *reference) snapshot() (map[string]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make(map[string]bool, len(r.ids))
	for id := range r.ids {
		ids[id] = true
	}
	return ids, r.err
}

// chronicle is everything that has happened to Events so far, in order.
func (r *reference) chronicle() ([]change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]change(nil), r.changes...), r.err
}

// newest is the newest resourceVersion of an Event.
func (r *reference) newest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// drain lets the process write all that etcd holds by now, and returns every revision.
func (r *reference) drain(ctx context.Context) (map[string]bool, error) {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("stopping etcdwatch: %w", err)
	}
	select {
	case <-r.ended:
		return r.snapshot()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
