package e2e

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

const (
	replaySteps = 40
	replayPods  = 15
	downStep    = 20 // a node goes, and in the next step pods on it are killed
)

type replayHistory struct {
	topics schemas.Topics
	rng    *rand.Rand
	start  time.Time
}

func (h *replayHistory) step(i int) ([]*kgo.Record, error) {
	var records []*kgo.Record
	add := func(c, reason, kind, name string, at time.Time) error {
		rec, err := h.record(c, reason, kind, name, at)
		records = append(records, rec)
		if h.rng.IntN(5) == 0 && err == nil {
			again := *rec
			records = append(records, &again)
		}
		return err
	}
	for _, c := range replayClusters {
		if i == downStep {
			if err := add(c, "NodeNotReady", "Node", "node-3", h.start.Add(80*time.Minute)); err != nil {
				return nil, err
			}
		}
		for p := range replayPods {
			reason, at := h.pod(i, p)
			if reason == "" {
				continue
			}
			if err := add(c, reason, "Pod", fmt.Sprint("pod-", p), at); err != nil {
				return nil, err
			}
		}
	}
	return records, nil
}

// pod is what happens to pod p in step i, "" for nothing. Ten steps are forty minutes: a fast loop and then quiet, or for every fourth
// pod a loop that is too slow to be one.
func (h *replayHistory) pod(i, p int) (reason string, at time.Time) {
	at = h.start.Add(time.Duration(i/10)*40*time.Minute + time.Duration(p)*time.Second)
	if p%4 == 0 {
		return "BackOff", at.Add(time.Duration(i%10) * 4 * time.Minute)
	}
	at = at.Add(time.Duration(i%10) * 90 * time.Second)
	switch {
	case i%10 >= 6 && p%2 == 0:
		return "", at
	case i%10 == 5 && p%3 == 0:
		return "Started", at
	case i == downStep+1 && p%5 == 3:
		return "Killing", at
	}
	return "BackOff", at
}

func (h *replayHistory) record(c, reason, kind, name string, at time.Time) (*kgo.Record, error) {
	d := &schemas.Document{Timestamp: at, Message: reason + " of " + name}
	d.Event.ID, d.Event.Action, d.Event.Created = fmt.Sprintf("%s/%s/%s/%d", c, name, reason, at.Unix()), reason, at
	d.Orchestrator.Cluster.Name = c
	s := schemas.Subject{APIVersion: "v1", Kind: kind, Name: name}
	if kind == "Pod" {
		s.Namespace, d.Kubernetes.Namespace = "shop", "shop"
		d.Kubernetes.Node = &schemas.KubernetesName{Name: "node-" + name[len(name)-1:]}
	}
	d.Kubernetes.Event = &schemas.KubernetesEvent{Type: "Warning", Reason: reason, InvolvedObject: s}
	d.Kubescribe.Type, d.Kubescribe.Class = schemas.TypeEvent, schemas.ClassWarning
	value, err := d.Encode()
	if err != nil {
		return nil, err
	}
	rec := &kgo.Record{Topic: h.topics.Enriched(c), Key: []byte(s.Key()), Value: value}
	for _, header := range d.Headers() {
		rec.Headers = append(rec.Headers, kgo.RecordHeader(header))
	}
	return rec, nil
}
