package enricher

import (
	"errors"
	"fmt"
	"time"

	"kubescribe/enricher/crashlog"
)

// Config is the section enricher of the configuration.
type Config struct {
	// Instance is a name that this replica keeps across restarts and shares with no other, such as a StatefulSet's pod
	// name: a restarted replica then ends the transaction that its last life left open at once. Empty: what a killed
	// replica left open waits for the transaction timeout.
	Instance string `koanf:"instance"`
	// LookupTimeout is the one deadline that all look-ups of a batch share.
	LookupTimeout time.Duration `koanf:"lookup_timeout"`
	// LookupConcurrency is how many objects are looked up at once.
	LookupConcurrency int `koanf:"lookup_concurrency"`
	// SyncWait is how long after the first event of a kind its look-ups wait for the cache of that kind to fill before
	// they ask for single objects.
	SyncWait time.Duration `koanf:"sync_wait"`
	// APIQPS and APIBurst bound the requests for single objects. Lists and watches are not counted.
	APIQPS   float64 `koanf:"api_qps"`
	APIBurst int     `koanf:"api_burst"`
	// KeepDeleted is how long a deleted object stays known, for the events that arrive after its deletion.
	KeepDeleted time.Duration `koanf:"keep_deleted"`
	// ServiceLabels are the labels that may name the service: the first that is set on the involved object wins, else on its
	// nearest owner that has one. Without any, a Service that selects the pod gives the name: the one with the workload's
	// name, else the first by name.
	ServiceLabels []string `koanf:"service_labels"`
	// TeamLabels are the labels and annotations that may name the team, which becomes labels.team. They are looked for on the
	// involved object, then on its owners from the nearest up, then on its namespace.
	TeamLabels []string `koanf:"team_labels"`
	// NodePoolLabels are the labels of a node that may name its pool.
	NodePoolLabels []string `koanf:"node_pool_labels"`
	// Set gives documents fields of your own: labels.<name> becomes the text of the expression, if it is not empty. It
	// overrides the team. Example: {tier: 'labels["tier"]', team: 'namespace == "kube-system" ? "platform" : team'}.
	Set map[string]string `koanf:"set"`
	// Classes give documents a retention class; the first whose condition is true wins. Without one, the class is normal,
	// warning, crash or gap. Example: [{class: audit, when: 'namespace == "kube-system"'}].
	Classes []ClassRule `koanf:"classes"`
	// Logs is how containers' last log lines are read.
	Logs crashlog.Config `koanf:"logs"`
	// KeepOriginal copies the observation's payload to event.original, up to MaxOriginalBytes.
	KeepOriginal bool `koanf:"keep_original"`
}

// Default is what a cluster of any size can start with.
func Default() Config {
	return Config{
		LookupTimeout:     2 * time.Second,
		LookupConcurrency: 16,
		SyncWait:          time.Second,
		APIQPS:            50,
		APIBurst:          100,
		KeepDeleted:       15 * time.Minute,
		Logs:              crashlog.Default(),
		ServiceLabels:     []string{"app.kubernetes.io/name", "app"},
		TeamLabels:        []string{"team", "app.kubernetes.io/team", "owner"},
		NodePoolLabels: []string{
			"cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "kubernetes.azure.com/agentpool", "karpenter.sh/nodepool",
			"kops.k8s.io/instancegroup", "node.kubernetes.io/pool", "pool",
		},
	}
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.LookupTimeout > 0 && c.LookupTimeout <= 8*time.Second,
		"enricher.lookup_timeout: %s is not in (0, 8s]: a transaction must end within 10s", c.LookupTimeout)
	check(c.LookupConcurrency >= 1 && c.LookupConcurrency <= 256,
		"enricher.lookup_concurrency: %d is not in 1..256", c.LookupConcurrency)
	check(c.SyncWait >= 0 && c.SyncWait <= c.LookupTimeout,
		"enricher.sync_wait: %s is not in 0..lookup_timeout (%s): look-ups can't wait longer than their deadline", c.SyncWait, c.LookupTimeout)
	check(c.APIQPS > 0, "enricher.api_qps: %g is not above 0", c.APIQPS)
	check(c.APIBurst >= 1, "enricher.api_burst: %d is not at least 1", c.APIBurst)
	check(c.KeepDeleted >= 0 && c.KeepDeleted <= 24*time.Hour, "enricher.keep_deleted: %s is not in 0..24h: deleted objects stay in memory", c.KeepDeleted)
	named := func(key string, labels []string) {
		for i, l := range labels {
			check(l != "", "enricher.%s[%d] is empty: name a label or remove it", key, i)
		}
	}
	named("service_labels", c.ServiceLabels)
	named("team_labels", c.TeamLabels)
	named("node_pool_labels", c.NodePoolLabels)
	if _, err := c.fields(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Logs.Validate())
	return errors.Join(errs...)
}
