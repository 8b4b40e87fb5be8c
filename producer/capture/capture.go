package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Resources are what is recorded: Events and Pods, which make facts, and what gives them context.
func Resources() []schema.GroupVersionResource {
	of := func(group, version string, resources ...string) (all []schema.GroupVersionResource) {
		for _, r := range resources {
			all = append(all, schema.GroupVersionResource{Group: group, Version: version, Resource: r})
		}
		return all
	}
	return slices.Concat(
		of("", "v1", "events", "pods", "nodes", "namespaces", "services"),
		of("apps", "v1", "deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"),
		of("batch", "v1", "jobs", "cronjobs"),
		of("discovery.k8s.io", "v1", "endpointslices"),
	)
}

// clusterScoped resources are recorded whole, also when only one namespace is.
var clusterScoped = map[string]bool{"nodes": true, "namespaces": true}

// Options say what is recorded.
type Options struct {
	// Namespace is the only one to record; empty: all.
	Namespace string
	// Annotations are patterns of annotations to leave out.
	Annotations []string
	// Log says what could not be recorded. Retry is the wait after a failed request, 1 s when it is 0.
	Log   *slog.Logger
	Retry time.Duration
}

// header is the first line. A replay passes over it.
type header struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	ClusterUID string    `json:"clusterUID"`
	StartedAt  time.Time `json:"startedAt"`
}

// Summary says what was recorded.
type Summary struct {
	ClusterUID string
	// Skipped are resources that this account may not read, or that the server does not have.
	Skipped []string
	// Expired counts watches that could not be resumed: what was superseded meanwhile is missing.
	Expired int64
}

const (
	pageSize   = 500
	flushEvery = time.Second
)

// Run records until ctx ends, and then returns nil. Transient errors of the API server are retried; the error is that of writing, or
// says that neither Events nor Pods may be read. It flushes every second and does not close r.
func Run(ctx context.Context, rc *rest.Config, r *Recorder, o Options) (Summary, error) {
	rc = rest.CopyConfig(rc)
	rc.QPS, rc.Timeout, rc.UserAgent = -1, 0, "kubescribe-capture"
	api, err := dynamic.NewForConfig(rc)
	if err != nil {
		return Summary{}, fmt.Errorf("configuring the connection to the API server: %w", err)
	}
	if o.Retry == 0 {
		o.Retry = time.Second
	}
	c := &capture{api: api, out: r, options: o}
	if err := c.introduce(ctx); err != nil {
		return Summary{}, err
	}
	return c.run(ctx)
}

type capture struct {
	api     dynamic.Interface
	out     *Recorder
	options Options

	mu      sync.Mutex
	summary Summary
}

func (c *capture) introduce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	system, err := c.api.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		c.options.Log.Warn("the cluster's UID can't be read: a replay makes one of the cluster's name", "err", err)
	case err != nil:
		return fmt.Errorf("reading the namespace kube-system, whose UID names the cluster: %w", err)
	default:
		c.summary.ClusterUID = string(system.GetUID())
	}
	return c.out.head(header{APIVersion: "kubescribe/v1", Kind: "Capture", ClusterUID: c.summary.ClusterUID, StartedAt: c.out.now().UTC()})
}

func (c *capture) run(ctx context.Context) (Summary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	var once sync.Once
	var failure error // the first; how ctx ended is none
	fail := func(err error) {
		if err != nil {
			once.Do(func() { failure = err })
			cancel()
		}
	}
	for _, gvr := range Resources() {
		all.Go(func() { fail(c.follow(ctx, gvr)) })
	}
	all.Go(func() {
		t := time.NewTicker(flushEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				fail(c.out.Flush())
			}
		}
	})
	all.Wait()
	slices.Sort(c.summary.Skipped)
	return c.summary, failure
}

// errSkipped ends the recording of one resource.
var errSkipped = errors.New("skipped")

