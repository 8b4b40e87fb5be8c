package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		_, err := describe(ctx, cl, topics)
		if err == nil {
			return nil
		}
		// A topic that was created this moment may not be known to every broker.
		var missing *configError
		if errors.As(err, &missing) && time.Since(asked) > missingPatience || patience.over(err, false) {
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

// describe asks a broker, not a cache, about topics. A missing one is a configError. With no topics it only asks for an answer.
func describe(ctx context.Context, cl *kgo.Client, topics []string) (map[string]described, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("asking for topics: %w", err)
	}
	found := map[string]described{}
	var missing, other []error
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, &configError{fmt.Sprintf("topic %s does not exist: create it with `kubescribe topics apply`", *t.Topic)})
		case err != nil:
			other = append(other, fmt.Errorf("topic %s: %w", *t.Topic, err))
		default:
			slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
			found[*t.Topic] = described{t.TopicID, t.Partitions}
		}
	}
	return found, errors.Join(append(missing, other...)...)
}
