package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"kubescribe/alerter"
)

const alerterRecords = 60_000

var alerterStage = Stage{
	Name:    "alerter",
	Ceiling: "the matcher with ten rules on the same documents",
	Unit:    "documents/s",
	Bound:   0.4,
	Least:   map[string]float64{"of_bare_10_rules": 0.35},
	Limits:  map[string]float64{"webhook_p50_ms": 500, "webhook_p99_ms": 1500},
	Measure: measureAlerter,
}

// measureAlerter runs the matching step, which is the one that meets every document, with ten, a hundred and a thousand rules: the
// ratio is what a thousand rules keep of the speed of ten. Few documents match, as in a real cluster. The speed of ten rules is
// compared with a bare loop that copies the same documents. Then it measures how long the whole way takes, from an event on its
// topic to the webhook.
func measureAlerter(ctx context.Context, e *Env) (Measured, error) {
	if err := e.startKafka(ctx); err != nil {
		return Measured{}, err
	}
	docs, err := documents(alerterRecords)
	if err != nil {
		return Measured{}, err
	}
	t, err := e.topics(ctx, "bench.")
	if err != nil {
		return Measured{}, err
	}
	if err := e.fill(ctx, t.Enriched(cluster), docs); err != nil {
		return Measured{}, err
	}
	if _, err := e.admin.CreateTopic(ctx, partitions, 1, nil, "bare"); err != nil {
		return Measured{}, err
	}
	bare, batch, err := e.bestBare(ctx, "bare", t.Enriched(cluster), "bare", len(docs))
	if err != nil {
		return Measured{}, err
	}
	rates := map[int]float64{}
	for _, rules := range []int{10, 100, 1000} {
		if rates[rules], err = e.match(ctx, t.Enriched(cluster), rules, len(docs)); err != nil {
			return Measured{}, err
		}
	}
	p50, p99, err := e.pageLatency(ctx)
	if err != nil {
		return Measured{}, err
	}
	return Measured{
		Stage: rates[1000], Ceiling: rates[10], Records: len(docs),
		Detail: map[string]any{
			"bare": round(bare), "bare_batch": batch, "of_bare_10_rules": float64(int(rates[10]/bare*1000)) / 1000,
			"rate_100_rules": round(rates[100]), "webhook_p50_ms": ms(p50), "webhook_p99_ms": ms(p99), "webhook_pages": latencyPages,
		},
	}, nil
}

// match is the best rate of the matching step with a number of rules.
func (e *Env) match(ctx context.Context, topic string, rules, n int) (float64, error) {
	dir, err := e.rules(fmt.Sprintf("rules-%d", rules), benchRules(rules))
	if err != nil {
		return 0, err
	}
	k := e.kafkaConfig("bench.")
	group := k.Scoped(alerter.MatchGroup)
	return best(ctx, e, fmt.Sprintf("matcher with %d rules", rules), n, func(ctx context.Context, round int) (time.Duration, error) {
		if err := e.forget(ctx, group); err != nil {
			return 0, err
		}
		cfg := alerter.Default()
		cfg.Rules, cfg.Match, cfg.Decide, cfg.Notify = dir, true, false, false
		cfg.Instance = fmt.Sprintf("bench-%d-%d", rules, round)
		return e.untilConsumed(ctx, group, topic, func(ctx context.Context) error {
			return alerter.Run(ctx, cfg, k, e.deps())
		})
	})
}

// rules writes a folder of rules.
func (e *Env) rules(name, text string) (dir string, err error) {
	dir = e.path(name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	return dir, os.WriteFile(dir+"/bench.yaml", []byte(text), 0o600)
}

// benchRules are n rules as teams of a large cluster write them: two thirds share ten common reasons, and what tells them apart is
// the namespace, the message, a count, a label or the workload. Only the first kinds can be decided without decoding the document.
func benchRules(n int) string {
	common := []string{"BackOff", "Failed", "FailedScheduling", "Unhealthy", "FailedCreate", "Evicted", "FailedMount", "NodeNotReady", "OOMKilling", "Killing"}
	var b strings.Builder
	b.WriteString("groups:\n- name: bench\n  rules:\n")
	for i := range n {
		reason := common[i%len(common)]
		if i%3 == 2 {
			reason = fmt.Sprintf("Rare%d", i)
		}
		expr := []string{
			`reason == %q and type == "Warning" and namespace startsWith "team-%d-"`,
			`type == "Warning" and reason == %q and namespace matches "^team-%d(-|$)"`,
			`reason in [%q, "FailedKillPod"] and kind == "Pod" and message contains "registry.example/team-%d/"`,
			`kind == "Pod" and reason == %q and count >= 5 and labels["app"] == "app-%d"`,
			`reason == %q and type == "Warning" and workload.kind == "Deployment" and workload.name startsWith "app-%d-"`,
		}[i/3%5]
		fmt.Fprintf(&b, `  - alert: Bench%d
    expr: '%s'
    group_by: [namespace, workload]
    count: {at_least: 3, within: 10m}
    dedup: 4h
    labels: {severity: page}
    annotations: {summary: "{{ .Workload }} in {{ .Namespace }}: {{ .Message }}"}
`, i, fmt.Sprintf(expr, reason, i))
	}
	return b.String()
}
