package producer

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// apiServer is a double of the API server, as far as a producer sees one: core/v1 Events in a store with etcd's revisions and
// compaction, the namespace kube-system and permission reviews. It speaks protobuf and JSON as asked for.
type apiServer struct {
	*httptest.Server
	t testing.TB

	mu        sync.Mutex
	changed   chan struct{} // closed at each change
	rev       uint64
	compacted uint64
	log       []change
	current   map[string]corev1.Event
	uid       string
	objects   int
	denied    map[string]bool // verb + resource
	fail      func(*http.Request) *apierrors.StatusError
	watches   int // opened so far
	lists     int
	accepted  []string // what watches were asked for
	clock     func() time.Time

	// How the server behaves.
	expiry expiryStyle
	stall  bool              // watches say nothing, but for their end
	paged  bool              // no streaming lists
	json   bool              // no protobuf
	empty  bool              // watches end at once, though nothing is forgotten
	junk   map[uint64][]byte // by revision: what a watch sends in place of the object
	closed chan struct{}
}

type expiryStyle int

const (
	expiryEvent  expiryStyle = iota // 200, then an ERROR event with 410
	expiryStatus                    // HTTP status 410
	expiryEmpty                     // 200, then the end
)

type change struct {
	rev     uint64
	deleted bool
	event   corev1.Event
}

func newAPIServer(t testing.TB) *apiServer {
	a := &apiServer{t: t, clock: time.Now, rev: 100, uid: uuid.NewString(), current: map[string]corev1.Event{}, changed: make(chan struct{}), denied: map[string]bool{}, closed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/kube-system", a.namespace)
	mux.HandleFunc("GET /api/v1/events", a.events)
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", a.review)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		fail := a.fail
		a.mu.Unlock()
		if fail != nil {
			if err := fail(r); err != nil {
				a.write(w, r, int(err.ErrStatus.Code), &err.ErrStatus)
				return
			}
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { a.endWatches(); a.Server.CloseClientConnections(); a.Server.Close() })
	return a
}

func (a *apiServer) config() *rest.Config { return &rest.Config{Host: a.URL} }

// put writes one revision of the Event with the name given.
func (a *apiServer) put(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rev++
	ev, ok := a.current[name]
	if !ok {
		a.objects++
		ev = corev1.Event{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: "default", UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", a.objects)),
				CreationTimestamp: metav1.NewTime(a.clock()), ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
			},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "pod-" + name},
			Reason:         "BackOff", Type: corev1.EventTypeWarning, FirstTimestamp: metav1.NewTime(a.clock()),
		}
	}
	ev.Count++
	ev.LastTimestamp = metav1.NewTime(a.clock())
	ev.ResourceVersion = strconv.FormatUint(a.rev, 10)
	a.add(change{rev: a.rev, event: ev})
}

func (a *apiServer) puts(format string, n int) {
	for i := range n {
		a.put(fmt.Sprintf(format, i))
	}
}

func (a *apiServer) delete(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ev, ok := a.current[name]
	if !ok {
		a.t.Errorf("no event %s to delete", name)
		return
	}
	a.rev++
	ev.ResourceVersion = strconv.FormatUint(a.rev, 10)
	a.add(change{rev: a.rev, deleted: true, event: ev})
}

func (a *apiServer) add(c change) {
	a.log = append(a.log, c)
	a.apply(a.current, c)
	close(a.changed)
	a.changed = make(chan struct{})
}

// elsewhere moves the resourceVersion as writes of other resources do, and compact forgets everything before now.
func (a *apiServer) elsewhere() { a.set(func() { a.rev += 10 }) }
func (a *apiServer) compact()   { a.set(func() { a.rev++; a.compacted = a.rev }) }

// set changes how the server behaves.
func (a *apiServer) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// endWatches ends every watch that is open, as a server does that stops or that thinks it is time.
func (a *apiServer) endWatches() {
	a.set(func() {
		close(a.closed)
		a.closed = make(chan struct{})
	})
}

