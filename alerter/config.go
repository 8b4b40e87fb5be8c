package alerter

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"kubescribe/alerter/receiver"
)

// Config is the section alerter.
type Config struct {
	// Rules is the folder of the rule files. Changes are taken over while running.
	Rules string `koanf:"rules"`
	// Match, Decide and Notify say which of the three steps run in this process.
	Match  bool `koanf:"match"`
	Decide bool `koanf:"decide"`
	Notify bool `koanf:"notify"`
	// Instance is a name that this replica keeps across restarts and shares with no other, such as a StatefulSet's pod
	// name: a restarted replica then ends the transaction that its last life left open at once.
	Instance string `koanf:"instance"`
	// ReloadInterval is how often the folder is compared besides being watched, for file systems that tell nothing.
	ReloadInterval time.Duration `koanf:"reload_interval"`
	// TickInterval is how often the quiet timers are looked at.
	TickInterval time.Duration `koanf:"tick_interval"`
	// DefaultReceivers are notified by rules that name no receiver. Every alert is on the topic alerts in any case.
	DefaultReceivers []string `koanf:"default_receivers"`
	// Receivers are where alerts can be sent.
	Receivers []receiver.Config `koanf:"receivers"`
	// Links are where a page's links lead.
	Links receiver.Links `koanf:"links"`
}

// Default runs all three steps, without a receiver.
func Default() Config {
	return Config{Rules: "/etc/kubescribe/rules", Match: true, Decide: true, Notify: true, ReloadInterval: 30 * time.Second, TickInterval: time.Second}
}

// Validate reports every problem at once. It reads the receivers' secret files, but not the rules: Check does that.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !c.Match && !c.Decide && !c.Notify {
		bad("alerter.match, alerter.decide and alerter.notify are all false: set one of them to true")
	}
	if c.Match && c.Rules == "" {
		bad("alerter.rules is empty: name the folder of the rule files")
	}
	if c.ReloadInterval < time.Second {
		bad("alerter.reload_interval: %s is below 1s", c.ReloadInterval)
	}
	if c.TickInterval < 10*time.Millisecond {
		bad("alerter.tick_interval: %s is below 10ms", c.TickInterval)
	}
	if err := c.Links.Validate("alerter.links"); err != nil {
		errs = append(errs, err)
	}
	names := c.receiverNames()
	for i, r := range c.Receivers {
		at := fmt.Sprintf("alerter.receivers[%d]", i)
		if err := r.Validate(at); err != nil {
			errs = append(errs, err)
		}
		if r.Name != "" && slices.Contains(names[:i], r.Name) {
			bad("%s.name: %q is there twice", at, r.Name)
		}
	}
	for _, name := range c.DefaultReceivers {
		if !slices.Contains(names, name) {
			bad("alerter.default_receivers: %q is none of alerter.receivers", name)
		}
	}
	return errors.Join(errs...)
}

func (c Config) receiverNames() []string {
	names := make([]string, len(c.Receivers))
	for i, r := range c.Receivers {
		names[i] = r.Name
	}
	return names
}
