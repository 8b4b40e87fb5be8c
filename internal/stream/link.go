package stream

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// linkSilence is how long no broker may answer before a loop says that it isn't ready. A member of a group heartbeats every two
// seconds, so silence is no idleness.
const linkSilence = 8 * time.Second

// link watches a client's connections: the client itself retries for ever and says little.
type link struct {
	now func() time.Time

	mu     sync.Mutex
	lastOK time.Time
	lost   error
}

func newLink() *link { return &link{now: time.Now, lastOK: time.Now()} }

// OnBrokerConnect implements a hook of the client.
func (l *link) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = fmt.Errorf("connecting to %s: %w", net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port)), err)
}

// OnBrokerE2E implements a hook of the client.
func (l *link) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	if e2e.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastOK, l.lost = l.now(), nil
}

// reason is why the loop isn't ready, or "".
func (l *link) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now().Sub(l.lastOK) < linkSilence {
		return ""
	}
	if l.lost != nil {
		return fmt.Sprintf("no answer from Kafka: %v", l.lost)
	}
	return "no answer from Kafka"
}

// report tells health about the link every second, until stop is closed: a loop can be inside a handler or a transaction when the
// broker goes away.
func (l *link) report(h *health, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.set("kafka", l.reason())
		case <-stop:
			h.set("kafka", "")
			return
		}
	}
}
