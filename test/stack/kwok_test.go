package stack

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Each lab.mode ends in the container states and events that its name promises.
func TestKwokPlaysEachMode(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", SharedKubernetes(t))
	require.NoError(t, err)
	api, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ctx := testContext(t, 2*time.Minute)
	for _, mode := range []string{"ok", "crash", "oom", "image-pull", "unhealthy"} {
		require.NoError(t, deploy(ctx, api, "mode-"+mode, mode, 1))
	}
	for _, mode := range []string{"ok", "job-fail"} {
		runJob(t, ctx, api, "job-"+mode, mode)
	}

	awaitPod(t, ctx, api, "mode-ok", func(p *corev1.Pod, c corev1.ContainerStatus) bool {
		return p.Status.Phase == corev1.PodRunning && c.Ready && c.RestartCount == 0 && c.ContainerID != ""
	})
	for mode, want := range map[string]corev1.ContainerStateTerminated{
		"crash": {Reason: "Error", ExitCode: 1}, "oom": {Reason: "OOMKilled", ExitCode: 137},
	} {
		pod := awaitPod(t, ctx, api, "mode-"+mode, func(_ *corev1.Pod, c corev1.ContainerStatus) bool {
			last := c.LastTerminationState.Terminated
			return c.RestartCount >= 1 && c.State.Running != nil && last != nil && last.Reason == want.Reason && last.ExitCode == want.ExitCode
		})
		status := pod.Status.ContainerStatuses[0]
		require.NotEqual(t, status.ContainerID, status.LastTerminationState.Terminated.ContainerID, "a restart is another container")
		awaitPod(t, ctx, api, "mode-"+mode, func(_ *corev1.Pod, c corev1.ContainerStatus) bool {
			return c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
		})
		requireCountedBackOff(t, ctx, api, pod.Name)
	}
	awaitPod(t, ctx, api, "mode-image-pull", func(p *corev1.Pod, c corev1.ContainerStatus) bool {
		return p.Status.Phase == corev1.PodPending && c.State.Waiting != nil && c.State.Waiting.Reason == "ImagePullBackOff" && c.ContainerID == ""
	})
	requireReasons(t, ctx, api, "mode-image-pull-", "Scheduled", "Pulling", "Failed", "BackOff")
	awaitPod(t, ctx, api, "mode-unhealthy", func(p *corev1.Pod, c corev1.ContainerStatus) bool {
		return p.Status.Phase == corev1.PodRunning && !c.Ready && c.State.Running != nil
	})
	requireReasons(t, ctx, api, "mode-unhealthy-", "Unhealthy")
	awaitPod(t, ctx, api, "job-ok", func(p *corev1.Pod, c corev1.ContainerStatus) bool {
		return p.Status.Phase == corev1.PodSucceeded && c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
	})
	awaitPod(t, ctx, api, "job-job-fail", func(p *corev1.Pod, c corev1.ContainerStatus) bool {
		return p.Status.Phase == corev1.PodFailed && c.State.Terminated != nil && c.State.Terminated.ExitCode == 3
	})
	requireReasons(t, ctx, api, "job-", "SuccessfulCreate", "Completed", "BackoffLimitExceeded")

	require.NoError(t, api.AppsV1().Deployments("default").Delete(ctx, "mode-ok", metav1.DeleteOptions{}))
	requireReasons(t, ctx, api, "mode-ok-", "Killing")
}

func runJob(t *testing.T, ctx context.Context, api kubernetes.Interface, name, mode string) {
	noRetry := int32(0)
	_, err := api.BatchV1().Jobs("default").Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{BackoffLimit: &noRetry, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name, "lab.mode": mode}},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "main", Image: "registry.example/job:1"}},
			},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// awaitPod waits until the only pod with this label app is as wanted.
func awaitPod(
	t *testing.T, ctx context.Context, api kubernetes.Interface, app string, want func(*corev1.Pod, corev1.ContainerStatus) bool,
) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	require.Eventually(t, func() bool {
		pods, err := api.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		require.NoError(t, err)
		if len(pods.Items) != 1 {
			return false
		}
		pod = &pods.Items[0]
		return len(pod.Status.ContainerStatuses) == 1 && want(pod, pod.Status.ContainerStatuses[0])
	}, 45*time.Second, 100*time.Millisecond, "the pod of %s did not get there", app)
	return pod
}

// requireCountedBackOff waits for an Event that was written more than once: one object, a growing count.
func requireCountedBackOff(t *testing.T, ctx context.Context, api kubernetes.Interface, pod string) {
	t.Helper()
	var events []corev1.Event
	require.Eventually(t, func() bool {
		list, err := api.CoreV1().Events("default").List(ctx, metav1.ListOptions{
			FieldSelector: "reason=BackOff,involvedObject.name=" + pod,
		})
		require.NoError(t, err)
		events = list.Items
		return len(events) == 1 && events[0].Count >= 2
	}, 45*time.Second, 100*time.Millisecond, "BackOff events of %s", pod)
	require.True(t, events[0].FirstTimestamp.Before(&events[0].LastTimestamp))
}

func TestPodLogsComeThroughTheAPIServer(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", SharedKubernetes(t))
	require.NoError(t, err)
	api, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ctx := testContext(t, time.Minute)
	require.NoError(t, deploy(ctx, api, "talks", "ok", 1))
	pod := awaitPod(t, ctx, api, "talks", func(*corev1.Pod, corev1.ContainerStatus) bool { return true })
	for previous, want := range map[bool]string{false: "panic: no database", true: "invalid memory address"} {
		text, err := api.CoreV1().Pods("default").GetLogs(pod.Name, &corev1.PodLogOptions{Previous: previous}).DoRaw(ctx)
		require.NoError(t, err)
		require.Contains(t, string(text), want)
	}
}
