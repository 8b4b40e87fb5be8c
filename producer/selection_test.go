package producer

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"kubescribe/producer/selection"
	"kubescribe/schemas"
)

type typesUID = types.UID

func dropped(t *testing.T, c *prometheus.CounterVec, rule string) int {
	t.Helper()
	var m dto.Metric
	require.NoError(t, c.WithLabelValues(rule).Write(&m))
	return int(m.GetCounter().GetValue())
}

// TestSelectionDropsAndCounts: what a rule drops is counted by the rule, and moves the checkpoint all the same.
func TestSelectionDropsAndCounts(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	r.cfg.Selection.Drop = []selection.Rule{
		{Name: "noise", Expr: `event_type == "event" && name startsWith "pod-noise"`},
		{Name: "back-off", Expr: `event_type == "container" && reason == "CrashLoopBackOff" && labels["app"] == "crashy"`},
	}
	s.puts("noise-%d", 5) // in a list, and below in a watch
	s.put("kept")
	s.change(podRevisions(t, "crashloop")[:4]...)
	p := r.producer()
	stop := r.run(p)
	eventually(t, "the list", func() bool { return r.rv() >= s.now() })
	s.puts("noise-%d", 5)
	s.put("kept-too") // a record takes the checkpoint along at once
	eventually(t, "the checkpoint", func() bool { return r.rv() >= s.now() })
	s.change(podRevisions(t, "crashloop")[4:]...)
	r.seen(s)
	require.NoError(t, stop())
	found, _ := r.found()
	found = slices.DeleteFunc(found, func(id string) bool { return strings.Contains(id, "main") })
	require.Len(t, slices.DeleteFunc(found, func(id string) bool { return !strings.HasPrefix(id, "00000000-0000-4000-8000-") }), 2)
	require.Equal(t, []string{"main terminated Error", "main terminated Error", "main terminated Error"}, r.transitions())
	require.Equal(t, 10, dropped(t, p.api.selected.dropped, "noise"))
	require.Equal(t, 3, dropped(t, p.containers.selected.dropped, "back-off"), "once for each, however often it is seen")

	// After a restart, too.
	stop = r.start()
	s.change(podRevisions(t, "crashloop")[len(podRevisions(t, "crashloop"))-1])
	r.seen(s)
	require.NoError(t, stop())
	require.Len(t, r.transitions(), 3)
}

func TestSelectionAsksTheServer(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	r.cfg.Selection = SelectionConfig{
		ExcludeNamespaces: []string{"dev", "test"},
		Events:            SelectorConfig{FieldSelector: "type=Warning"},
		Pods:              SelectorConfig{LabelSelector: "tier!=dev"},
	}
	stop := r.start()
	r.seen(s)
	eventually(t, "the events' checkpoint", func() bool { return r.rv() > 0 })
	require.NoError(t, stop())
	const events, pods = "fieldSelector=type%3DWarning%2Cmetadata.namespace%21%3Ddev%2Cmetadata.namespace%21%3Dtest", "fieldSelector=metadata.namespace%21%3Ddev%2Cmetadata.namespace%21%3Dtest"
	for _, q := range s.asked() {
		if strings.HasPrefix(q, "/api/v1/events") {
			require.Contains(t, q, events)
		} else {
			require.Contains(t, q, pods)
			require.Contains(t, q, "labelSelector=tier%21%3Ddev")
		}
	}
}

func TestSelectionOfNamespaces(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	r.cfg.Selection.Namespaces = []string{"shop", "bank"}
	s.puts("e-%d", 3) // in the namespace default
	s.change(podRevisions(t, "error")...)
	p := r.producer()
	stop := r.run(p)
	r.seen(s)
	eventually(t, "the events' checkpoint", func() bool { return r.rv() > 0 })
	require.NoError(t, stop())
	require.Equal(t, []string{"main terminated Error"}, r.transitions(), "of the namespace shop")
	require.Len(t, r.observations(), 1)
	require.Equal(t, 3, dropped(t, p.api.selected.dropped, outside))

	one := SelectionConfig{Namespaces: []string{"shop"}}
	selected, err := newSelector(one, schemas.SourceEvents, r.deps())
	require.NoError(t, err)
	require.Equal(t, "shop", selected.in())
	cfg := r.cfg
	cfg.Selection = one
	for _, p := range needed(cfg)[1:] {
		require.Equal(t, "shop", p.Namespace, "no permission on other namespaces is asked for")
	}
}

func TestSelectionProblems(t *testing.T) {
	c := Default()
	c.Selection = SelectionConfig{
		Namespaces: []string{"shop", "Sh op"}, ExcludeNamespaces: []string{"shop", "kube-*"},
		Events: SelectorConfig{FieldSelector: "type"}, Pods: SelectorConfig{LabelSelector: "a in"},
		Drop: []selection.Rule{{Name: "x", Expr: "reason"}, {Name: "x", Expr: "true"}},
	}
	c.Containers.ExcludePods = []string{"["}
	c.Containers.WaitingGrace = -1
	err := c.Validate()
	require.Error(t, err)
	for _, want := range []string{
		`producer.selection.namespaces: "Sh op"`, `producer.selection.exclude_namespaces: "shop"`, `producer.selection.exclude_namespaces: "kube-*"`,
		"producer.selection.events.field_selector:", "producer.selection.pods.label_selector:", "producer.selection.drop[0].expr:",
		`producer.selection.drop[1].name: "x" is there twice`, `producer.containers.exclude_pods: "["`, "producer.containers.waiting_grace:",
	} {
		require.ErrorContains(t, err, want)
	}
}
