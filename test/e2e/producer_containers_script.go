package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"kubescribe/schemas"
)

// scenarios are played by pods of these names on the node manual-1. A write of the status is one revision.
var scenarios = map[string]func(*script){
	"oomkilled": func(s *script) {
		s.status(run("main")).status(end("main", 137, "OOMKilled")).says("main", schemas.StateTerminated, "OOMKilled")
		s.annotate().status(backoff("main")).says("main", schemas.StateWaiting, "CrashLoopBackOff")
		s.annotate().status(restart("main")).annotate().annotate()
	},
	"error": func(s *script) {
		s.status(run("main")).status(end("main", 1, "Error")).says("main", schemas.StateTerminated, "Error").status(restart("main"))
	},
	"crash-loop": func(s *script) {
		s.status(run("main"))
		for range 8 {
			s.status(end("main", 1, "Error")).says("main", schemas.StateTerminated, "Error")
			s.status(backoff("main")).says("main", schemas.StateWaiting, "CrashLoopBackOff").status(restart("main"))
		}
	},
	"image-pull": func(s *script) {
		for i := range 3 {
			s.status(wait("main", "ErrImagePull"))
			if i == 0 {
				s.says("main", schemas.StateWaiting, "ErrImagePull")
			}
			s.status(wait("main", "ImagePullBackOff"))
			if i == 0 {
				s.says("main", schemas.StateWaiting, "ImagePullBackOff")
			}
		}
		s.status(run("main"))
	},
	"deletion": func(s *script) {
		s.status(run("main")).delete(30).status(end("main", 143, "Error")).delete(0)
	},
	"crash-then-deletion": func(s *script) {
		s.status(run("main")).status(end("main", 139, "Error")).says("main", schemas.StateTerminated, "Error").delete(30).delete(0)
	},
	"init": func(s *script) {
		s.status(run("setup")).status(end("setup", 1, "Error")).says("setup", schemas.StateTerminated, "Error")
		s.status(backoff("setup")).says("setup", schemas.StateWaiting, "CrashLoopBackOff")
		s.status(restart("setup")).status(end("setup", 0, "Completed")).status(run("main"))
	},
	"two-at-once": func(s *script) {
		s.status(run("main"), run("second")).status(end("main", 1, "Error"), end("second", 137, "OOMKilled"))
		s.says("main", schemas.StateTerminated, "Error").says("second", schemas.StateTerminated, "OOMKilled")
	},
	// Two ends in one revision: one in lastState, one in state.
	"quick-restarts": func(s *script) {
		s.status(run("main"))
		for range 5 {
			s.status(end("main", 2, "Error"), notes("main", "Error"), restart("main"), end("main", 3, "Error"), notes("main", "Error")).noted()
			s.status(restart("main"))
		}
	},
	"ignored-by-name": func(s *script) {
		s.status(run("main")).status(end("main", 1, "Error")).status(backoff("main"))
	},
}

// script writes the status of one pod, step by step. After the first error it does nothing.
type script struct {
	run *containersRun
	ctx context.Context //nolint:containedctx // of one call of play
	pod *corev1.Pod
	ids []string // noted by the steps of a status
	err error
}

// play creates a pod and lets scenario write its status.
func (c *containersRun) play(ctx context.Context, name string, scenario func(*script)) error {
	containers := []string{"main"}
	if name == "two-at-once" {
		containers = append(containers, "second")
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}, Spec: podSpec("manual-1", corev1.RestartPolicyAlways, containers...)}
	if name == "init" {
		pod.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "registry.example/setup:1.0"}}
	}
	c.mu.Lock()
	c.cases++
	c.mu.Unlock()
	pod, err := c.client.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	s := &script{run: c, ctx: ctx, pod: pod}
	scenario(s)
	if s.err != nil {
		return fmt.Errorf("%s: %w", name, s.err)
	}
	return nil
}

func podSpec(node string, policy corev1.RestartPolicy, containers ...string) corev1.PodSpec {
	spec := corev1.PodSpec{NodeName: node, RestartPolicy: policy}
	for _, name := range containers {
		spec.Containers = append(spec.Containers, corev1.Container{Name: name, Image: "registry.example/" + name + ":1.0"})
	}
	return spec
}

// step changes the status as a kubelet would.
type step func(s *script, p *corev1.Pod)

