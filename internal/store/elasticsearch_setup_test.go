package store_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// actions are what a setup did about each thing, by kind and name, the names without their prefix.
func actions(changes []store.Change) map[store.Action]int {
	n := map[store.Action]int{}
	for _, c := range changes {
		n[c.Action]++
	}
	return n
}

// everything is what a setup with the default retention looks after: 5 policies, 1 component and 6 index templates, and the layout.
const everything = 13

// configured is an engine under a prefix of its own, not set up; change alters its configuration.
func configured(t *testing.T, change func(*store.ElasticsearchConfig), now func() time.Time) (*store.Elasticsearch, store.ElasticsearchConfig, string) {
	t.Helper()
	url := stack.SharedElasticsearch(t)
	cfg := openElasticsearch(t, url).cfg
	cfg.IndexPrefix += "s"
	if change != nil {
		change(&cfg)
	}
	return reopened(t, cfg, now), cfg, url
}

func reopened(t *testing.T, cfg store.ElasticsearchConfig, now func() time.Time) *store.Elasticsearch {
	t.Helper()
	s, err := store.OpenElasticsearch(cfg, stream.Deps{Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestSetUpTwiceChangesNothing(t *testing.T) {
	s, _, _ := configured(t, nil, nil)
	planned, err := s.SetUp(t.Context(), store.SetupOptions{DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, map[store.Action]int{store.ActionCreate: everything}, actions(planned))
	done, err := s.SetUp(t.Context(), store.SetupOptions{})
	require.NoError(t, err)
	assert.Equal(t, planned, done, "a dry run says what happens")
	for _, o := range []store.SetupOptions{{DryRun: true}, {}, {Force: true}} {
		again, err := s.SetUp(t.Context(), o)
		require.NoError(t, err)
		assert.Equal(t, map[store.Action]int{store.ActionNone: everything}, actions(again), "%+v", again)
	}
}

func TestSetUpShowsAndKeepsWhatSomebodyChanged(t *testing.T) {
	s, cfg, url := configured(t, nil, nil)
	require.NoError(t, s.Setup(t.Context()))
	policy := "/_ilm/policy/" + cfg.IndexPrefix + "-warning"
	var have map[string]struct {
		Policy map[string]any `json:"policy"`
	}
	require.NoError(t, json.Unmarshal(request(t, http.MethodGet, url+policy, ""), &have))
	mine := have[cfg.IndexPrefix+"-warning"].Policy
	mine["phases"].(map[string]any)["warm"].(map[string]any)["min_age"] = "90d"
	body, err := json.Marshal(map[string]any{"policy": mine})
	require.NoError(t, err)
	request(t, http.MethodPut, url+policy, string(body))

	find := func(o store.SetupOptions) store.Change {
		changes, err := s.SetUp(t.Context(), o)
		require.NoError(t, err)
		for _, c := range changes {
			if c.Name == cfg.IndexPrefix+"-warning" && c.Kind == "ILM policy" {
				return c
			}
			assert.Equal(t, store.ActionNone, c.Action, "%+v", c)
		}
		t.Fatal("the policy is not there")
		return store.Change{}
	}
	difference := []store.Difference{{Path: "phases.warm.min_age", Have: "90d", Want: "19d"}}
	for _, o := range []store.SetupOptions{{DryRun: true}, {}} {
		c := find(o)
		assert.Equal(t, store.ActionKeep, c.Action)
		assert.Equal(t, difference, c.Differences)
	}
	assert.Contains(t, string(request(t, http.MethodGet, url+policy, "")), `"90d"`)
	c := find(store.SetupOptions{Force: true})
	assert.Equal(t, store.ActionOverwrite, c.Action)
	assert.Equal(t, difference, c.Differences)
	assert.Equal(t, store.ActionNone, find(store.SetupOptions{}).Action)
}

// What nobody has touched follows the configuration; a service leaves that to the command.
func TestSetUpFollowsTheConfiguration(t *testing.T) {
	s, cfg, _ := configured(t, nil, nil)
	require.NoError(t, s.Setup(t.Context()))
	cfg.Retention = store.DefaultRetention()
	cfg.Retention.Classes[schemas.ClassNormal] = 60 * 24 * time.Hour
	cfg.Retention.Classes["audit"] = 24 * time.Hour
	s = reopened(t, cfg, nil)
	require.NoError(t, s.Setup(t.Context()))
	changes, err := s.SetUp(t.Context(), store.SetupOptions{DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, map[store.Action]int{store.ActionNone: everything + 1, store.ActionUpdate: 1}, actions(changes), "a service creates what is missing and no more")
	changes, err = s.SetUp(t.Context(), store.SetupOptions{})
	require.NoError(t, err)
	assert.Equal(t, 1, actions(changes)[store.ActionUpdate])
	changes, err = s.SetUp(t.Context(), store.SetupOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[store.Action]int{store.ActionNone: everything + 2}, actions(changes))
}

// A period changes for documents after a recorded moment only, for every writer and in every replay, whatever its configuration says.
func TestAChangeOfThePeriodTakesEffectInTheFuture(t *testing.T) {
	now := time.Now().UTC()
	clock := func() time.Time { return now }
	s, cfg, url := configured(t, nil, clock)
	require.NoError(t, s.Setup(t.Context()))
	weekly := cfg
	cfg.Period = schemas.PeriodDay
	daily := reopened(t, cfg, clock)
	require.NoError(t, daily.Setup(t.Context()), "a service leaves the recorded period")
	require.Equal(t, s.DeletedAt(schemas.ClassNormal, now), daily.DeletedAt(schemas.ClassNormal, now))

	changes, err := daily.SetUp(t.Context(), store.SetupOptions{DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, map[store.Action]int{store.ActionNone: everything - 1, store.ActionUpdate: 1}, actions(changes))
	assert.Equal(t, "layout", changes[len(changes)-1].Kind)
	_, err = daily.SetUp(t.Context(), store.SetupOptions{})
	require.NoError(t, err)
	again, err := daily.SetUp(t.Context(), store.SetupOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[store.Action]int{store.ActionNone: everything}, actions(again), "the change is recorded once")

	from := schemas.PeriodWeek.Start(now.Add(24*time.Hour)).AddDate(0, 0, 7)
	before, after := storetest.Document(1, from.Add(-2*time.Second)), storetest.Document(2, from.Add(24*time.Hour))
	for _, writer := range []*store.Elasticsearch{daily, reopened(t, weekly, clock), reopened(t, cfg, clock)} {
		_, err = writer.Index(t.Context(), []store.Item{storetest.Item(before), storetest.Item(after)})
		require.NoError(t, err)
	}
	for _, index := range []string{
		schemas.Index(cfg.IndexPrefix, schemas.ClassWarning, schemas.PeriodWeek, before.Timestamp),
		schemas.Index(cfg.IndexPrefix, schemas.ClassWarning, schemas.PeriodDay, after.Timestamp),
	} {
		request(t, http.MethodPost, url+"/"+index+"/_refresh", "")
		assert.Contains(t, string(request(t, http.MethodGet, url+"/"+index+"/_count", "")), `"count":1`, index)
	}
	n, err := daily.Count(t.Context(), store.Query{})
	require.NoError(t, err)
	assert.EqualValues(t, 2, n, "each document is there once")

	// A writer that runs on learns of the change in time.
	now = now.Add(time.Hour)
	_, err = s.Index(t.Context(), []store.Item{storetest.Item(before), storetest.Item(after)})
	require.NoError(t, err)
	assert.Equal(t, daily.DeletedAt(schemas.ClassWarning, after.Timestamp), s.DeletedAt(schemas.ClassWarning, after.Timestamp))
	n, err = s.Count(t.Context(), store.Query{})
	require.NoError(t, err)
	assert.EqualValues(t, 2, n)
}

func TestWithoutManageNothingIsCreated(t *testing.T) {
	s, cfg, url := configured(t, func(c *store.ElasticsearchConfig) { c.Manage = false }, nil)
	require.NoError(t, s.Setup(t.Context()))
	for _, path := range []string{"/_component_template/" + cfg.IndexPrefix + "-mappings", "/_ilm/policy/" + cfg.IndexPrefix + "-default", "/" + cfg.IndexPrefix + "-layout"} {
		res, err := http.Get(url + path)
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, http.StatusNotFound, res.StatusCode, path)
	}
	_, err := s.SetUp(t.Context(), store.SetupOptions{})
	require.ErrorContains(t, err, "manage is false")
	assert.True(t, store.IsRefused(err))
}

// The test engine's lifecycle runner is not stock ILM: see test/stack. It runs Elasticsearch's own steps.
func TestAnIndexWhosePeriodIsOverGoesWarmAndStaysWritable(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	s := openElasticsearch(t, url)
	d := storetest.Document(1, origin) // two weeks old; with 30 days of retention warm begins after ten
	d.Kubescribe.Class = schemas.ClassNormal
	_, err := s.Index(t.Context(), []store.Item{storetest.Item(d)})
	require.NoError(t, err)
	index := schemas.Index(s.prefix, schemas.ClassNormal, schemas.PeriodWeek, origin)
	require.Eventually(t, func() bool {
		var explained struct {
			Indices map[string]struct {
				Phase string `json:"phase"`
			} `json:"indices"`
		}
		require.NoError(t, json.Unmarshal(request(t, http.MethodGet, url+"/"+index+"/_ilm/explain", ""), &explained))
		return explained.Indices[index].Phase == "warm"
	}, 60*time.Second, 200*time.Millisecond)
	require.Eventually(t, func() bool { // the phase begins before its actions
		return strings.Contains(string(request(t, http.MethodGet, url+"/"+index+"/_settings", "")), `"priority":"50"`)
	}, 60*time.Second, 200*time.Millisecond)
	late := storetest.Document(2, origin)
	late.Kubescribe.Class = schemas.ClassNormal
	out, err := s.Index(t.Context(), []store.Item{storetest.Item(d), storetest.Item(late)})
	require.NoError(t, err)
	assert.Equal(t, []store.Outcome{{Verdict: store.Done, Existed: true}, {Verdict: store.Done}}, out)
}
