package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// truth asks the API server what a document should say.
type truth struct {
	*contextRun
	mapper    meta.RESTMapper
	objects   map[string]metav1.Object
	nodes     map[string]*corev1.Node
	sets      map[string][]appsv1.ReplicaSet // by the owner's UID
	namespace *corev1.Namespace
}

func (r *contextRun) truth(ctx context.Context) (*truth, error) {
	t := &truth{contextRun: r, objects: map[string]metav1.Object{}, nodes: map[string]*corev1.Node{}, sets: map[string][]appsv1.ReplicaSet{}}
	var err error
	if t.mapper, err = r.enriching.mapper(); err != nil {
		return nil, err
	}
	nodes, err := r.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range nodes.Items {
		t.nodes[nodes.Items[i].Name] = &nodes.Items[i]
	}
	sets, err := r.client.AppsV1().ReplicaSets("shop").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, s := range sets.Items {
		if o := metav1.GetControllerOf(&s); o != nil {
			t.sets[string(o.UID)] = append(t.sets[string(o.UID)], s)
		}
	}
	for _, s := range t.sets {
		slices.SortFunc(s, func(a, b appsv1.ReplicaSet) int { return strings.Compare(revisionOf(a), revisionOf(b)) })
	}
	t.namespace, err = r.client.CoreV1().Namespaces().Get(ctx, "shop", metav1.GetOptions{})
	return t, err
}

func revisionOf(s appsv1.ReplicaSet) string {
	return s.Annotations["deployment.kubernetes.io/revision"]
}

// object is the involved object or an owner, as the API server has it or, of a pod, had it.
func (t *truth) object(ctx context.Context, s schemas.Subject) (metav1.Object, error) {
	if s.Kind == "Pod" {
		if p, err := t.pods.get(s.UID); p != nil || err != nil {
			return p, err
		}
	}
	key := s.Key()
	if o := t.objects[key]; o != nil {
		return o, nil
	}
	client, err := t.resource(t.mapper, s.APIVersion, s.Kind, s.Namespace)
	if err != nil {
		return nil, err
	}
	o, err := client.Get(ctx, s.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	t.objects[key] = o
	return o, nil
}

// chain follows the controllers.
func (t *truth) chain(ctx context.Context, o metav1.Object) ([]schemas.Owner, error) {
	var chain []schemas.Owner
	for {
		c := metav1.GetControllerOf(o)
		if c == nil {
			return chain, nil
		}
		chain = append(chain, schemas.Owner{APIVersion: c.APIVersion, Kind: c.Kind, Name: c.Name, UID: string(c.UID)})
		var err error
		if o, err = t.object(ctx, schemas.Subject{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: o.GetNamespace(), Name: c.Name, UID: string(c.UID)}); err != nil {
			return nil, fmt.Errorf("following the owners: %w", err)
		}
	}
}

// team is what the nearest that has one says: the object, an owner, the namespace.
func (t *truth) team(ctx context.Context, o metav1.Object) (string, error) {
	for o.GetLabels()["team"] == "" {
		c := metav1.GetControllerOf(o)
		if c == nil {
			return t.namespace.Labels["team"], nil
		}
		var err error
		if o, err = t.object(ctx, schemas.Subject{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: o.GetNamespace(), Name: c.Name, UID: string(c.UID)}); err != nil {
			return "", err
		}
	}
	return o.GetLabels()["team"], nil
}

// logOf is which instance's log a document carries, and what is wrong with it. KWOK has one file for each.
func logOf(d *schemas.Document) (instance, problem string) {
	log := d.Kubescribe.Log
	if log == nil || log.Missing != "" {
		if d.Error != nil && d.Error.StackTrace != "" {
			return "", "there are lines where there is no log"
		}
		return "", ""
	}
	line := map[string]string{"current": "panic: no database", "previous": "invalid memory address"}[log.Instance]
	if d.Error == nil || line == "" || !strings.Contains(d.Error.StackTrace, line) {
		return "", fmt.Sprintf("the log of the %q instance lacks %q", log.Instance, line)
	}
	return log.Instance, ""
}

// check compares every document with the truth.
func (r *contextRun) check(ctx context.Context) (Figures, error) {
	docs, err := r.documents(ctx)
	if err != nil {
		return nil, err
	}
	t, err := r.truth(ctx)
	if err != nil {
		return nil, err
	}
	checked, wrong, logs := map[string]int{}, 0, map[string]int{}
	var errs []error
	for _, d := range docs {
		s := subjectOf(d)
		if s.Namespace != "shop" && s.Name != "node-3" || s.Kind == "" {
			continue
		}
		name, problems, err := t.compare(ctx, d, s)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", s.Kind, s.Name, err)
		}
		checked[name]++
		if instance, problem := logOf(d); problem != "" {
			problems = append(problems, problem)
		} else if instance != "" {
			logs[instance]++
		} else if d.Kubescribe.Log != nil {
			logs[d.Kubescribe.Log.Missing]++
		}
		if len(problems) > 0 {
			if wrong++; wrong <= 10 {
				b, _ := d.Encode()
				r.logf("wrong: %s: %s\n%s", name, strings.Join(problems, "; "), b)
				errs = append(errs, fmt.Errorf("%s, %s of %s/%s: %s", name, d.Event.Action, s.Kind, s.Name, strings.Join(problems, "; ")))
			}
		}
	}
	for _, c := range contextCases {
		if checked[c.name] == 0 {
			errs = append(errs, fmt.Errorf("no document of %s was checked", c.name))
		}
	}
	for _, instance := range []string{"current", "previous"} {
		if logs[instance] == 0 {
			errs = append(errs, fmt.Errorf("no document has the log of a container's %s instance", instance))
		}
	}
	r.logf("documents by case: %v; logs: %v", checked, logs)
	total := 0
	for n := range maps.Values(checked) {
		total += n
	}
	return Figures{{"cases", len(contextCases)}, {"wrong", wrong}, {"documents", total}, {"logs_current", logs["current"]}, {"logs_previous", logs["previous"]}}, errors.Join(errs...)
}

