package crashlog

import "time"

const (
	// keep is how long a log is remembered, keepRunning of a container that goes on, keepRefusal why there is none that there may be later.
	keep        = 10 * time.Minute
	keepRunning = time.Minute
	keepRefusal = 5 * time.Second
	// maxMemory is how many bytes of logs are remembered, entryBytes what one costs beside its text.
	maxMemory  = 32 << 20
	entryBytes = 512
)

// capture is one log, fetched or being fetched. log and until are set before done is closed and not changed after.
type capture struct {
	key   string
	done  chan struct{}
	log   Log
	until time.Time
}

func (c *capture) finished() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// memory remembers captures: the oldest is forgotten first. Its owner serialises the calls.
type memory struct {
	now   func() time.Time
	byKey map[string]*capture
	order []*capture
	bytes int
}

func newMemory(now func() time.Time) memory { return memory{now: now, byKey: map[string]*capture{}} }

// get returns what is still believed under key, or nil.
func (m *memory) get(key string) *capture {
	c := m.byKey[key]
	if c == nil || c.finished() && !m.now().Before(c.until) {
		return nil
	}
	return c
}

// add begins a capture.
func (m *memory) add(key string) *capture {
	c := &capture{key: key, done: make(chan struct{})}
	m.byKey[key] = c
	return c
}

// finish ends c.
func (m *memory) finish(c *capture, log Log, keepFor time.Duration) {
	c.log, c.until = log, m.now().Add(keepFor)
	close(c.done)
	m.order = append(m.order, c)
	m.bytes += len(log.Text) + entryBytes
	n := 0
	for n < len(m.order) && (m.bytes > maxMemory || !m.now().Before(m.order[n].until)) {
		old := m.order[n]
		if m.byKey[old.key] == old {
			delete(m.byKey, old.key)
		}
		m.bytes -= len(old.log.Text) + entryBytes
		n++
	}
	clear(m.order[:n])
	m.order = m.order[n:]
}
