package alerter

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/alerter/rule"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// match evaluates the rules on every document.
func (a *alerter) match(ctx context.Context, rules *folder) error {
	m := &matcher{alerter: a, rules: rules}
	return stream.RunTransform(ctx, a.kafka, a.deps, stream.TransformOptions{
		Group: MatchGroup, TransactionalID: a.transactionalID(MatchGroup),
		TopicPattern: a.topics.EnrichedPattern(), DeadLetter: a.deadLetter,
	}, m.transform)
}

// matcher keeps nothing of a document. The loop calls it from one goroutine.
type matcher struct {
	*alerter
	rules *folder

	set     *rule.Set
	matcher *rule.Matcher
	// warned are the rules whose failures were logged since the last reload.
	warned map[string]bool
}

func (m *matcher) transform(_ context.Context, records []*kgo.Record) (stream.Output, error) {
	if set := m.rules.set(); set != m.set {
		m.set, m.matcher, m.warned = set, rule.NewMatcher(set), map[string]bool{}
	}
	var out stream.Output
	matched, failed := map[string]int{}, map[string]int{}
	for _, r := range records {
		matches, failures, err := m.matcher.MatchValue(r.Value)
		if err != nil {
			out.Poison = append(out.Poison, stream.Poison{Record: r, Reason: "undecodable", Err: err})
			continue
		}
		for _, f := range failures {
			failed[f.Rule.Name]++
			m.warn(f, r)
		}
		for i := range matches {
			rec, err := m.record(&matches[i], r)
			if err != nil {
				return stream.Output{}, err
			}
			out.Records = append(out.Records, rec)
			matched[matches[i].Rule]++
		}
	}
	out.Committed = func() {
		m.metrics.documents.Add(float64(len(records) - len(out.Poison)))
		for name, n := range matched {
			m.metrics.matches.WithLabelValues(name).Add(float64(n))
		}
		for name, n := range failed {
			m.metrics.failures.WithLabelValues(name).Add(float64(n))
		}
	}
	return out, nil
}

func (m *matcher) record(match *schemas.Match, from *kgo.Record) (*kgo.Record, error) {
	if len(match.Receivers) == 0 {
		match.Receivers = m.cfg.DefaultReceivers
	}
	value, err := json.Marshal(match)
	if err != nil {
		return nil, fmt.Errorf("encoding match: %w", err)
	}
	e := event("match", match.ID, match.Cluster, match.Rule, match.Time)
	return record(m.topics.Matches(), match.Cluster, value, e, from), nil
}

// warn logs a rule's first failure since the last reload; the others are counted.
func (m *matcher) warn(f rule.Failure, r *kgo.Record) {
	if m.warned[f.Rule.Name] {
		return
	}
	m.warned[f.Rule.Name] = true
	m.deps.Log.Warn("rule failed on a document; further failures of this rule are only counted", "rule", f.Rule.Name,
		"file", f.Rule.File, "line", f.Rule.Line, "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "err", f.Err)
}