// subjectOf is the involved object.
func subjectOf(d *schemas.Document) schemas.Subject {
	if d.Kubernetes.Event != nil {
		return d.Kubernetes.Event.InvolvedObject
	}
	if p := d.Kubernetes.Pod; p != nil {
		return schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: d.Kubernetes.Namespace, Name: p.Name, UID: p.UID}
	}
	return schemas.Subject{}
}

// compare returns the case that d belongs to and what is wrong with d.
func (t *truth) compare(ctx context.Context, d *schemas.Document, s schemas.Subject) (name string, problems []string, err error) {
	expect := func(what string, got, want any) {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			problems = append(problems, fmt.Sprintf("%s is %v, not %v", what, got, want))
		}
	}
	o, err := t.object(ctx, s)
	if err != nil {
		return s.Name, nil, err
	}
	chain, err := t.chain(ctx, o)
	if err != nil {
		return s.Name, nil, err
	}
	top := schemas.Owner{APIVersion: s.APIVersion, Kind: s.Kind, Name: s.Name, UID: string(o.GetUID())}
	if len(chain) > 0 {
		top = chain[len(chain)-1]
	}
	expect("enrichment", *d.Kubescribe.Enrichment, schemas.Enrichment{Status: schemas.EnrichmentComplete})
	expect("owners", d.Kubescribe.Owners, chain)
	if s.Kind == "Node" {
		t.compareNode(d, s.Name, expect)
		expect("class", d.Kubescribe.Class, "nodes")
		return s.Name, problems, nil
	}
	expect("workload", *d.Kubescribe.Workload, top)
	expect("labels", d.Kubernetes.Labels, o.GetLabels())
	expect("namespace labels", d.Kubernetes.NamespaceLabels, t.namespace.Labels)
	expect("labels.tier", d.Labels["tier"], "gold")
	i := slices.IndexFunc(contextCases, func(c contextCase) bool { return c.name == top.Name })
	if i < 0 {
		return top.Name, problems, nil // an object around, like a Service
	}
	c := contextCases[i]
	if pod, ok := o.(*corev1.Pod); ok {
		t.comparePod(d, c, pod, chain, expect)
	}
	team, err := t.team(ctx, o)
	if err != nil {
		return c.name, nil, err
	}
	expect("labels.team", d.Labels["team"], team)
	if c.revision > 0 {
		t.compareRollout(d, c, top, s, o, expect)
	}
	return c.name, problems, nil
}

func (t *truth) comparePod(d *schemas.Document, c contextCase, pod *corev1.Pod, chain []schemas.Owner, expect func(string, any, any)) {
	var kinds []string
	for _, o := range chain {
		kinds = append(kinds, o.Kind)
	}
	expect("chain", kinds, c.chain)
	expect("pod", *d.Kubernetes.Pod, schemas.KubernetesName{Name: pod.Name, UID: string(pod.UID)})
	expect("services", d.Kubescribe.Services, c.services)
	if d.Service == nil || d.Service.Name != c.name { // by the label app
		expect("service", d.Service, c.name)
	}
	if d.Event.Action == "Scheduled" && d.Kubernetes.Node == nil || d.Event.Action == "FailedScheduling" {
		return // it had no node yet
	}
	t.compareNode(d, pod.Spec.NodeName, expect)
	if d.Container != nil {
		expect("container", d.Container.Name, "main")
		image := ""
		if d.Container.Image != nil {
			image = d.Container.Image.Name
		}
		expect("image", image, pod.Spec.Containers[0].Image)
	}
	if d.Kubescribe.Type == schemas.TypeContainer {
		compareCrash(d, c, pod, expect)
	}
}

