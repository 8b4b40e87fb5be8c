package enricher

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// controlPlane is a real API server and a namespace of the test's own.
type controlPlane struct {
	*kubernetes.Clientset
	t         *testing.T
	rc        *rest.Config
	namespace string
}

func newControlPlane(t *testing.T) *controlPlane {
	t.Helper()
	rc, err := clientcmd.BuildConfigFromFlags("", stack.SharedKubernetes(t))
	require.NoError(t, err)
	rc.QPS = -1
	c, err := kubernetes.NewForConfig(rc)
	require.NoError(t, err)
	p := &controlPlane{Clientset: c, t: t, rc: rc, namespace: "t" + uuid.NewString()}
	_, err = c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), p.namespace, metav1.DeleteOptions{})
	})
	return p
}

func (p *controlPlane) objects(rc *rest.Config, d stream.Deps, change ...func(*Config)) *Live {
	p.t.Helper()
	cfg := Default()
	for _, c := range change {
		c(&cfg)
	}
	l, err := NewObjects(p.t.Context(), cfg, rc, d)
	require.NoError(p.t, err)
	return l
}

// look is a Lookup with the deadline of a batch.
func (p *controlPlane) look(l *Live, s schemas.Subject) Object {
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Second)
	defer cancel()
	return l.Lookup(ctx, s, time.Now())
}

func podRef(o metav1.ObjectMeta) schemas.Subject {
	return schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: o.Namespace, Name: o.Name, UID: string(o.UID)}
}

func template(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "main", Image: "registry.example/" + app + ":1"}}},
	}
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// deploy creates a Deployment of two pods and returns them.
func (p *controlPlane) deploy(app string) []corev1.Pod {
	p.t.Helper()
	two := int32(2)
	_, err := p.AppsV1().Deployments(p.namespace).Create(p.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: app}, Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: selector(app), Template: template(app)},
	}, metav1.CreateOptions{})
	require.NoError(p.t, err)
	return p.pods(app, 2)
}

// pods waits for at least n pods of app.
func (p *controlPlane) pods(app string, n int) []corev1.Pod {
	p.t.Helper()
	var list *corev1.PodList
	require.Eventually(p.t, func() bool {
		var err error
		list, err = p.CoreV1().Pods(p.namespace).List(p.t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		return err == nil && len(list.Items) >= n
	}, time.Minute, 50*time.Millisecond, app)
	return list.Items
}

// kindsOf is the chain in short.
func kindsOf(o Object) string {
	out := ""
	for _, owner := range o.Owners {
		out += "/" + owner.Kind
	}
	return out
}

const crd = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"rollouts.test.kubescribe.example"},
"spec":{"group":"test.kubescribe.example","scope":"Namespaced","names":{"plural":"rollouts","singular":"rollout","kind":"Rollout","listKind":"RolloutList"},
"versions":[{"name":"v1alpha1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`

// Every context equals what the API server itself says.
func TestContextOnARealControlPlane(t *testing.T) {
	p := newControlPlane(t)
	ctx, yes, one := t.Context(), true, int32(1)
	l := p.objects(p.rc, stream.Deps{})

	want := map[string]string{"web": "/ReplicaSet/Deployment", "db": "/StatefulSet", "agent": "/DaemonSet", "tick": "/Job/CronJob", "bare": "", "canary": "/Rollout"}
	p.deploy("web")
	_, err := p.AppsV1().StatefulSets(p.namespace).Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: appsv1.StatefulSetSpec{Replicas: &one, ServiceName: "db", Selector: selector("db"), Template: template("db")},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = p.AppsV1().DaemonSets(p.namespace).Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{Selector: selector("agent"), Template: template("agent")},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	once := template("tick")
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	cron, err := p.BatchV1().CronJobs(p.namespace).Create(ctx, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "tick"},
		Spec:       batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = p.BatchV1().Jobs(p.namespace).Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "tick-1", OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "tick", UID: cron.UID, Controller: &yes}}},
		Spec:       cron.Spec.JobTemplate.Spec,
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare", Labels: map[string]string{"app": "bare"}}, Spec: template("bare").Spec}
	_, err = p.CoreV1().Pods(p.namespace).Create(ctx, pod, metav1.CreateOptions{})
	require.NoError(t, err)

	// A custom kind that is installed after the first discovery was made.
	require.True(t, p.look(l, podRef(p.pods("bare", 1)[0].ObjectMeta)).Found)
	_, err = p.CoreV1().RESTClient().Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").Body([]byte(crd)).
		SetHeader("Content-Type", "application/json").DoRaw(ctx)
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
	gvr := schema.GroupVersionResource{Group: "test.kubescribe.example", Version: "v1alpha1", Resource: "rollouts"}
	rollout := `{"apiVersion":"test.kubescribe.example/v1alpha1","kind":"Rollout","metadata":{"name":"canary","labels":{"app":"canary"}}}`
	require.Eventually(t, func() bool {
		_, err := p.CoreV1().RESTClient().Post().AbsPath("/apis/test.kubescribe.example/v1alpha1/namespaces/"+p.namespace+"/rollouts").
			Body([]byte(rollout)).SetHeader("Content-Type", "application/json").DoRaw(ctx)
		return err == nil || apierrors.IsAlreadyExists(err)
	}, time.Minute, 50*time.Millisecond)
	raw, err := metadata.NewForConfig(metadata.ConfigFor(p.rc))
	require.NoError(t, err)
	owner, err := raw.Resource(gvr).Namespace(p.namespace).Get(ctx, "canary", metav1.GetOptions{})
	require.NoError(t, err)
	pod = &corev1.Pod{Spec: template("canary").Spec, ObjectMeta: metav1.ObjectMeta{
		Name: "canary", Labels: map[string]string{"app": "canary"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "test.kubescribe.example/v1alpha1", Kind: "Rollout", Name: "canary", UID: owner.UID, Controller: &yes}},
	}}
	_, err = p.CoreV1().Pods(p.namespace).Create(ctx, pod, metav1.CreateOptions{})
	require.NoError(t, err)
	l.kinds.now = func() time.Time { return time.Now().Add(discoverAgain) } // a minute later

	cases := 0
	for app, chain := range want {
		for _, pod := range p.pods(app, 1) {
			o := p.look(l, podRef(pod.ObjectMeta))
			require.Equal(t, schemas.EnrichmentComplete, o.Status, "%s: %v", app, o.Missing)
			require.Equal(t, pod.Labels, o.Labels, app)
			require.Equal(t, chain, kindsOf(o), app)
			if len(o.Owners) > 0 {
				require.Equal(t, string(pod.OwnerReferences[0].UID), o.Owners[0].UID, app)
				require.Equal(t, app, o.Owners[len(o.Owners)-1].Name)
			}
			cases++
		}
	}
	require.GreaterOrEqual(t, cases, 9)

	// The involved object of every event that the control plane wrote, the nodes' included.
	events, err := p.CoreV1().Events("").List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	kinds := map[string]int{}
	for _, e := range events.Items {
		i := e.InvolvedObject
		if i.Namespace != p.namespace && i.Kind != "Node" {
			continue
		}
		o := p.look(l, schemas.Subject{APIVersion: i.APIVersion, Kind: i.Kind, Namespace: i.Namespace, Name: i.Name, UID: string(i.UID)})
		require.Equal(t, schemas.EnrichmentComplete, o.Status, "%s %s: %v", i.Kind, i.Name, o.Missing)
		kinds[i.Kind]++

		payload, err := json.Marshal(e)
		require.NoError(t, err)
		d, err := Enrich(observation(t, payload), o, fields())
		require.NoError(t, err)
		require.NoError(t, d.Validate())
	}
	for _, kind := range []string{"Pod", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "Node"} {
		require.Positive(t, kinds[kind], "no event about a %s: %v", kind, kinds)
	}
}

