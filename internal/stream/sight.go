package stream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sightEvery is how often a loop looks whether it may still see the topics that it found by a pattern.
const sightEvery = 5 * time.Second

// sight keeps an eye on the topics of a pattern. When an ACL goes away, Kafka simply stops showing a topic: its partitions are
// revoked, and the loop would wait, content, for ever.
type sight struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newSight() *sight { return &sight{seen: map[string]bool{}} }

// saw notes topics that were assigned.
func (s *sight) saw(assigned map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic := range assigned {
		s.seen[topic] = true
	}
}

// report tells health what is forbidden, until stop is closed.
func (s *sight) report(cl *kgo.Client, h *health, stop <-chan struct{}) {
	tick := time.NewTicker(sightEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), sightEvery)
			if reason, err := s.look(ctx, cl); err == nil { // no answer is the link's to report
				h.set("topics", reason)
			}
			cancel()
		case <-stop:
			h.set("topics", "")
			return
		}
	}
}

// look asks for the topics by name, which is answered differently for what is forbidden and what was deleted.
func (s *sight) look(ctx context.Context, cl *kgo.Client) (reason string, err error) {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.seen))
	s.mu.Unlock()
	if len(names) == 0 {
		return "", nil
	}
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return "", err
	}
	var forbidden []string
	for _, t := range resp.Topics {
		switch failed := kerr.ErrorForCode(t.ErrorCode); {
		case t.Topic == nil:
		case errors.Is(failed, kerr.TopicAuthorizationFailed):
			forbidden = append(forbidden, *t.Topic)
		case errors.Is(failed, kerr.UnknownTopicOrPartition):
			s.mu.Lock()
			delete(s.seen, *t.Topic)
			s.mu.Unlock()
		}
	}
	if len(forbidden) == 0 {
		return "", nil
	}
	slices.Sort(forbidden)
	return explain(strings.Join(forbidden, ", "), kerr.TopicAuthorizationFailed).Error(), nil
}
