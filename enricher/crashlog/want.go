package crashlog

import (
	"strings"
	"time"

	"kubescribe/schemas"
)

// Want says whose log is wanted.
type Want struct {
	Namespace, Pod, PodUID string
	Container              string
	// ContainerID is the runtime's id of the instance. Empty: the one that the status shows, and Running chooses.
	ContainerID string
	// Running prefers the instance that runs to the one that ended last.
	Running bool
	// Seen is when the fact was observed: what the watch does not know of a recent one is waited for a little.
	Seen time.Time
}

// Log is a container's last lines, or why there are none.
type Log struct {
	// Text is redacted and valid as UTF-8; lines end with a line feed but for the last. It is at most MaxBytes long.
	Text string
	// Truncated says that lines at the beginning, or the end of a very long one, were left out for their size.
	Truncated bool
	Info      schemas.ContainerLog
}

// Why there is no log: values of ContainerLog.Missing and of a metric's label.
const (
	Gone        = "gone"        // the pod or the instance is no longer there
	NotStarted  = "not_started" // no instance has run yet
	Forbidden   = "forbidden"   // the API server forbids it
	Timeout     = "timeout"     // it was not there in time
	Budget      = "budget"      // the budget is spent
	Unreachable = "unreachable" // the API server or the kubelet does not answer
	Failed      = "failed"      // another error
)

func missing(why string) Log { return Log{Info: schemas.ContainerLog{Missing: why}} }

// Values of ContainerLog.Instance.
const (
	current  = "current"
	previous = "previous"
)

// target is a log that can be asked for.
type target struct {
	namespace, pod, uid string
	container, id       string
	node, workload      string
	previous, running   bool
	ended               time.Time // zero when it runs, or when the status does not say
}

// key identifies what is remembered: what an instance has said while it ran is not its last word.
func (t target) key() string { return key(t.uid, t.container, t.id, t.running) }

func key(uid, container, id string, running bool) string {
	k := strings.Join([]string{uid, container, id}, "/")
	if running {
		k += "/running"
	}
	return k
}

// target finds the log that w means, or says why there is none.
func (p *pod) target(w Want) (t target, why string) {
	c := p.container(w.Container)
	if c == nil {
		return target{}, Gone
	}
	switch {
	case w.ContainerID != "" && c.current.over && c.current.id == w.ContainerID:
		return p.current(c), ""
	case w.ContainerID != "" && c.last.over && c.last.id == w.ContainerID:
		return p.last(c), ""
	case w.ContainerID != "" && c.current.id == w.ContainerID:
		return p.current(c), "" // its end was not seen here yet
	case w.ContainerID != "":
		return target{}, Gone
	case w.Running && c.running:
		t = p.current(c)
		t.running = true
		return t, ""
	case c.current.over:
		return p.current(c), ""
	case c.last.over:
		return p.last(c), ""
	case c.running:
		t = p.current(c)
		t.running = true
		return t, ""
	}
	return target{}, NotStarted
}

func (p *pod) current(c *container) target { return p.of(c, c.current, false) }

func (p *pod) last(c *container) target { return p.of(c, c.last, true) }

func (p *pod) of(c *container, i instance, previous bool) target {
	return target{
		namespace: p.namespace, pod: p.name, uid: p.uid, container: c.name, id: i.id,
		node: p.node, workload: p.workload, previous: previous, ended: i.ended,
	}
}
