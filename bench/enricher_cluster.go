package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kubescribe/enricher"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// podsEach is how many pods a Deployment has.
const podsEach = 20

// startLargeCluster starts a control plane that holds n pods with their ReplicaSets, Deployments and Services, and nobody who
// touches them: the controllers that would are off. No node runs them.
func (e *Env) startLargeCluster(ctx context.Context, n int) (*rest.Config, string, error) {
	if err := stack.Prepare(ctx, stack.PartKafka, stack.PartKubernetes); err != nil {
		return nil, "", err
	}
	k, err := stack.StartKubernetes(ctx, e.path("kubernetes"), stack.WithNodes(1), stack.WithComponentFlags("kube-controller-manager",
		"--controllers=*,-replicaset-controller,-deployment-controller,-endpoints-controller,-endpointslice-controller,"+
			"-endpointslice-mirroring-controller,-garbage-collector-controller,-pod-garbage-collector-controller,-disruption-controller"))
	if err != nil {
		return nil, "", err
	}
	e.onClose(func() { _ = k.Stop() })
	rc, err := k.Config()
	if err != nil {
		return nil, "", err
	}
	client, err := protobuf(rc)
	if err != nil {
		return nil, "", err
	}
	var mu sync.Mutex
	const writers = 8
	g, gctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for i := w; i < n/podsEach; i += writers {
				app := fmt.Sprint("app-", i)
				d, err := client.AppsV1().Deployments("default").Create(gctx, workload(app), metav1.CreateOptions{})
				if err != nil {
					return fmt.Errorf("creating a Deployment: %w", err)
				}
				rs, err := client.AppsV1().ReplicaSets("default").Create(gctx, replicaSet(d), metav1.CreateOptions{})
				if err != nil {
					return fmt.Errorf("creating a ReplicaSet: %w", err)
				}
				svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: app}, Spec: corev1.ServiceSpec{
					Selector: d.Spec.Selector.MatchLabels, ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 80}},
				}}
				if _, err := client.CoreV1().Services("default").Create(gctx, svc, metav1.CreateOptions{}); err != nil {
					return fmt.Errorf("creating a Service: %w", err)
				}
				for j := range podsEach {
					p, err := client.CoreV1().Pods("default").Create(gctx, podOf(rs, j), metav1.CreateOptions{})
					if err != nil {
						return fmt.Errorf("creating a pod: %w", err)
					}
					mu.Lock()
					e.pods = append(e.pods, schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)})
					mu.Unlock()
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, "", err
	}
	e.logf("%d pods stored", len(e.pods))
	return rc, k.Kubeconfig, nil
}

func workload(app string) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "bench", "team": "team-of-" + app}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: app, Labels: labels}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": app}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec(app)},
	}}
}

// podSpec is of the usual size: two containers with variables, mounts and resources. No scheduler feels responsible.
func podSpec(app string) corev1.PodSpec {
	s := corev1.PodSpec{SchedulerName: "nobody", Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}}
	for _, name := range []string{"main", "sidecar"} {
		c := corev1.Container{Name: name, Image: "registry.example/" + app + "/" + name + ":1.4.2", Command: []string{"/bin/" + name, "--listen=:8080"}}
		for i := range 15 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprint("SETTING_", i), Value: "a value of the usual length for a variable"})
		}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		s.Containers = append(s.Containers, c)
	}
	return s
}

func replicaSet(d *appsv1.Deployment) *appsv1.ReplicaSet {
	hash := "798479d4f6"
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name + "-" + hash, Labels: map[string]string{"pod-template-hash": hash}, Annotations: map[string]string{"deployment.kubernetes.io/revision": "1"}},
		Spec:       appsv1.ReplicaSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template},
	}
	rs.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	return rs
}

func podOf(rs *appsv1.ReplicaSet, n int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%05d", rs.Name, n), Labels: map[string]string{}}, Spec: rs.Spec.Template.Spec}
	for k, v := range rs.Spec.Template.Labels {
		p.Labels[k] = v
	}
	p.Labels["pod-template-hash"] = rs.Labels["pod-template-hash"]
	p.Annotations = map[string]string{"prometheus.io/scrape": "true", "kubectl.kubernetes.io/restartedAt": "2026-11-20T10:00:00Z"}
	p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
	return p
}

// cpuTime is what this process has spent.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory has the real binary fill its caches and enrich the whole topic, and returns its largest resident size in MiB.
func (e *Env) peakMemory(ctx context.Context, kubeconfig, topic string) (int, error) {
	binary, config := e.path("kubescribe"), e.path("kubescribe.yaml")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "kubescribe/cmd/kubescribe").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	err := os.WriteFile(config, fmt.Appendf(nil, `
cluster: %s
log: {level: warn, format: text}
http: {listen: ""}
kafka: {brokers: [%q]}
kubernetes: {kubeconfig: %q}
`, cluster, e.kafka.Bootstrap, kubeconfig), 0o600)
	if err != nil {
		return 0, err
	}
	if err := e.forget(ctx, enricher.Group(cluster)); err != nil {
		return 0, err
	}
	var logs bytes.Buffer
	var most int
	_, err = e.untilConsumed(ctx, enricher.Group(cluster), topic, func(ctx context.Context) error {
		cmd := exec.Command(binary, "enricher", "--config", config)
		cmd.Stderr = &logs
		if err := cmd.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			return fmt.Errorf("the enricher ended: %w\n%s", err, logs.Bytes())
		case <-ctx.Done():
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err == nil {
			if m := peak.FindSubmatch(status); m != nil {
				kb, _ := strconv.Atoi(string(m[1]))
				most = kb >> 10
			}
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return <-ended
	})
	if err == nil && most == 0 {
		err = fmt.Errorf("the enricher's memory could not be read (there is no /proc)\n%s", logs.Bytes())
	}
	e.logf("the enricher's peak memory: %d MiB", most)
	return most, err
}
