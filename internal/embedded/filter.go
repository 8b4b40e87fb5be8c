package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxRequestBytes is far above what our clients send. The broker reserves what the first four bytes ask for.
const maxRequestBytes = 64 << 20

// filteredListener accepts connections that may carry only well-framed requests of known kinds. Without it a stray HTTP
// request would make the broker reserve more than a gigabyte, and an unknown kind of request would end the process.
type filteredListener struct{ net.Listener }

// Accept wraps the connection.
func (l filteredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &filteredConn{Conn: c}, nil
}

// filteredConn reads requests: four bytes of length, two of the kind, two of the version, then the rest. It hands the
// head of a request on only when it is whole and in order. Reads come from one goroutine.
type filteredConn struct {
	net.Conn
	head   [8]byte
	have   int // bytes of head that were read from the connection
	given  int // bytes of head that were handed on
	body   int // bytes of the request that are still to come after the head
	failed error
}

var errNoKafka = errors.New("this is no Kafka request")

// Read reads at most to the end of the current request.
func (c *filteredConn) Read(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.given == len(c.head) && c.body == 0 {
		c.have, c.given = 0, 0
	}
	for c.have < len(c.head) {
		n, err := c.Conn.Read(c.head[c.have:])
		c.have += n
		if c.have == len(c.head) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	if c.given == 0 {
		if err := c.check(); err != nil {
			c.failed = err
			_ = c.Conn.Close()
			return 0, err
		}
	}
	if c.given < len(c.head) {
		n := copy(p, c.head[c.given:])
		c.given += n
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err
}

func (c *filteredConn) check() error {
	size := int(int32(binary.BigEndian.Uint32(c.head[:4])))
	key := int16(binary.BigEndian.Uint16(c.head[4:6]))
	version := int16(binary.BigEndian.Uint16(c.head[6:8]))
	if size < 8 || size > maxRequestBytes {
		return fmt.Errorf("%w: it announces %d bytes", errNoKafka, size)
	}
	if key < 0 || version < 0 || kmsg.RequestForKey(key) == nil {
		return fmt.Errorf("%w: its kind is %d, version %d", errNoKafka, key, version)
	}
	c.body = size - 4
	return nil
}
