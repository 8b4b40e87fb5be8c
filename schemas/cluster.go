package schemas

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Cluster names the cluster that a record is about.
type Cluster struct {
	// Name is the configured name: lower-case letters, digits and '-', at most 63 bytes. It is part of topic names.
	Name string `json:"name"`
	// UID is the UID of the namespace kube-system, or, for a recording, a UUIDv5 of the name. It is part of every id.
	UID string `json:"uid"`
}

var (
	clusterName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	notInName   = regexp.MustCompile(`[^a-z0-9-]+`)
)

// ValidateClusterName returns an error that suggests a valid name when name can't be part of a topic's name.
func ValidateClusterName(name string) error {
	if clusterName.MatchString(name) {
		return nil
	}
	s := strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(s) > 63 {
		s = strings.TrimRight(s[:63], "-")
	}
	if s == "" {
		s = "default"
	}
	return fmt.Errorf("cluster name %q: use lower-case letters, digits and '-' (1 to 63 of them, '-' neither first nor last), for example %q", name, s)
}

// Validate reports every problem of c at once.
func (c Cluster) Validate() error {
	var errs []error
	if err := ValidateClusterName(c.Name); err != nil {
		errs = append(errs, err)
	}
	if c.UID == "" || strings.Contains(c.UID, "/") {
		errs = append(errs, fmt.Errorf("cluster uid %q: want a UID without '/'", c.UID))
	}
	return errors.Join(errs...)
}
