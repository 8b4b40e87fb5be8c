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
	Ceiling: "a bare franz-go transactional consume-produce of the same documents, at its best batch size",
	Unit:    "documents/s",
	Measure: measureAlerter,
}

// measureAlerter runs the matching step, which is the one that meets every document, with ten and with a hundred rules. The
// ratio is that of ten; few documents match, as in a real cluster.
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
	ceiling, batch, err := e.bestBare(ctx, "bare", t.Enriched(cluster), "bare", len(docs))
	if err != nil {
		return Measured{}, err
	}
	rates := map[int]float64{}
	for _, rules := range []int{10, 100} {
		if rates[rules], err = e.match(ctx, t.Enriched(cluster), rules, len(docs)); err != nil {
			return Measured{}, err
		}
	}
	return Measured{
		Stage: rates[10], Ceiling: ceiling, Records: len(docs),
		Detail: map[string]any{"bare_batch": batch, "rate_100_rules": round(rates[100])},
	}, nil
}

// match is the best rate of the matching step with a number of rules.
func (e *Env) match(ctx context.Context, topic string, rules, n int) (float64, error) {
	dir := e.path(fmt.Sprintf("rules-%d", rules))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, err
	}
	if err := os.WriteFile(dir+"/bench.yaml", []byte(benchRules(rules)), 0o600); err != nil {
		return 0, err
	}
	return best(ctx, e, fmt.Sprintf("matcher with %d rules", rules), n, func(ctx context.Context, round int) (time.Duration, error) {
		if err := e.forget(ctx, alerter.MatchGroup); err != nil {
			return 0, err
		}
		cfg := alerter.Default()
		cfg.Rules, cfg.Match, cfg.Decide, cfg.Notify = dir, true, false, false
		cfg.Instance = fmt.Sprintf("bench-%d-%d", rules, round)
		return e.untilConsumed(ctx, alerter.MatchGroup, topic, func(ctx context.Context) error {
			return alerter.Run(ctx, cfg, e.kafkaConfig("bench."), e.deps())
		})
	})
}

// benchRules are n rules, of which two thirds share ten common reasons.
func benchRules(n int) string {
	common := []string{"BackOff", "Failed", "FailedScheduling", "Unhealthy", "FailedCreate", "Evicted", "FailedMount", "NodeNotReady", "OOMKilling", "Killing"}
	var b strings.Builder
	b.WriteString("groups:\n- name: bench\n  rules:\n")
	for i := range n {
		reason := common[i%len(common)]
		if i%3 == 2 {
			reason = fmt.Sprintf("Rare%d", i)
		}
		fmt.Fprintf(&b, "  - alert: Bench%d\n    expr: reason == %q && type == \"Warning\" && namespace matches \"^team-%d-\"\n    group_by: [namespace, object]\n    dedup: 1h\n", i, reason, i)
	}
	return b.String()
}
