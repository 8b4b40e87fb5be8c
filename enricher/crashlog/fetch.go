package crashlog

import (
	"context"
	"time"

	"kubescribe/schemas"
)

// fetchOnce begins to fetch a log, unless it is known, being fetched or refused. It does not block.
func (c *Collector) fetchOnce(t target) *capture {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := t.key()
	if known := c.memory.get(k); known != nil {
		return known
	}
	capture := c.memory.add(k)
	if why := c.refusal(t); why != "" {
		c.metrics.fetched(why)
		c.memory.finish(capture, missing(why), keepRefusal)
		return capture
	}
	go c.fetch(t, capture)
	return capture
}

// refusal says why no request is sent for t now. The caller holds mu.
func (c *Collector) refusal(t target) string {
	switch {
	case c.ctx.Err() != nil:
		return Unreachable
	case c.now().Before(c.denied[t.namespace]):
		return Forbidden
	case !c.breakers.closed(t.node):
		return Unreachable
	case !c.budget.admit(t.workload):
		return Budget
	}
	return ""
}

// fetch reads t's log and finishes the capture.
func (c *Collector) fetch(t target, capture *capture) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Timeout)
	defer cancel()
	lines, asked := c.cfg.Lines, c.now()
	a := c.ask(ctx, t, lines)
	if a.why == "" && a.cut && lines > 1 && c.budget.admit(t.workload) {
		a = c.ask(ctx, t, max(1, lines/10)) // the last lines matter
	}
	if a.why == "" && c.mistaken(t, a) {
		if t.previous || !c.budget.admit(t.workload) {
			a = answer{why: Gone}
		} else {
			t.previous = true
			if a = c.ask(ctx, t, lines); a.why == "" && c.mistaken(t, a) {
				a = answer{why: Gone}
			}
		}
	}
	log := c.logOf(t, a, asked)
	c.metrics.fetched(a.why)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch a.why {
	case Forbidden:
		c.deny(t.namespace)
	case "":
		delete(c.denied, t.namespace)
		c.reported = false
	}
	c.memory.finish(capture, log, keepFor(t, a.why))
}

// mistaken reports whether what was read is another instance's log: the container was started again meanwhile, or had been before its
// status said so, and then all lines are younger than the end, of which only the whole second is known.
func (c *Collector) mistaken(t target, a answer) bool {
	if !t.ended.IsZero() && !a.first.IsZero() && a.first.After(t.ended.Add(time.Second)) {
		return true
	}
	ctr := c.pods.get(t.uid).container(t.container)
	if ctr == nil || t.id == "" || t.previous && ctr.last.id == t.id {
		return false
	}
	return ctr.current.id != t.id
}

func keepFor(t target, why string) time.Duration {
	switch {
	case why == "" && t.running:
		return keepRunning
	case why == "" || why == Gone:
		return keep
	}
	return keepRefusal
}

// logOf is what is remembered of an answer.
func (c *Collector) logOf(t target, a answer, asked time.Time) Log {
	log := Log{Info: schemas.ContainerLog{Missing: a.why, ContainerID: t.id, Instance: current}}
	if t.previous {
		log.Info.Instance = previous
	}
	if a.why != "" {
		return log
	}
	text, secrets := c.redactor.Redact(a.text)
	c.metrics.redacted(secrets)
	log.Text, log.Truncated = lastBytes(text, MaxBytes)
	log.Truncated = log.Truncated || a.cut
	log.Info.Lines, log.Info.Redactions = countLines(log.Text), int64(secrets.Total())
	log.Info.FetchedAt = asked.UTC()
	if !t.ended.IsZero() {
		delay := max(0, asked.Sub(t.ended))
		millis := delay.Milliseconds()
		log.Info.DelayMillis = &millis
		c.metrics.delayed(delay)
	}
	return log
}

// deny remembers that logs of a namespace may not be read, and says once which rule is missing. The caller holds mu.
func (c *Collector) deny(namespace string) {
	c.denied[namespace] = c.now().Add(time.Minute)
	if !c.reported {
		c.reported = true
		c.log.Warn("missing permission: documents lack the logs of containers until the rule is granted",
			"rbac_rule", `{apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}`)
	}
}
