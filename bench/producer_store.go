package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kubescribe/producer"
	"kubescribe/test/stack"
)

// producerBench is what the parts of the producer's benchmark share.
type producerBench struct {
	*Env
	k      *stack.Kubernetes
	rc     *rest.Config
	sample *corev1.Event // as the API server stores it, managedFields and all
}

// writeOne writes an Event through the API server.
func (p *producerBench) writeOne(ctx context.Context, name string) (*corev1.Event, error) {
	client, err := protobuf(p.rc)
	if err != nil {
		return nil, err
	}
	return client.CoreV1().Events("default").Create(ctx, benchEvent(name, 0), metav1.CreateOptions{})
}

func benchEvent(name string, i int) *corev1.Event {
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "pod-" + strconv.Itoa(i%500), UID: "6f0f4c57-9a37-4a1d-8f0c-9b3e4c1b6a52",
			ResourceVersion: strconv.Itoa(1000 + i), FieldPath: "spec.containers{main}",
		},
		Type: corev1.EventTypeNormal, Reason: "Pulled", Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Message: fmt.Sprintf(`Container image "registry.example/web:1.0.%d" already present on machine and can be accessed by the pod`, i),
		Source:  corev1.EventSource{Component: "kubelet", Host: "node-" + strconv.Itoa(i%40)},
	}
}

// store puts the Events from up to, each one revision, where the API server finds them: through the API server it would take minutes.
func (p *producerBench) store(ctx context.Context, from, to int) error {
	began := time.Now()
	err := stack.PutInEtcd(ctx, p.k.EtcdEndpoint, to-from, func(i int) (string, []byte, error) {
		i += from
		e := benchEvent(fmt.Sprintf("pod-%d.%x", i%500, 1<<40+i), i)
		e.UID, e.CreationTimestamp, e.ManagedFields = types.UID(uuid.NewString()), metav1.Now(), p.sample.ManagedFields
		b, err := stack.StoredForm(e)
		return stack.EventsPrefix + "default/" + e.Name, b, err
	})
	p.logf("%d Events stored in %.1f s", to-from, time.Since(began).Seconds())
	return err
}

// storePods puts pods that run on nodes that nobody watches over.
func (p *producerBench) storePods(ctx context.Context, n int) error {
	return stack.PutInEtcd(ctx, p.k.EtcdEndpoint, n, func(i int) (string, []byte, error) {
		name := fmt.Sprintf("web-%d", i)
		b, err := stack.StoredForm(benchPod(name, i))
		return stack.PodsPrefix + "default/" + name, b, err
	})
}

func benchPod(name string, i int) *corev1.Pod {
	now := metav1.Now()
	container := func(name string) corev1.Container {
		return corev1.Container{
			Name: name, Image: "registry.example/" + name + ":1.0", TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File",
			ImagePullPolicy: "IfNotPresent", Env: []corev1.EnvVar{{Name: "MODE", Value: "production"}, {Name: "ZONE", Value: "a"}},
		}
	}
	status := func(name string) corev1.ContainerStatus {
		return corev1.ContainerStatus{
			Name: name, Ready: true, Image: "registry.example/" + name + ":1.0", ImageID: "registry.example/" + name + "@sha256:" + fmt.Sprintf("%064x", i),
			ContainerID: "containerd://" + fmt.Sprintf("%064x", i), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID(uuid.NewString()), CreationTimestamp: now,
			Labels:      map[string]string{"app": "web", "pod-template-hash": "798479d4f6"},
			Annotations: map[string]string{"example.com/team": "checkout", "example.com/config": fmt.Sprintf("%0512d", i)},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-" + strconv.Itoa(i%200), Containers: []corev1.Container{container("main"), container("sidecar")},
			RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: "default-scheduler",
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, StartTime: &now, PodIP: "10.0.0.1",
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}},
			ContainerStatuses: []corev1.ContainerStatus{status("main"), status("sidecar")},
		},
	}
}

// resourceVersion is where the API server is with Events.
func (p *producerBench) resourceVersion(ctx context.Context) (string, error) {
	client, err := protobuf(p.rc)
	if err != nil {
		return "", err
	}
	list, err := client.CoreV1().Events("").List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", err
	}
	return list.ResourceVersion, nil
}

// checkpointNow lets a producer begin with what comes from now on, and stops it.
func (p *producerBench) checkpointNow(ctx context.Context, prefix string) error {
	if _, err := p.topics(ctx, prefix); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cfg := producer.Default()
	cfg.Lease.Enabled, cfg.From, cfg.Containers.Enabled = false, producer.FromNow, false
	ready := make(chan struct{})
	d := p.deps()
	d.Health = whenReady{ready: ready, stop: cancel}
	err := producer.Run(ctx, cfg, cluster, p.kafkaConfig(prefix), d, p.rc)
	select {
	case <-ready:
		return err
	default:
		return fmt.Errorf("the producer was never ready: %w", err)
	}
}

// whenReady stops a producer as soon as it is ready.
type whenReady struct {
	ready chan struct{}
	stop  context.CancelFunc
}

// Set implements stream.HealthReporter. The producer reports from one goroutine at a time.
func (w whenReady) Set(_, reason string) {
	if reason != "" {
		return
	}
	select {
	case <-w.ready:
	default:
		close(w.ready)
		w.stop()
	}
}

// bareWatch receives n stored Events over a watch and does nothing with them. From "" the server shows what there is now, from a
// resourceVersion every revision since.
func bareWatch(ctx context.Context, rc *rest.Config, from string, n int) (time.Duration, error) {
	client, err := protobuf(rc)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	w, err := client.CoreV1().Events("").Watch(ctx, metav1.ListOptions{ResourceVersion: from})
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
