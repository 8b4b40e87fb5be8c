package schemas_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

func TestHeadersRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 20, 11, 7, 2, 123456789, time.FixedZone("CET", 3600))
	o := schemas.Observation{ID: "u/0/o/1", Type: schemas.TypeEvent, Source: schemas.SourceEvents, Cluster: schemas.Cluster{Name: "shop"}, Time: at}
	got, err := schemas.ParseHeaders(each(o.Event().Headers()))
	require.NoError(t, err)
	require.Equal(t, schemas.CloudEvent{
		ID: "u/0/o/1", Source: "/clusters/shop/events", Type: "kubescribe.observation.event", Time: at.UTC(),
	}, got)

	d := schemas.Document{Timestamp: at, Event: schemas.EventInfo{ID: "u/0/o/1"}, Kubescribe: schemas.Kubescribe{Source: "events", Type: "event", Class: "warning"}}
	d.Orchestrator.Cluster.Name = "shop"
	enriched, err := schemas.ParseHeaders(each(d.Headers()))
	require.NoError(t, err)
	got.Class = "warning"
	require.Equal(t, got, enriched, "a fact keeps its headers on its way, the class apart")
}

func TestHeadersAreCloudEvents(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 7, 2, 0, time.UTC)
	var lines []string
	for k, v := range each(schemas.CloudEvent{ID: "i", Source: "s", Type: "t", Time: at}.Headers()) {
		lines = append(lines, k+": "+string(v))
	}
	require.Equal(t, []string{
		"ce_specversion: 1.0", "ce_id: i", "ce_source: s", "ce_type: t", "ce_time: 2026-11-20T10:07:02Z", "content-type: application/json",
	}, lines, "no class before the enricher has fixed it")
}

func TestParseHeadersRefuses(t *testing.T) {
	good := map[string]string{
		schemas.HeaderID: "i", schemas.HeaderType: "t", schemas.HeaderTime: "2026-11-20T10:07:02Z", schemas.HeaderClass: "warning", "other": "ignored",
	}
	parse := func(change, to string) error {
		_, err := schemas.ParseHeaders(func(yield func(string, []byte) bool) {
			for k, v := range good {
				if k == change {
					v = to
				}
				if !yield(k, []byte(v)) {
					return
				}
			}
		})
		return err
	}
	require.NoError(t, parse("", ""))
	require.NoError(t, parse(schemas.HeaderClass, ""))
	for _, c := range []struct{ header, value, want string }{
		{schemas.HeaderID, "", "ce_id is missing"},
		{schemas.HeaderType, "", "ce_type is missing"},
		{schemas.HeaderTime, "", "ce_time is missing"},
		{schemas.HeaderTime, "yesterday", "ce_time"},
		{schemas.HeaderID, strings.Repeat("x", schemas.MaxIDBytes+1), "513 bytes"},
		{schemas.HeaderClass, "../../warning", "class"},
		{schemas.HeaderClass, "Warning", "class"},
	} {
		require.ErrorContains(t, parse(c.header, c.value), c.want)
	}
}

// TestParseHeadersNamesTheSameProblemEachTime: what is logged about one record must not depend on chance.
func TestParseHeadersNamesTheSameProblemEachTime(t *testing.T) {
	for range 50 {
		_, err := schemas.ParseHeaders(each(nil))
		require.EqualError(t, err, "header ce_id is missing")
	}
}
