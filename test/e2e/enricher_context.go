package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"kubescribe/schemas"
)

var enricherContext = Case{
	Name:  "enricher-context",
	About: "the context of every document about workloads of each kind, in each trouble, equals what the API server says",
	Run:   runContext,
}

// contextCase is one trouble of one workload. Documents belong to it by the name of the workload at the top of their chain.
type contextCase struct {
	name     string
	manifest string
	// chain are the kinds above its pods.
	chain []string
	// actions must be among its documents' event.action; facts among the reasons of its containers' transitions.
	actions, facts []string
	// services select its pods.
	services []string
	// revision is the latest revision of its pod template, 0 when its kind has none.
	revision int64
}

func template(name, mode string) string {
	return fmt.Sprintf(`{metadata: {labels: {app: %[1]s, team: %[1]s-team, lab.mode: %[2]s}}, spec: {containers: [{name: main, image: "registry.example/%[1]s:1"}]}}`, name, mode)
}

func deployment(name, mode string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: shop}
spec: {replicas: 2, selector: {matchLabels: {app: %[1]s}}, template: %[2]s}
`, name, template(name, mode))
}

func service(name, app string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec: {selector: {app: %s}, ports: [{port: 80}]}
`, name, app)
}

const customKinds = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: workflows.lab.kubescribe.example}
spec:
  group: lab.kubescribe.example
  scope: Namespaced
  names: {plural: workflows, singular: workflow, kind: Workflow, listKind: WorkflowList}
  versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podgroups.lab.kubescribe.example}
spec:
  group: lab.kubescribe.example
  scope: Namespaced
  names: {plural: podgroups, singular: podgroup, kind: PodGroup, listKind: PodGroupList}
  versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
# What a cluster with such kinds adds to the access of the enricher.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: kubescribe-enricher-lab}
rules: [{apiGroups: [lab.kubescribe.example], resources: [workflows, podgroups], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kubescribe-enricher-lab}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kubescribe-enricher-lab}
subjects: [{kind: ServiceAccount, name: kubescribe-enricher, namespace: kubescribe}]
`

var contextCases = []contextCase{
	{
		name: "crash", manifest: deployment("crash", "crash") + service("crash", "crash") + service("any-crash", "crash"),
		chain: []string{"ReplicaSet", "Deployment"}, actions: []string{"BackOff", "Started"}, facts: []string{"Error", "CrashLoopBackOff"},
		services: []string{"any-crash", "crash"}, revision: 1,
	},
	{
		name: "oom", manifest: deployment("oom", "oom") + service("memory", "oom"), chain: []string{"ReplicaSet", "Deployment"},
		actions: []string{"BackOff"}, facts: []string{"OOMKilled"}, services: []string{"memory"}, revision: 1,
	},
	{
		name: "image-pull", manifest: deployment("image-pull", "image-pull") + service("typo", "image-pull"), chain: []string{"ReplicaSet", "Deployment"},
		actions: []string{"Failed", "BackOff"}, facts: []string{"ImagePullBackOff"}, services: []string{"typo"}, revision: 1,
	},
	{
		name: "rollout", manifest: on("node-1", deployment("rollout", "ok")) + service("rollout", "rollout"), chain: []string{"ReplicaSet", "Deployment"},
		actions: []string{"ScalingReplicaSet", "Started", "Killing"}, services: []string{"rollout"}, revision: 2,
	},
	{
		name: "node-loss", chain: []string{"ReplicaSet", "Deployment"}, actions: []string{"NodeNotReady", "Started"}, revision: 1,
		manifest: on("node-3", deployment("node-loss", "ok")),
	},
	{
		name: "job", chain: []string{"Job"}, actions: []string{"SuccessfulCreate", "Started"}, facts: []string{"Error"},
		manifest: `
apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: shop}
spec: {backoffLimit: 1, template: ` + restartsNever(template("job", "job-fail")) + `}
`,
	},
	{
		name: "cronjob", chain: []string{"Job", "CronJob"}, actions: []string{"SuccessfulCreate", "Started"},
		manifest: `
