package producer

import (
	"container/heap"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"kubescribe/producer/container"
	"kubescribe/schemas"
)

// recordedPods makes transitions of containers from the pods of recordings, by the same steps as from live ones. Its state is not
// written down: a replay reads its recordings from the start, and so comes to the same facts. No end is too old for it.
type recordedPods struct {
	enabled bool
	options *container.Options
	cluster schemas.Cluster
	states  map[types.UID]*schemas.ObjectState
	due     dues
}

func (p *player) newPods() *recordedPods {
	c := p.cfg.Containers
	return &recordedPods{enabled: c.Enabled, options: c.options(), cluster: p.cluster, states: map[types.UID]*schemas.ObjectState{}}
}

// observe is what is new at this revision, after what has waited until then. A recording that does not say when a revision
// arrived is believed to be as old as the latest time in it.
func (r *recordedPods) observe(rev revision) ([]*schemas.Observation, error) {
	var pod corev1.Pod
	if err := kjson.Unmarshal(rev.raw, &pod); err != nil {
		return nil, fmt.Errorf("decoding pod: %w", err)
	}
	at := rev.observedAt
	if at.IsZero() {
		at = container.Latest(&pod)
	}
	all, err := r.expire(at)
	if err != nil {
		return nil, err
	}
	if rev.gone {
		delete(r.states, pod.UID)
		return all, nil
	}
	say, is, _, err := r.options.Step(r.states[pod.UID], &pod, container.Scene{Cluster: r.cluster, At: at})
	if err != nil {
		return nil, fmt.Errorf("looking at pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	r.keep(pod.UID, is)
	return append(all, say...), nil
}

func (r *recordedPods) keep(uid types.UID, state *schemas.ObjectState) {
	if state == nil {
		delete(r.states, uid)
		return
	}
	r.states[uid] = state
	if at := container.Due(state); !at.IsZero() {
		heap.Push(&r.due, dueAt{at: at, uid: uid})
	}
}

// expire is what had to wait, and still held at the time given.
func (r *recordedPods) expire(at time.Time) (all []*schemas.Observation, err error) {
	for len(r.due) > 0 && !r.due[0].at.After(at) {
		next := heap.Pop(&r.due).(dueAt)
		was := r.states[next.uid]
		if was == nil {
			continue
		}
		if due := container.Due(was); due.IsZero() || due.After(at) {
			continue
		}
		say, is, err := container.Expire(was, next.at)
		if err != nil {
			return nil, err
		}
		r.keep(next.uid, is)
		all = append(all, say...)
	}
	return all, nil
}
