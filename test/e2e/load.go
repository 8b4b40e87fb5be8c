package e2e

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// written is one revision that the API server acknowledged to the load generator. It serves for latencies only; what should
// be there is read from etcd.
type written struct {
	uid, rv string
	at      time.Time
}

// load writes Events about a pod through the API server: bursts of new Events, and every tenth Event's count is bumped once.
type load struct {
	client kubernetes.Interface
	pod    *corev1.Pod
	burst  int
	every  time.Duration

	mu   sync.Mutex
	done []written
	err  error
}

// run writes until ctx ends. A refused or failed write ends it with an error.
func (l *load) run(ctx context.Context) {
	var last *corev1.Event
	for n := 0; ; {
		for range l.burst {
			e, err := l.client.CoreV1().Events(l.pod.Namespace).Create(ctx, l.event(n), metav1.CreateOptions{})
			l.note(ctx, e, err)
			if n++; n%10 == 0 && last != nil && err == nil {
				last.Count++
				last.LastTimestamp = metav1.Now()
				u, err := l.client.CoreV1().Events(l.pod.Namespace).Update(ctx, last, metav1.UpdateOptions{})
				l.note(ctx, u, err)
			}
			last = e
		}
		if pause(ctx, l.every) != nil {
			return
		}
	}
}

func (l *load) note(ctx context.Context, e *corev1.Event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.done = append(l.done, written{uid: string(e.UID), rv: e.ResourceVersion, at: time.Now()})
	case ctx.Err() == nil && l.err == nil:
		l.err = fmt.Errorf("writing an Event: %w", err)
	}
}

// event is the nth Event, shaped like a kubelet's.
func (l *load) event(n int) *corev1.Event {
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("load.%06d", n), Namespace: l.pod.Namespace},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: l.pod.Namespace, Name: l.pod.Name, UID: l.pod.UID,
			ResourceVersion: l.pod.ResourceVersion, FieldPath: "spec.containers{main}",
		},
		Type: corev1.EventTypeNormal, Reason: "Load", Message: fmt.Sprintf("load event %d of the end-to-end test", n), Count: 1,
		FirstTimestamp: now, LastTimestamp: now, Source: corev1.EventSource{Component: "e2e", Host: l.pod.Spec.NodeName},
	}
}

func (l *load) snapshot() ([]written, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]written(nil), l.done...), l.err
}
