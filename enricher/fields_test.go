package enricher

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

func TestTheServicesName(t *testing.T) {
	labels := []string{"app.kubernetes.io/name", "app"}
	owner := []schemas.Owner{{Kind: "ReplicaSet", Name: "web-1"}, {Kind: "Deployment", Name: "web"}}
	for want, o := range map[string]Object{
		"":          {Labels: map[string]string{"x": "y"}},
		"by-name":   {Labels: map[string]string{"app": "by-app", "app.kubernetes.io/name": "by-name"}, Services: []string{"s"}},
		"by-app":    {Labels: map[string]string{"app": "by-app"}, OwnerLabels: []map[string]string{{"app": "owner"}}},
		"top":       {OwnerLabels: []map[string]string{nil, {"app": "top"}}, Services: []string{"s"}},
		"web":       {Owners: owner, Services: []string{"any", "web"}},
		"a-service": {Owners: owner, Services: []string{"a-service", "b-service"}},
	} {
		require.Equal(t, want, serviceName(o, labels))
	}
}

func TestTheTeam(t *testing.T) {
	f, err := Default().fields()
	require.NoError(t, err)
	o := Object{
		Found: true, Labels: map[string]string{}, OwnerLabels: []map[string]string{nil, {"owner": "of-the-owner"}},
		NamespaceLabels: map[string]string{"team": "of-the-namespace"},
	}
	team := func() string {
		d, err := Enrich(recording(t)[0], o, f)
		require.NoError(t, err)
		return d.Labels["team"]
	}
	require.Equal(t, "of-the-owner", team())
	o.Annotations = map[string]string{"team": "of-an-annotation"}
	require.Equal(t, "of-an-annotation", team())
	o.Labels["app.kubernetes.io/team"] = "its-own"
	require.Equal(t, "its-own", team())
	o = Object{NamespaceLabels: o.NamespaceLabels}
	require.Equal(t, "of-the-namespace", team(), "an object that is gone still has a namespace")
}

func TestUserFieldsAndClasses(t *testing.T) {
	cfg := Default()
	cfg.Set = map[string]string{
		"team": `namespace == "default" ? "platform" : team`, "tier": `namespace_labels["tier"]`, "none": `labels["none"]`,
		"broken": `split(message, "|")[7]`,
	}
	cfg.Classes = []ClassRule{{"never", `len(split(message, "|")[7]) > 0`}, {"audit", `reason != "" && kind == "Pod"`}, {"later", "true"}}
	require.NoError(t, cfg.Validate())
	f, err := cfg.fields()
	require.NoError(t, err)
	shared := Object{Found: true, Status: schemas.EnrichmentComplete, NamespaceLabels: map[string]string{"tier": "gold"}}
	o := recording(t)[0]
	o.Subject.Namespace = "default"
	d, err := Enrich(o, shared, f)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "platform", "tier": "gold"}, d.Labels)
	require.Equal(t, "audit", d.Kubescribe.Class)
	require.Equal(t, &schemas.Enrichment{Status: schemas.EnrichmentPartial, Missing: []string{"set.broken: failed", "class: failed"}}, d.Kubescribe.Enrichment)
	require.Empty(t, shared.Missing)
	require.NoError(t, d.Validate())
}

func TestWrongExpressionsAreReportedTogether(t *testing.T) {
	cfg := Default()
	cfg.Set = map[string]string{"a.b": `"x"`, "number": "1 + 1", "typo": "namspace"}
	cfg.Classes = []ClassRule{{"Not A Class", "true"}, {"ok", "namespace"}}
	for i := range maxSet {
		cfg.Set[fmt.Sprint("f", i)] = `"x"`
	}
	err := cfg.Validate()
	for _, want := range []string{
		"enricher.set: has 35 fields", "enricher.set.a.b: is no name", "enricher.set.number: is no expression of a text",
		"enricher.set.typo: is no expression", "enricher.classes[0].class", "enricher.classes[1].when: is no condition",
	} {
		require.ErrorContains(t, err, want)
	}
}

// transition is an observation of schemas' own test data.
func transition(t *testing.T, name string) *schemas.Observation {
	t.Helper()
	b, err := os.ReadFile("../schemas/testdata/v1/observation.container-" + name + ".json")
	require.NoError(t, err)
	o, err := schemas.DecodeObservation(b)
	require.NoError(t, err)
	return o
}

func TestAContainersEnd(t *testing.T) {
	for _, name := range []string{"oomkilled", "imagepull"} {
		d, err := Enrich(transition(t, name), Object{Status: schemas.EnrichmentUnavailable, Missing: []string{"object: unreachable"}}, fields())
		require.NoError(t, err)
		golden(t, "container-"+name, d)
	}
}
