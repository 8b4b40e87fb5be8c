package explorer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Config is the section `explorer`.
type Config struct {
	// Listen is the address to serve on, host:port. Port 0 takes a free one.
	Listen string `koanf:"listen"`
	// QueryTimeout bounds one question to the store.
	QueryTimeout time.Duration `koanf:"query_timeout"`
	// Ready, if set, is called once with the address, as soon as it serves.
	Ready func(addr string) `koanf:"-"`
}

// Default serves on loopback.
func Default() Config { return Config{Listen: "127.0.0.1:8360", QueryTimeout: 30 * time.Second} }

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		errs = append(errs, fmt.Errorf("explorer.listen: %q is no address: write host:port", c.Listen))
	}
	if c.QueryTimeout < time.Second || c.QueryTimeout > 10*time.Minute {
		errs = append(errs, fmt.Errorf("explorer.query_timeout: %s is not between 1s and 10m", c.QueryTimeout))
	}
	return errors.Join(errs...)
}

// loopback says whether addr, an address that is listened on, can be reached from this machine only.
func loopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().IsLoopback()
}