apiVersion: batch/v1
kind: CronJob
metadata: {name: cronjob, namespace: shop}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: ` + restartsNever(template("cronjob", "ok")) + `}}}
`,
	},
	{
		name: "statefulset", chain: []string{"StatefulSet"}, actions: []string{"SuccessfulCreate", "Started"}, revision: 1, services: []string{"statefulset"},
		manifest: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: statefulset, namespace: shop}
spec: {replicas: 2, serviceName: statefulset, podManagementPolicy: Parallel, selector: {matchLabels: {app: statefulset}}, template: ` + template("statefulset", "ok") + `}
` + service("statefulset", "statefulset"),
	},
	{
		name: "daemonset", chain: []string{"DaemonSet"}, actions: []string{"SuccessfulCreate", "Started"}, revision: 1,
		manifest: `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: daemonset, namespace: shop}
spec: {selector: {matchLabels: {app: daemonset}}, template: ` + template("daemonset", "ok") + `}
`,
	},
	{name: "bare-pod", manifest: pod("bare-pod", "crash"), actions: []string{"BackOff"}, facts: []string{"Error"}},
	{
		name: "custom-owner", chain: []string{"PodGroup", "Workflow"}, actions: []string{"Started"}, facts: []string{"Error"},
		manifest: `
apiVersion: lab.kubescribe.example/v1alpha1
kind: Workflow
metadata: {name: custom-owner, namespace: shop}
`,
	},
	{name: "deleted-at-once", manifest: pod("deleted-at-once", "crash") + service("short-lived", "deleted-at-once"), actions: []string{"Scheduled"}, services: []string{"short-lived"}},
}

// on binds a template to a node.
func on(node, manifest string) string {
	return strings.Replace(manifest, "spec: {containers", "spec: {nodeSelector: {kubernetes.io/hostname: "+node+"}, containers", 1)
}

func restartsNever(template string) string {
	return strings.Replace(template, "spec: {", "spec: {restartPolicy: Never, ", 1)
}

func pod(name, mode string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s, team: %[1]s-team, lab.mode: %[2]s}, annotations: {example.com/note: "by hand"}}
spec: {containers: [{name: main, image: "registry.example/%[1]s:1"}]}
`, name, mode)
}

// contextRun is the state of one run of the case.
type contextRun struct {
	*enriching
	pods *podRecorder
}

func runContext(ctx context.Context, env *Env) (Figures, error) {
	e, err := startEnriching(ctx, env)
	if err != nil {
		return nil, err
	}
	r := &contextRun{enriching: e, pods: &podRecorder{byUID: map[types.UID]*corev1.Pod{}}}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.drive(ctx); err != nil {
		return nil, err
	}
	return r.check(ctx)
}

// prepare labels the nodes and the namespace, makes the custom kinds, and starts the producer and the enricher.
func (r *contextRun) prepare(ctx context.Context) error {
	for i := range 3 {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"topology.kubernetes.io/zone":"zone-%d","topology.kubernetes.io/region":"lab",`+
			`"node.kubernetes.io/instance-type":"lab.large","pool":"pool-%d"}}}`, i+1, i+1)
		_, err := r.client.CoreV1().Nodes().Patch(ctx, fmt.Sprint("node-", i+1), types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			return err
		}
	}
	err := errors.Join(
		r.apply(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tier: gold, team: shop-team}}}"),
		r.apply(ctx, customKinds),
	)
	if err != nil {
		return err
	}
	producerFile, err := r.configureAs("producer", "{}")
	if err != nil {
		return err
	}
	file, err := r.configureAs("enricher", `{set: {tier: 'namespace_labels["tier"]'}, classes: [{class: nodes, when: 'kind == "Node"'}]}`)
	if err != nil {
		return err
	}
	r.configFile = file
	if err := r.command(ctx, "topics", "apply"); err != nil {
		return err
	}
	producer, err := r.replica("producer", "producer", producerFile)
	if err != nil {
		return err
	}
	enricher, err := r.replica("enricher", "enricher", file)
	if err != nil {
		return err
	}
	if err := errors.Join(started(ctx, producer), r.pods.start(ctx, r.Env)); err != nil {
		return err
	}
	// One pod has crashed and runs again when the enricher starts: the log of that crash is the previous instance's.
	if err := r.restarted(ctx, beforeTheStart); err != nil {
		return err
	}
	return started(ctx, enricher)
}

// beforeTheStart is the case whose pod has crashed before the enricher starts.
const beforeTheStart = "bare-pod"

// restarted makes the pod of a case and waits until it has been restarted.
func (r *contextRun) restarted(ctx context.Context, name string) error {
	i := slices.IndexFunc(contextCases, func(c contextCase) bool { return c.name == name })
	if err := r.apply(ctx, contextCases[i].manifest); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		p, err := r.client.CoreV1().Pods("shop").Get(wait, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := p.Status.ContainerStatuses; len(s) > 0 && s[0].RestartCount > 0 && s[0].State.Running != nil {
			return nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%s was not restarted: %w", name, err)
		}
	}
}

