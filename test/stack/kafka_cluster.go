package stack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// KafkaCluster is several real brokers, each a controller too, with everything replicated to all of them and one that may be
// away: what production has, and what keeps Kafka's promises while a broker is killed. Its methods may not be called at the same time.
type KafkaCluster struct {
	Bootstrap string   // host:port of all, separated by commas
	Dir       string   // absolute; one folder for each broker
	Brokers   []*Kafka // Kill, Restart and Log are those of one broker
}

// StartKafkaCluster starts n brokers on dir, and returns when all serve. A start on the dir of an earlier cluster brings back its data
// on its ports. The caller stops the cluster. The topics that Kafka keeps for itself are replicated n times, with one fewer needed to
// write; those of a test are as it creates them.
func StartKafkaCluster(ctx context.Context, dir string, n int, opts ...KafkaOption) (*KafkaCluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("starting kafka: %w", err)
	}
	if err := Prepare(ctx, PartKafka); err != nil {
		return nil, err
	}
	c := &KafkaCluster{Dir: dir}
	var names []string
	id := newClusterID()
	for i := range n {
		k, err := newKafka(filepath.Join(dir, fmt.Sprintf("broker-%d", i+1)))
		if err != nil {
			return nil, err
		}
		k.node, k.clusterID, k.heap = i+1, id, 256
		for _, opt := range opts {
			opt.applyKafka(k)
		}
		c.Brokers = append(c.Brokers, k)
		names = append(names, fmt.Sprintf("broker-%d", i+1), fmt.Sprintf("controller-%d", i+1))
	}
	err = exclusively(ctx, dir, func() error {
		for _, k := range c.Brokers {
			if err := k.server.requireStopped(); err != nil {
				return err
			}
		}
		return settle(dir, names, func(ports map[string]int) error {
			err := c.start(ctx, ports)
			if err != nil {
				err = errors.Join(err, c.killAll())
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// start runs all brokers at once: one alone has no quorum.
func (c *KafkaCluster) start(ctx context.Context, ports map[string]int) error {
	var voters, bootstrap []string
	for _, k := range c.Brokers {
		voters = append(voters, fmt.Sprintf("%d@%s", k.node, loopback(ports[fmt.Sprintf("controller-%d", k.node)])))
		bootstrap = append(bootstrap, loopback(ports[fmt.Sprintf("broker-%d", k.node)]))
	}
	c.Bootstrap = strings.Join(bootstrap, ",")
	for _, k := range c.Brokers {
		c.replicate(k, strings.Join(voters, ","))
		own := map[string]int{"broker": ports[fmt.Sprintf("broker-%d", k.node)], "controller": ports[fmt.Sprintf("controller-%d", k.node)]}
		if err := k.configure(ctx, own); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, k := range c.Brokers {
		g.Go(func() error { return k.serve(gctx) })
	}
	return g.Wait()
}

// replicate sets what is different from a broker that is alone.
func (c *KafkaCluster) replicate(k *Kafka, voters string) {
	all, enough := fmt.Sprint(len(c.Brokers)), fmt.Sprint(max(1, len(c.Brokers)-1))
	for key, value := range map[string]string{
		"node.id":                                          fmt.Sprint(k.node),
		"controller.quorum.voters":                         voters,
		"default.replication.factor":                       all,
		"min.insync.replicas":                              enough,
		"offsets.topic.replication.factor":                 all,
		"transaction.state.log.replication.factor":         all,
		"transaction.state.log.min.isr":                    enough,
		"share.coordinator.state.topic.replication.factor": all,
		"share.coordinator.state.topic.min.isr":            enough,
	} {
		if _, set := k.properties[key]; !set {
			k.properties[key] = value
		}
	}
}

func (c *KafkaCluster) killAll() error {
	var errs []error
	for _, k := range c.Brokers {
		errs = append(errs, k.Kill())
	}
	return errors.Join(errs...)
}

// Stop shuts all brokers down. They hold no data that anybody will read, so they are not asked to hand over first: the last one could
// not, and would wait for nothing.
func (c *KafkaCluster) Stop() error { return c.killAll() }
