package enricher

import (
	"log/slog"
	"strings"
	"sync"
)

// permissions reports each missing permission once.
type permissions struct {
	log *slog.Logger

	mu       sync.Mutex
	reported map[string]bool
}

// denied logs the RBAC rule that would allow verbs on r, once for each pair.
func (p *permissions) denied(r resource, verbs ...string) {
	key := r.GroupResource().String() + " " + strings.Join(verbs, ",")
	p.mu.Lock()
	seen := p.reported[key]
	p.reported[key] = true
	p.mu.Unlock()
	if !seen {
		p.log.Warn("missing permission: documents lack the context of this kind until the rule is granted", "rbac_rule", rbacRule(r, verbs))
	}
}

// granted makes the next denial of verbs on r news again.
func (p *permissions) granted(r resource, verbs ...string) {
	key := r.GroupResource().String() + " " + strings.Join(verbs, ",")
	p.mu.Lock()
	delete(p.reported, key)
	p.mu.Unlock()
}

// rbacRule is the rule of a ClusterRole, as YAML in one line.
func rbacRule(r resource, verbs []string) string {
	return `{apiGroups: ["` + r.Group + `"], resources: ["` + r.Resource + `"], verbs: ["` + strings.Join(verbs, `", "`) + `"]}`
}