// restore brings back the state at rev, as a backup does: what came later is forgotten and its numbers are given again.
func (a *apiServer) restore(rev uint64) {
	a.set(func() {
		a.log = slices.DeleteFunc(a.log, func(c change) bool { return c.rev > rev })
		a.rev, a.current = rev, a.state(rev)
		a.compacted = min(a.compacted, rev)
	})
	a.endWatches()
}

func (a *apiServer) now() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rev
}

// revisions are all that were ever written, as uid/resourceVersion.
func (a *apiServer) revisions() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, c := range a.log {
		if !c.deleted {
			all = append(all, string(c.event.UID)+"/"+c.event.ResourceVersion)
		}
	}
	return all
}

// state is the events as they were at rev, by name.
func (a *apiServer) state(rev uint64) map[string]corev1.Event {
	now := map[string]corev1.Event{}
	for _, c := range a.log {
		if c.rev <= rev {
			a.apply(now, c)
		}
	}
	return now
}

func (a *apiServer) apply(state map[string]corev1.Event, c change) {
	if c.deleted {
		delete(state, c.event.Name)
		return
	}
	state[c.event.Name] = c.event
}

func (a *apiServer) namespace(w http.ResponseWriter, r *http.Request) {
	a.write(w, r, http.StatusOK, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: types.UID(a.uid)}})
}

func (a *apiServer) review(w http.ResponseWriter, r *http.Request) {
	review := new(authorizationv1.SelfSubjectAccessReview)
	body := make([]byte, r.ContentLength)
	if _, err := r.Body.Read(body); err != nil && err.Error() != "EOF" {
		a.t.Error(err)
	}
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, review); err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	review.Status.Allowed = !a.denied[review.Spec.ResourceAttributes.Verb+" "+review.Spec.ResourceAttributes.Resource]
	a.mu.Unlock()
	a.write(w, r, http.StatusCreated, review)
}

func (a *apiServer) events(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "" {
		a.list(w, r)
		return
	}
	a.watch(w, r)
}

var gone = apierrors.NewResourceExpired("The resourceVersion for the provided list or watch is too old")

// list serves pages in the order of names; a page after the first is of the revision of the first.
func (a *apiServer) list(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists++
	q := r.URL.Query()
	rev, from := a.rev, ""
	if q.Get("resourceVersionMatch") == "Exact" {
		rev, _ = strconv.ParseUint(q.Get("resourceVersion"), 10, 64)
	}
	if c := q.Get("continue"); c != "" {
		at, name, _ := strings.Cut(c, "/")
		rev, _ = strconv.ParseUint(at, 10, 64)
		from = name
	}
	if rev < a.compacted {
		a.write(w, r, http.StatusGone, &gone.ErrStatus)
		return
	}
	limit, _ := strconv.Atoi(q.Get("limit"))
	state := a.state(rev)
	list := &corev1.EventList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatUint(rev, 10)}}
	for _, name := range slices.Sorted(maps.Keys(state)) {
		if name <= from {
			continue
		}
		if limit > 0 && len(list.Items) == limit {
			list.Continue = fmt.Sprintf("%d/%s", rev, list.Items[limit-1].Name)
			break
		}
		list.Items = append(list.Items, state[name])
	}
	a.write(w, r, http.StatusOK, list)
}