func TestDeletedObjectsOnARealControlPlane(t *testing.T) {
	p := newControlPlane(t)
	l := p.objects(p.rc, stream.Deps{})
	pods := p.deploy("web")
	before := p.look(l, podRef(pods[0].ObjectMeta))
	require.Equal(t, schemas.EnrichmentComplete, before.Status, before.Missing)

	// Pods that are gone before anybody could ask.
	now := int64(0)
	for i := range 20 {
		pod, err := p.CoreV1().Pods(p.namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("short-", i), Labels: map[string]string{"app": "short"}}, Spec: template("short").Spec,
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		require.NoError(t, p.CoreV1().Pods(p.namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
		o := p.look(l, podRef(pod.ObjectMeta))
		require.Equal(t, schemas.EnrichmentComplete, o.Status, "%s: %v", pod.Name, o.Missing)
		require.Equal(t, "short", o.Labels["app"])
	}

	// A name that another object has now.
	stranger := podRef(pods[0].ObjectMeta)
	stranger.UID = uuid.NewString()
	o := p.look(l, stranger)
	require.Equal(t, []string{"object: replaced"}, o.Missing)
	require.Equal(t, Object{Status: schemas.EnrichmentPartial, Missing: o.Missing, NamespaceLabels: o.NamespaceLabels}, o, "nothing of the other object is taken for it")

	// A whole Deployment: its pods keep their chain.
	foreground := metav1.DeletePropagationForeground
	require.NoError(t, p.AppsV1().Deployments(p.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &foreground}))
	require.Eventually(t, func() bool {
		_, err := p.AppsV1().Deployments(p.namespace).Get(t.Context(), "web", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, 2*time.Minute, 50*time.Millisecond)
	after := p.look(l, podRef(pods[0].ObjectMeta))
	require.Equal(t, schemas.EnrichmentComplete, after.Status, after.Missing)
	require.Equal(t, before.Owners, after.Owners)

	// A Live that was not there sees that it is gone.
	require.Equal(t, []string{"object: not found"}, p.look(p.objects(p.rc, stream.Deps{}), podRef(pods[0].ObjectMeta)).Missing)
}

func TestMissingPermissionsOnARealControlPlane(t *testing.T) {
	p := newControlPlane(t)
	pods := p.deploy("web")
	user := "limited-" + p.namespace
	grant := func(name string, rules ...rbacv1.PolicyRule) {
		_, err := p.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = p.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: user}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			_ = p.RbacV1().ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{})
			_ = p.RbacV1().ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	read := []string{"get", "list", "watch"}
	grant(user+"-pods", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: read})

	rc := rest.CopyConfig(p.rc)
	// Discovery is allowed to everybody who is authenticated.
	rc.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	log := &lockedBuffer{}
	var clock atomic.Int64
	l := p.objects(rc, stream.Deps{
		Log: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return time.Now().Add(time.Duration(clock.Load())) },
	})
	look := func() Object {
		var o Object
		require.Eventually(t, func() bool { o = p.look(l, podRef(pods[0].ObjectMeta)); return o.Found }, 10*time.Second, 50*time.Millisecond)
		return o
	}
	for range 3 {
		o := look()
		missing := slices.DeleteFunc(slices.Clone(o.Missing), func(m string) bool { return m == "node: forbidden" }) // once it has one
		require.Equal(t, []string{"owner: forbidden", "namespace: forbidden", "services: forbidden", "rollout: forbidden"}, missing)
		require.Equal(t, "/ReplicaSet", kindsOf(o))
		require.Equal(t, pods[0].Labels, o.Labels)
	}
	require.Eventually(t, func() bool {
		for _, kind := range []string{`\"apps\"], resources: [\"replicasets`, `\"\"], resources: [\"namespaces`, `\"\"], resources: [\"services`, `\"discovery.k8s.io\"], resources: [\"endpointslices`} {
			if strings.Count(log.String(), `{apiGroups: [`+kind+`\"], verbs: [\"list\", \"watch\"]}`) != 1 {
				return false
			}
		}
		return strings.Count(log.String(), `{apiGroups: [\"apps\"], resources: [\"replicasets\"], verbs: [\"get\"]}`) == 1
	}, 10*time.Second, 50*time.Millisecond, log.String())

	// Granting the rules mends it without a restart.
	grant(user+"-apps",
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"replicasets", "deployments"}, Verbs: read},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes", "namespaces", "services"}, Verbs: read},
		rbacv1.PolicyRule{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read})
	clock.Store(int64(answerTTL + time.Second))
	require.Eventually(t, func() bool {
		clock.Add(int64(answerTTL))
		o := look()
		return o.Status == schemas.EnrichmentComplete && kindsOf(o) == "/ReplicaSet/Deployment"
	}, time.Minute, 100*time.Millisecond) // reflectors try again after half a minute at most
}