// status writes the steps as one revision, a little after the one before.
func (s *script) status(steps ...step) *script {
	if s.err != nil {
		return s
	}
	if s.err = pause(s.ctx, 400*time.Millisecond); s.err != nil {
		return s
	}
	pods := s.run.client.CoreV1().Pods("default")
	s.err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		p, err := pods.Get(s.ctx, s.pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s.ids = nil
		for _, step := range steps {
			step(s, p)
		}
		p, err = pods.UpdateStatus(s.ctx, p, metav1.UpdateOptions{})
		if err == nil {
			s.pod = p
		}
		return err
	})
	return s
}

// annotate is an update that has nothing to do with containers.
func (s *script) annotate() *script {
	if s.err == nil {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/at":%q}}}`, time.Now().String())
		_, s.err = s.run.client.CoreV1().Pods("default").Patch(s.ctx, s.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	return s
}

// delete asks for the pod's deletion; without grace it is gone.
func (s *script) delete(grace int64) *script {
	if s.err == nil {
		s.err = s.run.client.CoreV1().Pods("default").Delete(s.ctx, s.pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	}
	return s
}

// says expects a transition of the instance that the last status was about.
func (s *script) says(container string, state schemas.ContainerState, reason string) *script {
	if s.err == nil {
		s.run.expect(s.id(status(s.pod, container), state, reason))
	}
	return s
}

// noted expects what the steps of the last status have noted.
func (s *script) noted() *script {
	if s.err == nil {
		s.run.expect(s.ids...)
	}
	return s
}

func (s *script) id(c *corev1.ContainerStatus, state schemas.ContainerState, reason string) string {
	instance := c.ContainerID
	if instance == "" {
		instance = strconv.Itoa(int(c.RestartCount))
	}
	return schemas.ContainerID(s.run.clusterUID, string(s.pod.UID), c.Name, instance, string(state), reason)
}

// status is that of a container, which is added where there is none.
func status(p *corev1.Pod, container string) *corev1.ContainerStatus {
	list := &p.Status.ContainerStatuses
	for _, c := range p.Spec.InitContainers {
		if c.Name == container {
			list = &p.Status.InitContainerStatuses
		}
	}
	for i := range *list {
		if (*list)[i].Name == container {
			return &(*list)[i]
		}
	}
	*list = append(*list, corev1.ContainerStatus{Name: container, Image: "registry.example/" + container + ":1.0"})
	return &(*list)[len(*list)-1]
}

func instance(p *corev1.Pod, container string, restarts int32) string {
	return fmt.Sprintf("containerd://%x", sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", p.UID, container, restarts)))
}

func run(container string) step {
	return func(_ *script, p *corev1.Pod) {
		c := status(p, container)
		c.ContainerID = instance(p, container, c.RestartCount)
		c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
		p.Status.Phase = corev1.PodRunning
	}
}

func restart(container string) step {
	return func(s *script, p *corev1.Pod) {
		c := status(p, container)
		if c.State.Terminated != nil {
			c.LastTerminationState = c.State
		}
		c.RestartCount++
		run(container)(s, p)
	}
}

func end(container string, code int32, reason string) step {
	return func(_ *script, p *corev1.Pod) {
		c := status(p, container)
		started := metav1.Now()
		if c.State.Running != nil {
			started = c.State.Running.StartedAt
		}
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reason, StartedAt: started, FinishedAt: metav1.Now(), ContainerID: c.ContainerID,
		}}
	}
}

// ago dates the end of a container back.
func ago(container string, d time.Duration) step {
	return func(_ *script, p *corev1.Pod) {
		t := status(p, container).State.Terminated
		t.StartedAt, t.FinishedAt = metav1.NewTime(time.Now().Add(-d-time.Hour)), metav1.NewTime(time.Now().Add(-d))
	}
}

func backoff(container string) step {
	return func(_ *script, p *corev1.Pod) {
		c := status(p, container)
		c.LastTerminationState = c.State
		c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off restarting failed container"}}
	}
}

func wait(container, reason string) step {
	return func(_ *script, p *corev1.Pod) {
		status(p, container).State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
		p.Status.Phase = corev1.PodPending
	}
}

// notes remembers the end of the instance that there is at this point of a status.
func notes(container, reason string) step {
	return func(s *script, p *corev1.Pod) {
		s.ids = append(s.ids, s.id(status(p, container), schemas.StateTerminated, reason))
	}
}

// playReal lets the cluster's own controllers and KWOK play a Deployment that runs out of memory, one whose image is missing, a Job
// that ends well and one that fails.
func (c *containersRun) playReal(ctx context.Context) error {
	one := int32(1)
	template := func(app, mode string, policy corev1.RestartPolicy) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app, "lab.mode": mode}}, Spec: podSpec("", policy, "main")}
	}
	deployment := func(app, mode string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: app}, Spec: appsv1.DeploymentSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, Template: template(app, mode, corev1.RestartPolicyAlways),
		}}
	}
	job := func(app, mode string) *batchv1.Job {
		none := int32(0)
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: app}, Spec: batchv1.JobSpec{BackoffLimit: &none, Template: template(app, mode, corev1.RestartPolicyNever)}}
	}
	apps, batch := c.client.AppsV1().Deployments("default"), c.client.BatchV1().Jobs("default")
	var errs []error
	note := func(_ any, err error) { errs = append(errs, err) }
	note(apps.Create(ctx, deployment("real-oom", "oom"), metav1.CreateOptions{}))
	note(apps.Create(ctx, deployment("real-image-pull", "image-pull"), metav1.CreateOptions{}))
	note(batch.Create(ctx, job("real-job", "ok"), metav1.CreateOptions{}))
	note(batch.Create(ctx, job("real-job-fails", "job-fail"), metav1.CreateOptions{}))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.mu.Lock()
	c.cases += 4
	c.mu.Unlock()
	if err := c.realPod(ctx, "real-job", func(p *corev1.Pod, _ *corev1.ContainerStatus) bool { return p.Status.Phase == corev1.PodSucceeded }, nil); err != nil {
		return err
	}
	if err := c.realPod(ctx, "real-job-fails", func(p *corev1.Pod, _ *corev1.ContainerStatus) bool { return p.Status.Phase == corev1.PodFailed }, func(s *script) {
		s.says("main", schemas.StateTerminated, "Error")
	}); err != nil {
		return err
	}
	if err := c.realPod(ctx, "real-image-pull", func(_ *corev1.Pod, m *corev1.ContainerStatus) bool { return m.State.Waiting != nil }, func(s *script) {
		s.says("main", schemas.StateWaiting, "ImagePullBackOff")
	}); err != nil {
		return err
	}
	return c.realPod(ctx, "real-oom", func(p *corev1.Pod, m *corev1.ContainerStatus) bool {
		return m.RestartCount >= 2 && m.State.Running != nil
	}, func(s *script) {
		// It stays up from here on. KWOK may have ended it once more meanwhile.
		patch := []byte(`{"metadata":{"labels":{"lab.mode":"ok"}}}`)
		if _, s.err = s.run.client.CoreV1().Pods("default").Patch(ctx, s.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}); s.err != nil {
			return
		}
		if s.err = pause(ctx, 3*time.Second); s.err != nil {
			return
		}
		if s.pod, s.err = s.run.client.CoreV1().Pods("default").Get(ctx, s.pod.Name, metav1.GetOptions{}); s.err != nil {
			return
		}
		now := status(s.pod, "main")
		for n := range now.RestartCount + 1 {
			then := *now
			then.ContainerID = instance(s.pod, "main", n)
			if n < now.RestartCount || now.State.Running == nil {
				s.run.expect(s.id(&then, schemas.StateTerminated, "OOMKilled"))
			}
			if n < now.RestartCount || now.State.Waiting != nil {
				s.run.expect(s.id(&then, schemas.StateWaiting, "CrashLoopBackOff"))
			}
		}
	})
}

// realPod waits for the pod of a workload to become as until wants it, and then tells what is expected of it.
func (c *containersRun) realPod(ctx context.Context, app string, until func(*corev1.Pod, *corev1.ContainerStatus) bool, tell func(*script)) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		pods, err := c.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			if len(p.Status.ContainerStatuses) == 0 || !until(p, &p.Status.ContainerStatuses[0]) {
				continue
			}
			s := &script{run: c, ctx: ctx, pod: p}
			if tell != nil {
				tell(s)
			}
			return s.err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %w", app, err)
		}
	}
}