// drive makes the workloads and their troubles, and returns when every case has its documents.
func (r *contextRun) drive(ctx context.Context) error {
	for _, c := range contextCases {
		if c.name == beforeTheStart {
			continue
		}
		if err := r.apply(ctx, c.manifest); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.name == "deleted-at-once" {
			if err := r.deleteAtOnce(ctx, c.name); err != nil {
				return err
			}
		}
	}
	if err := r.ownByCustomKinds(ctx); err != nil {
		return err
	}
	if err := r.await(ctx, func(seen map[string]bool) string { return lacking(seen, "rollout/Started", "node-loss/Started") }); err != nil {
		return err
	}
	// The new revision begins in another second than what was before it: the API server's times have no finer grain.
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	const image = `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"registry.example/rollout:2"}]}}}}`
	if _, err := r.client.AppsV1().Deployments("shop").Patch(ctx, "rollout", types.StrategicMergePatchType, []byte(image), metav1.PatchOptions{}); err != nil {
		return err
	}
	// Without the label nobody beats the node's heart.
	const heart = `{"metadata":{"labels":{"type":null}}}`
	if _, err := r.client.CoreV1().Nodes().Patch(ctx, "node-3", types.StrategicMergePatchType, []byte(heart), metav1.PatchOptions{}); err != nil {
		return err
	}
	r.logf("workloads are made, rollout goes out, node-3 is lost")
	return r.await(ctx, func(seen map[string]bool) string {
		var want []string
		for _, c := range contextCases {
			for _, a := range slices.Concat(c.actions, c.facts) {
				want = append(want, c.name+"/"+a)
			}
		}
		return lacking(seen, append(want, "node-3/NodeNotReady")...)
	})
}

// deleteAtOnce deletes a pod as soon as it has a node.
func (r *contextRun) deleteAtOnce(ctx context.Context, name string) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		p, err := r.client.CoreV1().Pods("shop").Get(wait, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.Spec.NodeName != "" {
			return r.client.CoreV1().Pods("shop").Delete(ctx, name, *metav1.NewDeleteOptions(0))
		}
		if err := pause(wait, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// ownByCustomKinds makes a pod that a PodGroup owns, which the Workflow owns.
func (r *contextRun) ownByCustomKinds(ctx context.Context) error {
	mapper, err := r.mapper()
	if err != nil {
		return err
	}
	const group = "lab.kubescribe.example/v1alpha1"
	owner := func(kind, name string) (string, error) {
		client, err := r.resource(mapper, group, kind, "shop")
		if err != nil {
			return "", err
		}
		o, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s, controller: true}]", group, kind, name, o.GetUID()), nil
	}
	top, err := owner("Workflow", "custom-owner")
	if err != nil {
		return err
	}
	if err := r.apply(ctx, fmt.Sprintf("{apiVersion: %s, kind: PodGroup, metadata: {name: gang, namespace: shop, %s}}", group, top)); err != nil {
		return err
	}
	direct, err := owner("PodGroup", "gang")
	if err != nil {
		return err
	}
	gang := strings.NewReplacer("metadata: {name: custom-owner,", "metadata: {name: gang-0, "+direct+",").Replace(pod("custom-owner", "crash"))
	return r.apply(ctx, gang)
}

// await reads the documents again and again until still says that nothing is missing.
func (r *contextRun) await(ctx context.Context, still func(seen map[string]bool) string) error {
	wait, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	for {
		docs, err := r.documents(wait)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, d := range docs {
			if w := d.Kubescribe.Workload; w != nil {
				seen[w.Name+"/"+d.Event.Action] = true
			}
		}
		missing := still(seen)
		if missing == "" {
			return nil
		}
		if err := pause(wait, 500*time.Millisecond); err != nil {
			return fmt.Errorf("no document of %s (there are %v)\n%s", missing, slices.Sorted(maps.Keys(seen)), tail(r.path("enricher.log")))
		}
	}
}

func lacking(seen map[string]bool, want ...string) string {
	return strings.Join(slices.DeleteFunc(want, func(w string) bool { return seen[w] }), ", ")
}

// documents are all that the enricher has written.
func (r *contextRun) documents(ctx context.Context) ([]*schemas.Document, error) {
	var docs []*schemas.Document
	err := r.broker.read(ctx, func(rec *kgo.Record) error {
		d, err := schemas.DecodeDocument(rec.Value)
		docs = append(docs, d)
		return err
	}, r.topics.Enriched(cluster))
	return docs, err
}

// podRecorder keeps the last state of every pod, deleted ones included.
type podRecorder struct {
	mu    sync.Mutex
	byUID map[types.UID]*corev1.Pod
	ended error
}

func (p *podRecorder) start(ctx context.Context, e *Env) error {
	ctx, cancel := context.WithCancel(ctx)
	e.onClose(cancel)
	w, err := e.client.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	go func() {
		for ev := range w.ResultChan() {
			p.mu.Lock()
			if pod, ok := ev.Object.(*corev1.Pod); ok && ev.Type != watch.Bookmark {
				p.byUID[pod.UID] = pod
			}
			p.mu.Unlock()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if ctx.Err() == nil {
			p.ended = errors.New("the watch of pods ended")
		}
	}()
	return nil
}

func (p *podRecorder) get(uid string) (*corev1.Pod, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byUID[types.UID(uid)], p.ended
}
