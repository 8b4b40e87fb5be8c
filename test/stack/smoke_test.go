package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// timed reports how long a step of the smoke test took: README.md quotes these figures.
func timed(t *testing.T, what string, step func() error) {
	t.Helper()
	start := time.Now()
	require.NoError(t, step(), what)
	t.Logf("%-36s %5.1f s", what, time.Since(start).Seconds())
}

func testContext(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestKafkaKeepsTransactionsOverKillAndRestart(t *testing.T) {
	Need(t, PartKafka)
	ctx := testContext(t, 3*time.Minute)
	dir := t.TempDir()
	var k *Kafka
	timed(t, "kafka: first start", func() (err error) { k, err = StartKafka(ctx, dir); return err })
	t.Cleanup(func() { require.NoError(t, k.Stop()) })
	bootstrap := k.Bootstrap
	createTopic(t, bootstrap, "t")
	timed(t, "kafka: first transaction", func() error { produce(t, ctx, bootstrap, "one"); return nil })
	require.Equal(t, []string{"one"}, consume(t, ctx, bootstrap, 1))

	timed(t, "kafka: kill", k.Kill)
	require.False(t, k.server.running())
	timed(t, "kafka: restart after kill", func() error { return k.Restart(ctx) })
	produce(t, ctx, bootstrap, "two")
	timed(t, "kafka: stop", k.Stop)

	timed(t, "kafka: second start on the same dir", func() (err error) { k, err = StartKafka(ctx, dir); return err })
	require.Equal(t, bootstrap, k.Bootstrap)
	produce(t, ctx, bootstrap, "three")
	require.Equal(t, []string{"one", "two", "three"}, consume(t, ctx, bootstrap, 3))

	_, err := StartKafka(ctx, dir)
	require.ErrorContains(t, err, fmt.Sprint("already running with PID ", k.PID))
	other, err := OpenKafka(dir)
	require.NoError(t, err)
	require.Equal(t, k.PID, other.PID)
}

func createTopic(t *testing.T, bootstrap, topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic)
	require.NoError(t, err)
}

// produce commits one record and aborts another.
func produce(t *testing.T, ctx context.Context, bootstrap, value string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.TransactionalID("smoke"), kgo.DefaultProduceTopic("t"))
	require.NoError(t, err)
	defer client.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		require.NoError(t, client.BeginTransaction())
		text := value
		if end == kgo.TryAbort {
			text = "aborted"
		}
		require.NoError(t, client.ProduceSync(ctx, kgo.StringRecord(text)).FirstErr())
		require.NoError(t, client.EndTransaction(ctx, end))
	}
}

