package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
	"kubescribe/producer"
	"kubescribe/schemas"
)

// captureFile is where the case records; it is kept with -dir.
const captureFile = "capture.ndjson.zst"

// startCapture records what the producer is going to see.
func (c *containersRun) startCapture(ctx context.Context) error {
	c.capture = &process{
		name: "capture", binary: c.binary, logs: c.path("capture.log"),
		args: []string{"capture", c.path(captureFile), "--config", c.configFile},
	}
	if err := c.capture.start(); err != nil {
		return err
	}
	c.onClose(func() {
		if c.capture.cmd.ProcessState == nil {
			_ = c.capture.cmd.Process.Kill()
		}
	})
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if info, err := os.Stat(c.path(captureFile)); err == nil && info.Size() > 1000 {
			return nil
		}
		if err := pause(wait, 50*time.Millisecond); err != nil {
			return fmt.Errorf("capture records nothing: %w\n%s", err, tail(c.capture.logs))
		}
	}
}

// replay plays what was captured into topics of another name: it must say the same of each pod, in the same order.
func (c *containersRun) replay(ctx context.Context) error {
	if err := c.capture.stop(); err != nil {
		return err
	}
	const name = "replayed"
	k := stream.Default()
	k.Brokers = []string{c.kafka.Bootstrap}
	var specs []stream.TopicSpec
	for _, s := range c.topics.ClusterSpecs(name, 6) {
		specs = append(specs, stream.TopicSpec{Name: s.Name, Partitions: s.Partitions, Replication: 1, Configs: s.Configs})
	}
	if _, err := stream.ApplyTopics(ctx, k, stream.Deps{}, specs, false); err != nil {
		return err
	}
	cfg := producer.Default()
	cfg.Containers.ExcludePods = []string{"default/ignored-*", "default/old"} // a recording has no age
	sum, err := producer.Replay(ctx, cfg, name, k, stream.Deps{}, []producer.Recording{producer.File(c.path(captureFile))}, producer.ReplayOptions{ClusterUID: c.clusterUID})
	if err != nil {
		return err
	}
	live, err := c.orders(ctx, cluster)
	if err != nil {
		return err
	}
	played, err := c.orders(ctx, name)
	if err != nil {
		return err
	}
	for pod, ids := range live {
		if !slices.Equal(ids, played[pod]) {
			return fmt.Errorf("of pod %s the producer said\n%s\nand the replay\n%s", pod, strings.Join(ids, "\n"), strings.Join(played[pod], "\n"))
		}
		c.replayed += len(ids)
	}
	if len(played) != len(live) {
		return fmt.Errorf("the replay speaks of %d pods, the producer of %d", len(played), len(live))
	}
	c.logf("the capture holds %d facts, %d of them about containers", sum.Observed, c.replayed)
	return nil
}

// orders are the ids of transitions in the topic, in its order, by pod.
func (c *containersRun) orders(ctx context.Context, cluster string) (map[string][]string, error) {
	pods := map[string][]string{}
	err := c.broker.read(ctx, func(r *kgo.Record) error {
		o, err := schemas.DecodeObservation(r.Value)
		if err == nil && o.Type == schemas.TypeContainer {
			pods[o.Subject.UID] = append(pods[o.Subject.UID], o.ID)
		}
		return err
	}, c.topics.Events(cluster))
	return pods, err
}
