package schemas_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

var at = time.Date(2026, 11, 20, 10, 7, 2, 0, time.UTC)

func TestSetTime(t *testing.T) {
	var o schemas.Observation
	o.SetTime(at, at.Add(time.Second))
	require.Equal(t, at, o.Time)
	require.False(t, o.TimeAdjusted)

	o.SetTime(at.Add(schemas.MaxFuture), at)
	require.Equal(t, at.Add(time.Hour), o.Time, "an hour ahead is believed: clocks differ")
	require.False(t, o.TimeAdjusted)

	o.SetTime(at.Add(schemas.MaxFuture+1), at)
	require.Equal(t, at, o.Time)
	require.True(t, o.TimeAdjusted)

	o.SetTime(time.Time{}, at)
	require.Equal(t, at, o.Time)
	require.True(t, o.TimeAdjusted)

	o.SetTime(at.AddDate(300, 0, 0), at)
	require.True(t, o.TimeAdjusted, "further than a Duration reaches")

	o.SetTime(at.In(time.FixedZone("CET", 3600)), at)
	require.Equal(t, at, o.Time, "in UTC")
	require.False(t, o.TimeAdjusted, "set anew each time")
}

// TestValidateReportsAllProblems: all at once, and in the same order each time, because the message is logged and compared.
func TestValidateReportsAllProblems(t *testing.T) {
	minus := int64(-1)
	for name, c := range map[string]struct {
		value interface{ Validate() error }
		want  []string
	}{
		"observation": {
			&schemas.Observation{Occurrences: &minus, ID: strings.Repeat("x", 513), Payload: []byte(`null`)},
			[]string{"id: has 513", "type:", "source:", "time:", "observedAt:", "occurrences:", "payload:", "cluster name", "cluster uid"},
		},
		"payload that is no object": {&schemas.Observation{Payload: []byte(`[]`)}, []string{"id:", "type:", "source:", "time:", "observedAt:", "payload:", "cluster name", "cluster uid"}},
		"gap":                       {&schemas.Gap{}, []string{"source:", "cause:", "certainty:", "bounds:"}},
		"gap that ends first":       {&schemas.Gap{Source: "events", Cause: "expired", Certainty: "certain", From: at, To: at.Add(-1)}, []string{"bounds:"}},
		"container transition":      {&schemas.ContainerTransition{State: "running", RestartCount: -1}, []string{"container:", `state: "running"`, "restartCount:"}},
		"document":                  {&schemas.Document{}, []string{"@timestamp:", "event.id:", "kubescribe.type:", "orchestrator.cluster.name:", "retention class"}},
		"match":                     {&schemas.Match{}, []string{"id:", "eventId:", "cluster:", "rule:", "fingerprint:", "time:", "occurrences", "policy.atLeast"}},
		"alert":                     {&schemas.Alert{Status: "pending"}, []string{"id:", "fingerprint:", "cluster:", "rule:", "startsAt:", `status: "pending"`}},
		"alert state":               {&schemas.AlertState{Status: "repeated"}, []string{"fingerprint:", "cluster:", "rule:", "policy.atLeast", `status: "repeated"`}},
		"notification":              {&schemas.Notification{}, []string{"alertId:", "receiver:", "sentAt:", "delivery"}},
		"checkpoint":                {&schemas.Checkpoint{Epoch: -1}, []string{"source:", "clusterUID:", "epoch:", "rv:", "observedAt:"}},
		"object state":              {&schemas.ObjectState{}, []string{"source:", "clusterUID:", "uid:"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.value.Validate()
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(c.want), err.Error())
			for i, want := range c.want {
				require.Contains(t, lines[i], want)
			}
			for range 20 {
				require.EqualError(t, c.value.Validate(), err.Error())
			}
		})
	}
}

func TestDecodeSaysWhatItDecoded(t *testing.T) {
	_, err := schemas.DecodeCheckpoint([]byte(`{`))
	require.ErrorContains(t, err, "decoding checkpoint: ")
	_, err = schemas.DecodeAlertState([]byte(`{}`))
	require.ErrorContains(t, err, "decoding alert state: fingerprint: is missing")
}