// compareNode compares what does not change during the run; the lost node is unknown in the documents about its loss.
func (t *truth) compareNode(d *schemas.Document, name string, expect func(string, any, any)) {
	n := t.nodes[name]
	if n == nil || d.Kubernetes.Node == nil || d.Kubescribe.Node == nil || d.Cloud == nil || d.Cloud.Machine == nil {
		expect("node", d.Kubernetes.Node, name)
		return
	}
	expect("node", *d.Kubernetes.Node, schemas.KubernetesName{Name: name, UID: string(n.UID)})
	expect("pool", d.Kubescribe.Node.Pool, n.Labels["pool"])
	expect("zone", d.Cloud.AvailabilityZone, n.Labels[corev1.LabelTopologyZone])
	expect("region", d.Cloud.Region, n.Labels[corev1.LabelTopologyRegion])
	expect("instance type", d.Cloud.Machine.Type, n.Labels[corev1.LabelInstanceTypeStable])
	if d.Event.Action == "NodeNotReady" {
		expect("ready", d.Kubescribe.Node.Ready, "Unknown")
		expect("conditions", slices.Contains(d.Kubescribe.Node.Conditions, "Ready"), true)
	}
}

func compareCrash(d *schemas.Document, c contextCase, pod *corev1.Pod, expect func(string, any, any)) {
	expect("class", d.Kubescribe.Class, schemas.ClassCrash)
	expect("error.type", d.Error.Type, d.Event.Action)
	if code, ok := map[string]string{"Error": "1", "OOMKilled": "137"}[d.Event.Action]; ok && c.name != "job" {
		expect("error.code", d.Error.Code, code)
		expect("exit code", fmt.Sprint(*d.Process.ExitCode), code)
	}
	expect("container fact", d.Kubescribe.Container != nil && int64(pod.Status.ContainerStatuses[0].RestartCount) >= d.Kubescribe.Container.RestartCount, true)
}

// compareRollout compares with the ReplicaSets; the other kinds have one revision in this case.
func (t *truth) compareRollout(d *schemas.Document, c contextCase, top schemas.Owner, s schemas.Subject, o metav1.Object, expect func(string, any, any)) {
	got := d.Kubescribe.Rollout
	sets := t.sets[top.UID]
	switch {
	case got == nil && s.Kind != "Pod" && s.Kind != "ReplicaSet":
		return // written before the first revision was there
	case got == nil:
		expect("rollout", got, c.revision)
		return
	case len(sets) == 0:
		expect("revision", got.Revision, c.revision)
		expect("images", got.Images, []string{"registry.example/" + c.name + ":1"})
		return
	}
	own := 0
	if owner := metav1.GetControllerOf(o); s.Kind == "Pod" && owner != nil {
		own = slices.IndexFunc(sets, func(r appsv1.ReplicaSet) bool { return r.UID == owner.UID })
	} else if s.Kind == "ReplicaSet" {
		own = slices.IndexFunc(sets, func(r appsv1.ReplicaSet) bool { return r.UID == o.GetUID() })
	}
	latest := own
	for i, r := range sets {
		if i > latest && !r.CreationTimestamp.After(d.Timestamp) {
			latest = i
		}
	}
	if s.Kind == "Deployment" && d.Timestamp.Sub(sets[latest].CreationTimestamp.Time) < 2*time.Second && latest > 0 && got.Revision == int64(latest) {
		latest-- // at the moment of the change the Deployment's own Event may overtake its ReplicaSet
	}
	r := sets[latest]
	expect("revision", fmt.Sprint(got.Revision), revisionOf(r))
	expect("images", got.Images, []string{r.Spec.Template.Spec.Containers[0].Image})
	expect("changed at", got.ChangedAt.UTC(), r.CreationTimestamp.UTC())
	expect("age", got.AgeSeconds, max(0, int64(d.Timestamp.Sub(r.CreationTimestamp.Time)/time.Second)))
	var before []string
	if latest > 0 {
		before = []string{sets[latest-1].Spec.Template.Spec.Containers[0].Image}
	}
	expect("previous images", got.PreviousImages, before)
	if s.Kind == "Pod" && own < latest {
		expect("pod revision", fmt.Sprint(got.PodRevision), revisionOf(sets[own]))
	}
}