func (a *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	rev, err := strconv.ParseUint(r.URL.Query().Get("resourceVersion"), 10, 64)
	if err != nil && !initial {
		a.t.Errorf("a watch without a resourceVersion: %v", err)
	}
	a.mu.Lock()
	if initial && a.paged {
		a.mu.Unlock()
		a.write(w, r, http.StatusUnprocessableEntity, &apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil).ErrStatus)
		return
	}
	var listed map[string]corev1.Event
	if initial {
		a.lists++
		rev, listed = a.rev, a.state(a.rev)
	} else {
		a.watches++
	}
	a.accepted = append(a.accepted, r.Header.Get("Accept"))
	old, style, closed, empty := rev < a.compacted, a.expiry, a.closed, a.empty
	a.mu.Unlock()
	if old && style == expiryStatus {
		a.write(w, r, http.StatusGone, &gone.ErrStatus)
		return
	}
	info := a.negotiate(r)
	out := &frameWriter{w: w, encode: info}
	w.Header().Set("Content-Type", info.MediaType+streamParameter(info))
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		ev := listed[name]
		if err := out.send("ADDED", &ev); err != nil {
			return
		}
	}
	if initial {
		if err := out.send("BOOKMARK", &corev1.Event{ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: strconv.FormatUint(rev, 10), Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		}}); err != nil {
			return
		}
	}
	switch {
	case old && style == expiryEmpty, empty && !initial:
		return
	case old:
		if err := out.send("ERROR", &gone.ErrStatus); err != nil {
			a.t.Error(err)
		}
		return
	}
	for {
		a.mu.Lock()
		changed := a.changed
		var todo []change
		if !a.stall {
			i, _ := slices.BinarySearchFunc(a.log, rev+1, func(c change, rev uint64) int { return cmp.Compare(c.rev, rev) })
			todo = slices.Clone(a.log[i:])
		}
		a.mu.Unlock()
		for _, c := range todo {
			kind := "MODIFIED"
			switch {
			case c.deleted:
				kind = "DELETED"
			case c.event.Count == 1:
				kind = "ADDED"
			}
			if junk := a.junkFor(c.rev); junk != nil {
				if err := out.sendRaw(kind, junk); err != nil {
					return
				}
			} else if err := out.send(kind, &c.event); err != nil {
				return
			}
			rev = c.rev
		}
		select {
		case <-changed:
		case <-closed:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (a *apiServer) junkFor(rev uint64) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.junk[rev]
}

func (a *apiServer) negotiate(r *http.Request) runtime.SerializerInfo {
	if a.json {
		r = &http.Request{}
	}
	return negotiate(r)
}

func negotiate(r *http.Request) runtime.SerializerInfo {
	media := runtime.ContentTypeJSON
	if strings.Contains(r.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
		media = runtime.ContentTypeProtobuf
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), media)
	return info
}

func streamParameter(info runtime.SerializerInfo) string {
	if info.MediaType == runtime.ContentTypeProtobuf {
		return ";stream=watch"
	}
	return ""
}

func (a *apiServer) write(w http.ResponseWriter, r *http.Request, status int, object runtime.Object) {
	info := a.negotiate(r)
	object = object.DeepCopyObject() // the encoder writes the kind into it
	w.Header().Set("Content-Type", info.MediaType)
	w.WriteHeader(status)
	if err := versioned(info.Serializer, object).Encode(object, w); err != nil && r.Context().Err() == nil {
		a.t.Logf("answering %s: %v", r.URL, err)
	}
}

func versioned(s runtime.Serializer, object runtime.Object) runtime.Encoder {
	gv := schema.GroupVersion{Version: "v1"}
	if kinds, _, err := scheme.Scheme.ObjectKinds(object); err == nil {
		gv = kinds[0].GroupVersion()
	}
	return scheme.Codecs.EncoderForVersion(s, gv)
}

// frameWriter writes watch events as the stream serializer of the media type wants them.
type frameWriter struct {
	w      http.ResponseWriter
	encode runtime.SerializerInfo
}

func (f *frameWriter) send(kind string, object runtime.Object) error {
	object = object.DeepCopyObject() // the encoder writes the kind into it
	// Objects inside a watch event are encoded by the stream serializer's embedded one.
	raw, err := runtime.Encode(versioned(f.encode.Serializer, object), object)
	if err != nil {
		return err
	}
	return f.sendRaw(kind, raw)
}

func (f *frameWriter) sendRaw(kind string, raw []byte) error {
	event := &metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: raw}}
	var b strings.Builder
	if err := f.encode.StreamSerializer.Encode(event, &b); err != nil {
		return err
	}
	if _, err := f.encode.StreamSerializer.NewFrameWriter(f.w).Write([]byte(b.String())); err != nil {
		return err
	}
	f.w.(http.Flusher).Flush()
	return nil
}

// eventually polls, because what is waited for happens in other goroutines and behind sockets.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
