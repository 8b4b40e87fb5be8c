package receiver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubescribe/schemas"
)

// page is what people are shown of an alert, before it is put into a far side's form. All its text comes from the cluster and the
// rules, and is plain.
type page struct {
	// Title is "[firing] Rule: summary".
	Title    string
	Status   schemas.AlertStatus
	Severity string
	Summary  string
	// Description and Runbook are the annotations of these names.
	Description string
	Runbook     string
	// Facts are short: a name and a value each.
	Facts []fact
	// Log is the end of the log of the newest evidence that has one, LogOf the container's name.
	Log, LogOf string
	// Members are the alerts of a storm, one line each.
	Members []string
	Links   []link
}

type fact struct{ Name, Value string }

type link struct{ Name, URL string }

// shownMembers is how many alerts of a storm are listed.
const shownMembers = 20

func newPage(a *schemas.Alert, l Links) page {
	p := page{
		Status: a.Status, Severity: a.Labels["severity"], Summary: a.Annotations["summary"],
		Description: strings.TrimSpace(a.Annotations["description"]), Runbook: strings.TrimSpace(a.Annotations["runbook"]),
	}
	p.Summary = cmp.Or(strings.TrimSpace(p.Summary), a.Rule+" in "+strings.TrimPrefix(a.Cluster, "_"))
	p.Title = fmt.Sprintf("[%s] %s: %s", a.Status, a.Rule, p.Summary)
	last := newest(a.Evidence)
	p.Facts = facts(a, last)
	for _, e := range slices.Backward(a.Evidence) {
		if e.Log != "" {
			p.Log, p.LogOf = strings.TrimRight(e.Log, "\n"), cmp.Or(e.Container, e.Object)
			break
		}
	}
	for i, m := range a.Members {
		if i == shownMembers {
			p.Members = append(p.Members, fmt.Sprintf("and %d more", a.Count-shownMembers))
			break
		}
		p.Members = append(p.Members, fmt.Sprintf("%s since %s: %s", m.Rule, m.StartsAt.UTC().Format(time.TimeOnly), m.Summary))
	}
	p.Links = l.of(a)
	return p
}

func newest(all []schemas.Evidence) schemas.Evidence {
	if len(all) == 0 {
		return schemas.Evidence{}
	}
	return all[len(all)-1]
}

// facts are what the newest evidence says of where it happened and who it belongs to.
func facts(a *schemas.Alert, e schemas.Evidence) []fact {
	var all []fact
	add := func(name, value string) {
		if value != "" {
			all = append(all, fact{name, value})
		}
	}
	if cluster := cmp.Or(e.Cluster, a.Cluster); cluster != schemas.Fleet {
		add("cluster", cluster)
	}
	add("severity", a.Labels["severity"])
	add("namespace", e.Namespace)
	add("owner", e.Workload)
	add("service", e.Service)
	add("object", e.Object)
	add("container", e.Container)
	add("node", e.Node)
	add("image", e.Image)
	add("exit code", e.ExitCode)
	if e.Revision > 0 {
		rollout := fmt.Sprintf("revision %d", e.Revision)
		if age := e.Time.Sub(e.RolledOutAt); !e.RolledOutAt.IsZero() && age >= 0 {
			rollout += ", " + short(age) + " before"
		}
		add("rollout", rollout)
	}
	add("started", a.StartsAt.UTC().Format(time.RFC3339))
	if a.Status == schemas.AlertResolved {
		add("ended", a.EndsAt.UTC().Format(time.RFC3339))
	}
	if a.Count > 1 {
		add("count", fmt.Sprint(a.Count))
	}
	add("last", strings.TrimSpace(strings.Join([]string{e.Reason, e.Message}, " ")))
	return all
}

// short is a duration as people say it: its two largest units at most.
func short(d time.Duration) string {
	days := int(d / (24 * time.Hour))
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, int(d/time.Hour)%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", int(d/time.Hour), int(d/time.Minute)%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", int(d/time.Minute), int(d/time.Second)%60)
	}
	return fmt.Sprintf("%ds", int(d/time.Second))
}

// clip is s in at most limit bytes of whole characters, with a sign that something was left out.
func clip(s string, limit int) string {
	const more = "…"
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:max(limit-len(more), 0)], "") + more
}