// An API server that is cut off: what is cached goes on without waiting, what is not costs the deadline at most, and when it
// is back everything is found again.
func TestAnOutageOnARealControlPlane(t *testing.T) {
	p := newControlPlane(t)
	pods := p.deploy("web")
	cut := newCutOff(t, strings.TrimPrefix(p.rc.Host, "https://"))
	rc := rest.CopyConfig(p.rc)
	rc.Host = "https://" + cut.address
	l := p.objects(rc, stream.Deps{})
	require.Equal(t, schemas.EnrichmentComplete, p.look(l, podRef(pods[0].ObjectMeta)).Status)

	cut.off()
	start := time.Now()
	require.Equal(t, schemas.EnrichmentComplete, p.look(l, podRef(pods[1].ObjectMeta)).Status)
	require.Less(t, time.Since(start), 500*time.Millisecond, "what is cached needs no API server")
	p.deploy("late")
	late := p.pods("late", 2)
	for range 8 {
		start = time.Now()
		o := p.look(l, podRef(late[0].ObjectMeta))
		require.False(t, o.Found)
		require.Less(t, time.Since(start), 2500*time.Millisecond)
	}
	cut.on()
	require.Eventually(t, func() bool { return p.look(l, podRef(late[0].ObjectMeta)).Status == schemas.EnrichmentComplete }, time.Minute, 100*time.Millisecond)
}

// cutOff is a TCP proxy that can go silent, as a network that drops packets does.
type cutOff struct {
	address string
	mu      sync.Mutex
	silent  chan struct{} // closed while packets flow
	conns   []net.Conn
}

func newCutOff(t *testing.T, target string) *cutOff {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutOff{address: listener.Addr().String(), silent: make(chan struct{})}
	close(c.silent)
	t.Cleanup(func() { listener.Close(); c.on() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			go c.copy(in, out)
			go c.copy(out, in)
		}
	}()
	return c
}

func (c *cutOff) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		flows := c.silent
		c.mu.Unlock()
		<-flows
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *cutOff) off() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = make(chan struct{})
}

// on lets packets flow again and ends the old connections, as their peers' time-outs would have.
func (c *cutOff) on() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.silent:
	default:
		close(c.silent)
	}
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}
