package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubescribe/producer"
	"kubescribe/test/stack"
)

const producerRecords = 20_000

var producerStage = Stage{
	Name:    "producer",
	Ceiling: "a bare client-go protobuf watch that only decodes the same stored Events",
	Unit:    "events/s",
	Measure: measureProducer,
}

// measureProducer drains what an API server has stored into Kafka.
func measureProducer(ctx context.Context, e *Env) (Measured, error) {
	if err := e.startKafka(ctx); err != nil {
		return Measured{}, err
	}
	rc, err := e.startKubernetes(ctx)
	if err != nil {
		return Measured{}, err
	}
	total, err := e.writeEvents(ctx, rc, producerRecords)
	if err != nil {
		return Measured{}, err
	}
	ceiling, err := best(ctx, e, "bare watch", total, func(ctx context.Context, _ int) (time.Duration, error) {
		return bareWatch(ctx, rc, total)
	})
	if err != nil {
		return Measured{}, err
	}
	rate, err := best(ctx, e, "producer", total, func(ctx context.Context, round int) (time.Duration, error) {
		return e.drain(ctx, rc, fmt.Sprintf("round%d.", round), total)
	})
	return Measured{Stage: rate, Ceiling: ceiling, Records: total}, err
}

func (e *Env) startKubernetes(ctx context.Context) (*rest.Config, error) {
	if err := stack.Prepare(ctx, "kubernetes"); err != nil {
		return nil, err
	}
	k, err := stack.StartKubernetes(ctx, e.path("kubernetes"))
	if err != nil {
		return nil, err
	}
	e.onClose(func() { _ = k.Stop() })
	rc, err := clientcmd.BuildConfigFromFlags("", k.Kubeconfig)
	if err != nil {
		return nil, err
	}
	rc.QPS = -1
	return rc, nil
}

// protobuf is rc with the wire format that the ceiling and the stage share.
func protobuf(rc *rest.Config) (*kubernetes.Clientset, error) {
	c := rest.CopyConfig(rc)
	c.ContentType, c.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	return kubernetes.NewForConfig(c)
}

// writeEvents stores n Events and returns how many the server holds then.
func (e *Env) writeEvents(ctx context.Context, rc *rest.Config, n int) (int, error) {
	client, err := protobuf(rc)
	if err != nil {
		return 0, err
	}
	const writers = 8
	g, gctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for i := w; i < n; i += writers {
				now := metav1.Now()
				_, err := client.CoreV1().Events("default").Create(gctx, &corev1.Event{
					ObjectMeta:     metav1.ObjectMeta{Name: "bench." + strconv.Itoa(i), Namespace: "default"},
					InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "pod-" + strconv.Itoa(i%500), UID: "u"},
					Type:           corev1.EventTypeNormal, Reason: "Pulled", Count: 1, FirstTimestamp: now, LastTimestamp: now,
					Message: `Container image "registry.example/web:1.0" already present on machine and can be accessed by the pod`,
					Source:  corev1.EventSource{Component: "kubelet", Host: "node-1"},
				}, metav1.CreateOptions{})
				if err != nil {
					return fmt.Errorf("writing an Event: %w", err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	list, err := client.CoreV1().Events("").List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0, err
	}
	total := 1
	if list.RemainingItemCount != nil {
		total += int(*list.RemainingItemCount)
	}
	e.logf("%d Events stored", total)
	return total, nil
}

// bareWatch receives n stored Events over a watch and does nothing with them.
func bareWatch(ctx context.Context, rc *rest.Config, n int) (time.Duration, error) {
	client, err := protobuf(rc)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	w, err := client.CoreV1().Events("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	for got := 0; got < n; got++ {
		if _, ok := <-w.ResultChan(); !ok {
			return 0, fmt.Errorf("the bare watch closed after %d of %d Events", got, n)
		}
	}
	return time.Since(began), nil
}

// drain runs a new producer until the topic holds n records, read committed.
func (e *Env) drain(ctx context.Context, rc *rest.Config, prefix string, n int) (time.Duration, error) {
	t, err := e.topics(ctx, prefix)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cfg := producer.Default()
	cfg.Lease.Enabled = false
	// The rounds are one producer each: the one before has stopped, and its transactional id is theirs too.
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- producer.Run(ctx, cfg, cluster, e.kafkaConfig(prefix), e.deps(), rc) }()
	const settled = 500 * time.Millisecond
	held, grew := int64(0), began
	for {
		ends, err := e.admin.ListCommittedOffsets(ctx, t.Events(cluster))
		if err != nil {
			return 0, err
		}
		now := int64(0)
		ends.Each(func(o kadm.ListedOffset) { now += o.Offset })
		if now != held {
			held, grew = now, time.Now()
		}
		// The markers of transactions count as offsets too, so the drain ends when nothing more comes, not at n.
		if held >= int64(n) && time.Since(grew) > settled {
			cancel()
			return grew.Sub(began), <-ended
		}
		select {
		case err := <-ended:
			return 0, fmt.Errorf("the producer ended at %d of %d records: %w", held, n, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
