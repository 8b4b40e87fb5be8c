package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Ports are taken below the range from which the kernel gives ports to outgoing connections. A port from within that
// range (which is what listening on :0 gives) could be taken by any client while a killed server is down, and its restart
// on the same port would fail.
const lowestPort = 12000

func freePorts(n int) ([]int, error) {
	ceiling := ephemeralFloor()
	held := make([]net.Listener, 0, n)
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	ports := make([]int, 0, n)
	for try := 0; len(ports) < n; try++ {
		if try > 1000 {
			return nil, fmt.Errorf("finding %d free loopback ports: none free in 1000 tries", n)
		}
		port := 0
		if ceiling > lowestPort+1000 {
			port = lowestPort + rand.IntN(ceiling-lowestPort)
		}
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		held = append(held, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func ephemeralFloor() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	low, err := strconv.Atoi(strings.Fields(string(b) + " 0")[0])
	if err != nil {
		return 0
	}
	return low
}

// loadPorts returns the ports that an earlier start on dir settled on, or nil if there was none.
func loadPorts(dir string, names ...string) (map[string]int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "ports.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading ports: %w", err)
	}
	ports := map[string]int{}
	if err := json.Unmarshal(b, &ports); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", filepath.Join(dir, "ports.json"), err)
	}
	for _, name := range names {
		if ports[name] == 0 {
			return nil, fmt.Errorf("decoding %s: no port for %s", filepath.Join(dir, "ports.json"), name)
		}
	}
	return ports, nil
}

func newPorts(names ...string) (map[string]int, error) {
	free, err := freePorts(len(names))
	if err != nil {
		return nil, err
	}
	ports := make(map[string]int, len(names))
	for i, name := range names {
		ports[name] = free[i]
	}
	return ports, nil
}

func savePorts(dir string, ports map[string]int) error {
	b, err := json.Marshal(ports)
	if err != nil {
		return fmt.Errorf("encoding ports: %w", err)
	}
	return writeFile(filepath.Join(dir, "ports.json"), b, 0o644)
}

// settle starts a server on ports of its own: those of an earlier start on dir, else fresh ones, which it remembers once
// start was successful. Only a first start may move to other ports when somebody else was quicker to one of them.
func settle(dir string, names []string, start func(ports map[string]int) error) error {
	ports, err := loadPorts(dir, names...)
	if err != nil {
		return err
	}
	if ports != nil {
		return start(ports)
	}
	for try := 1; ; try++ {
		if ports, err = newPorts(names...); err != nil {
			return err
		}
		err = start(ports)
		if err == nil {
			return savePorts(dir, ports)
		}
		var clash portClash
		if try == 5 || !errors.As(err, &clash) {
			return err
		}
	}
}

// portClash is the failure of a server that found its port taken.
type portClash struct{ error }

func (e portClash) Unwrap() error { return e.error }

func asStartFailure(err error, log string) error {
	for _, sign := range []string{"ddress already in use", "Failed to bind", "failed to bind"} {
		if strings.Contains(log, sign) {
			return portClash{err}
		}
	}
	return err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// writeFile replaces path atomically.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, content, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
