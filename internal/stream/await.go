package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// awaitTopics looks once, before a loop begins, whether its topics are there: a missing one is an answer, an absent broker is
// waited for. It returns nil when ctx ends.
func awaitTopics(ctx context.Context, cfg Config, d Deps, group string, topics []string) error {
	cl, err := newClient(cfg, d, group+"-start", kgo.RetryTimeout(5*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	health := newHealth("stream/"+group, d.Health)
	defer health.set("kafka", "")
	var patience patience
	asked := time.Now()
	for retry := newBackoff(); ctx.Err() == nil; {
		_, missing, err := describe(ctx, cl, topics)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if err == nil {
			err = missingTopics(missing)
		}
		// A topic that was created this moment may not be known to every broker.
		if len(missing) > 0 && time.Since(asked) > missingPatience || patience.over(err, false) {
			return fmt.Errorf("starting group %s: %w", group, explain("", err))
		}
		health.set("kafka", err.Error())
		d.Log.Warn("Kafka or a topic is not ready; tried again", "group", group, "err", err)
		sleep(ctx, min(retry.next(nil), missingPatience))
	}
	return nil
}

const missingPatience = 5 * time.Second

// described is what the cluster says about one topic.
type described struct {
	id         [16]byte
	partitions []kmsg.MetadataResponseTopicPartition // by number
}

// describe asks a broker, not a cache, about topics. With no topics it only asks for an answer.
func describe(ctx context.Context, cl kmsg.Requestor, topics []string) (found map[string]described, missing []string, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, nil, fmt.Errorf("asking for topics: %w", err)
	}
	found = map[string]described{}
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		switch failed := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(failed, kerr.UnknownTopicOrPartition):
			missing = append(missing, *t.Topic)
		case failed != nil:
			err = errors.Join(err, fmt.Errorf("topic %s: %w", *t.Topic, failed))
		default:
			slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
			found[*t.Topic] = described{t.TopicID, t.Partitions}
		}
	}
	return found, missing, err
}

func missingTopics(names []string) error {
	if len(names) == 1 {
		return &configError{fmt.Sprintf("topic %s does not exist: create it with `kubescribe topics apply`", names[0])}
	}
	return &configError{fmt.Sprintf("topics %s do not exist: create them with `kubescribe topics apply`", strings.Join(names, ", "))}
}
