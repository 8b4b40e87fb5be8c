package embedded

import (
	"crypto/rand"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func TestBrokerKeepsItsTopics(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	b, err := Start(dir, nil)
	require.NoError(t, err)
	host, _, err := net.SplitHostPort(b.Addr())
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", host)
	large := make([]byte, 4<<20-1<<10)
	_, _ = rand.Read(large)
	cl := client(t, b, kgo.ProducerBatchMaxBytes(4<<20))
	_, err = kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("4194304")}, "t")
	require.NoError(t, err)
	require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}, &kgo.Record{Topic: "t", Value: large}).FirstErr())
	cl.Close()
	b.Close()

	b, err = Start(dir, nil)
	require.NoError(t, err)
	defer b.Close()
	ends, err := kadm.NewClient(client(t, b)).ListEndOffsets(t.Context(), "t")
	require.NoError(t, err)
	o, _ := ends.Lookup("t", 0)
	assert.EqualValues(t, 2, o.Offset)
}

// A stray request must neither reserve a gigabyte nor end the process.
func TestBrokerRefusesStrangers(t *testing.T) {
	b, err := Start(t.TempDir(), nil)
	require.NoError(t, err)
	defer b.Close()
	for name, bytes := range map[string]string{
		"http":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"unknown kind": "\x00\x00\x00\x10\x7f\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"negative":     "\xff\xff\xff\xff\x00\x12\x00\x00",
		"too short":    "\x00\x00\x00\x01\x00\x12\x00\x00",
	} {
		conn, err := net.Dial("tcp", b.Addr())
		require.NoError(t, err)
		_, err = conn.Write([]byte(bytes))
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err, name)
		assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, name)
		_ = conn.Close()
	}
	require.NoError(t, client(t, b).Ping(t.Context()), "it still serves")
}

type byteAtATime struct {
	net.Conn
	rest []byte
}

func (c *byteAtATime) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	p[0] = c.rest[0]
	c.rest = c.rest[1:]
	return 1, nil
}

func TestFilterPassesEveryByte(t *testing.T) {
	request := "\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x07\x00\x00"
	c := &filteredConn{Conn: &byteAtATime{rest: []byte(request + request)}}
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, request+request, string(got))
}

func TestLockDir(t *testing.T) {
	if dir := os.Getenv("EMBEDDED_LOCK_DIR"); dir != "" { // the other process
		_, err := LockDir(dir)
		require.NoError(t, err)
		_, _ = os.Stdout.WriteString("locked\n")
		_, _ = io.ReadAll(os.Stdin)
		return
	}
	dir := filepath.Join(t.TempDir(), "d")
	other := exec.Command(os.Args[0], "-test.run=^TestLockDir$")
	other.Env = append(os.Environ(), "EMBEDDED_LOCK_DIR="+dir)
	in, err := other.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	_, err = io.ReadFull(out, make([]byte, len("locked\n")))
	require.NoError(t, err)

	_, err = LockDir(dir)
	require.ErrorIs(t, err, ErrLocked)
	assert.ErrorContains(t, err, dir+" is in use by another process (process ")

	require.NoError(t, other.Process.Kill())
	_ = other.Wait()
	release, err := LockDir(dir)
	require.NoError(t, err, "a killed process holds nothing")
	release()
	release, err = LockDir(dir)
	require.NoError(t, err)
	release()
}