func consume(t *testing.T, ctx context.Context, bootstrap string, n int) []string {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics("t"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer client.Close()
	var values []string
	for len(values) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func TestElasticsearchKeepsDocumentsOverKillAndRestart(t *testing.T) {
	Need(t, PartElasticsearch)
	ctx := testContext(t, 5*time.Minute)
	dir := t.TempDir()
	var e *Elasticsearch
	timed(t, "elasticsearch: first start", func() (err error) { e, err = StartElasticsearch(ctx, dir); return err })
	t.Cleanup(func() { require.NoError(t, e.Stop()) })
	url := e.URL
	ask(t, http.MethodPut, url+"/_ilm/policy/soon", `{"policy":{"phases":{"delete":{"min_age":"1d","actions":{"delete":{}}}}}}`, 200)
	ask(t, http.MethodPut, url+"/docs", `{"settings":{"number_of_replicas":0}}`, 200)
	ask(t, http.MethodPut, url+"/docs/_create/1?refresh=true", `{"message":"the first"}`, 201)
	ask(t, http.MethodPut, url+"/docs/_create/1", `{"message":"again"}`, 409)

	timed(t, "elasticsearch: kill", e.Kill)
	timed(t, "elasticsearch: restart after kill", func() error { return e.Restart(ctx) })
	ask(t, http.MethodPut, url+"/docs/_create/2?refresh=true", `{"message":"the second"}`, 201)
	timed(t, "elasticsearch: stop", e.Stop)
	timed(t, "elasticsearch: second start", func() (err error) { e, err = StartElasticsearch(ctx, dir); return err })
	require.Equal(t, url, e.URL)

	found := ask(t, http.MethodPost, url+"/docs/_search", `{"query":{"match":{"message":"first"}}}`, 200)
	require.Contains(t, found, `"value":1,`)
	require.Contains(t, ask(t, http.MethodGet, url+"/docs/_count", "", 200), `"count":2,`)
	require.Contains(t, ask(t, http.MethodGet, url+"/_ilm/policy/soon", "", 200), `"min_age":"1d"`)
	require.Contains(t, ask(t, http.MethodGet, url+"/", "", 200), ElasticsearchVersion)
}

// The lifecycle as the project uses it: a date-named index goes by the date in its name.
func TestElasticsearchDeletesByOriginationDate(t *testing.T) {
	url := SharedElasticsearch(t)
	ask(t, http.MethodPut, url+"/_ilm/policy/by-date",
		`{"policy":{"phases":{"warm":{"min_age":"1d","actions":{"set_priority":{"priority":50}}},"delete":{"min_age":"30d","actions":{"delete":{}}}}}}`, 200)
	settings := `{"settings":{"number_of_replicas":0,"index.lifecycle.name":"by-date","index.lifecycle.parse_origination_date":true}}`
	old := time.Now().UTC().AddDate(0, 0, -31).Format("lifecycle-2006.01.02")
	young := time.Now().UTC().AddDate(0, 0, -2).Format("lifecycle-2006.01.02")
	ask(t, http.MethodPut, url+"/"+old, settings, 200)
	ask(t, http.MethodPut, url+"/"+young, settings, 200)
	require.Eventually(t, func() bool {
		resp, err := http.Head(url + "/" + old)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusNotFound
	}, 30*time.Second, 100*time.Millisecond, "%s is still there", old)
	require.Eventually(t, func() bool {
		var explained struct {
			Indices map[string]struct{ Phase string }
		}
		require.NoError(t, json.Unmarshal([]byte(ask(t, http.MethodGet, url+"/"+young+"/_ilm/explain", "", 200)), &explained))
		return explained.Indices[young].Phase == "warm"
	}, 30*time.Second, 100*time.Millisecond, "%s did not get warm", young)
}

func ask(t *testing.T, method, url, body string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, want, resp.StatusCode, "%s %s: %s", method, url, answer)
	return string(answer)
}

func TestKubernetesRunsADeploymentOverKills(t *testing.T) {
	Need(t, PartKubernetes)
	ctx := testContext(t, 5*time.Minute)
	dir := t.TempDir()
	var k *Kubernetes
	timed(t, "kubernetes: first start", func() (err error) { k, err = StartKubernetes(ctx, dir); return err })
	t.Cleanup(func() { require.NoError(t, k.Stop()) })
	config, err := k.Config()
	require.NoError(t, err)
	api, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	timed(t, "kubernetes: Deployment 3/3 ready", func() error { return deploy(ctx, api, "first", "ok", 3) })
	requireReasons(t, ctx, api, "first", "ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulled", "Created", "Started")

	for _, component := range []string{"kube-apiserver", "etcd"} {
		require.NoError(t, k.Kill(component))
		require.Zero(t, k.PID(component))
		timed(t, "kubernetes: restart "+component, func() error { return k.Restart(ctx, component) })
	}
	timed(t, "kubernetes: second Deployment", func() error { return deploy(ctx, api, "second", "ok", 2) })
	timed(t, "kubernetes: stop", k.Stop)
	server := k.Server
	timed(t, "kubernetes: second start", func() (err error) { k, err = StartKubernetes(ctx, dir); return err })
	require.Equal(t, server, k.Server)
	first, err := api.AppsV1().Deployments("default").Get(ctx, "first", metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 3, first.Status.ReadyReplicas)
}

func deploy(ctx context.Context, api kubernetes.Interface, name, mode string, replicas int32) error {
	labels := map[string]string{"app": name, "lab.mode": mode}
	_, err := api.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example/" + name + ":1"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil || mode != "ok" {
		return err
	}
	for {
		d, err := api.AppsV1().Deployments("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil || d.Status.ReadyReplicas == replicas {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// requireReasons waits until the events about objects whose name begins with prefix have all these reasons.
func requireReasons(t *testing.T, ctx context.Context, api kubernetes.Interface, prefix string, reasons ...string) {
	t.Helper()
	var have map[string]int
	require.Eventually(t, func() bool {
		events, err := api.CoreV1().Events("default").List(ctx, metav1.ListOptions{})
		require.NoError(t, err)
		have = map[string]int{}
		for _, e := range events.Items {
			if len(e.InvolvedObject.Name) >= len(prefix) && e.InvolvedObject.Name[:len(prefix)] == prefix {
				have[e.Reason] += max(1, int(e.Count))
			}
		}
		for _, reason := range reasons {
			if have[reason] == 0 {
				return false
			}
		}
		return true
	}, 45*time.Second, 200*time.Millisecond, "waiting for %v; seen %v", reasons, have)
}