// follow records one resource until ctx ends.
func (c *capture) follow(ctx context.Context, gvr schema.GroupVersionResource) error {
	var from dynamic.ResourceInterface = c.api.Resource(gvr)
	if c.options.Namespace != "" && !clusterScoped[gvr.Resource] {
		from = c.api.Resource(gvr).Namespace(c.options.Namespace)
	}
	f := &follower{capture: c, resource: gvr.Resource, from: from}
	for listed := false; ctx.Err() == nil; {
		var err error
		if !listed {
			err = f.list(ctx)
			listed = err == nil
		} else {
			err = f.watch(ctx)
		}
		var failed *writeError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &failed):
			return failed.err
		case errors.Is(err, errSkipped):
			return c.skip(gvr.Resource, err)
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			listed = false
			c.mu.Lock()
			c.summary.Expired++
			c.mu.Unlock()
			if err := c.out.Note(gvr.Resource, string(watch.Error), map[string]any{"apiVersion": "v1", "kind": "Status", "code": 410, "message": err.Error()}); err != nil {
				return err
			}
		case err != nil:
			c.options.Log.Warn("request to the API server failed, trying again", "resource", gvr.Resource, "err", err)
			pause(ctx, c.options.Retry)
		}
	}
	return nil
}

func (c *capture) skip(resource string, why error) error {
	c.options.Log.Warn("not recorded", "resource", resource, "err", why)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.summary.Skipped = append(c.summary.Skipped, resource)
	if slices.Contains(c.summary.Skipped, "events") && slices.Contains(c.summary.Skipped, "pods") {
		return fmt.Errorf("neither Events nor Pods can be recorded: %w", why)
	}
	return nil
}

// writeError is one of the file, for which there is no use in trying again.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

// follower records one resource. It belongs to one goroutine.
type follower struct {
	*capture
	resource string
	from     dynamic.ResourceInterface
	rv       string // of the last list, or of the last event of the watch
	newest   uint64 // of what was written
}

// list writes what is newer than what was written, in the order of resourceVersion, as a watch would have shown it. It holds the
// list in memory.
func (f *follower) list(ctx context.Context) error {
	o := metav1.ListOptions{Limit: pageSize}
	var items []unstructured.Unstructured
	for {
		page, err := f.from.List(ctx, o)
		switch {
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
			return fmt.Errorf("%w: %w", errSkipped, err)
		case err != nil:
			return err
		}
		f.rv = page.GetResourceVersion()
		items = append(items, page.Items...)
		if o.Continue = page.GetContinue(); o.Continue == "" {
			break
		}
	}
	slices.SortStableFunc(items, func(a, b unstructured.Unstructured) int {
		x, y := number(a.GetResourceVersion()), number(b.GetResourceVersion())
		if x < y {
			return -1
		}
		if x > y {
			return 1
		}
		return 0
	})
	floor := f.newest
	for i := range items {
		if number(items[i].GetResourceVersion()) > floor || floor == 0 {
			if err := f.write(watch.Added, &items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *follower) watch(ctx context.Context) error {
	w, err := f.from.Watch(ctx, metav1.ListOptions{ResourceVersion: f.rv, AllowWatchBookmarks: true})
	if err != nil {
		return err
	}
	defer w.Stop()
	heard := false
	for e := range w.ResultChan() {
		object, ok := e.Object.(*unstructured.Unstructured)
		if e.Type == watch.Error || !ok {
			return apierrors.FromObject(e.Object)
		}
		heard = true
		f.rv = object.GetResourceVersion()
		if e.Type == watch.Bookmark {
			continue
		}
		if err := f.write(e.Type, object); err != nil {
			return err
		}
	}
	if !heard {
		pause(ctx, f.options.Retry) // a server that ends watches at once is not to be hammered
	}
	return nil
}

func (f *follower) write(kind watch.EventType, object *unstructured.Unstructured) error {
	f.newest = max(f.newest, number(object.GetResourceVersion()))
	Redact(object.Object, f.options.Annotations)
	if err := f.out.Note(f.resource, string(kind), object.Object); err != nil {
		return &writeError{err}
	}
	return nil
}

// number is a resourceVersion as a number; 0 where it is none.
func number(rv string) uint64 {
	n, err := strconv.ParseUint(rv, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
