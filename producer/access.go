package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessError says which permission is missing and which RBAC rule grants it. Run returns it before anything was written.
type AccessError struct{ Missing []Permission }

// Permission is one verb on one resource.
type Permission struct {
	Verb, Group, Resource, Namespace, Name string
}

// Error is one sentence with the rules to add.
func (e *AccessError) Error() string {
	var what, rules []string
	for _, p := range e.Missing {
		what = append(what, p.String())
		rules = append(rules, fmt.Sprintf("{apiGroups: [%q], resources: [%q], verbs: [%q]}", p.Group, p.Resource, p.Verb))
	}
	return fmt.Sprintf("the API server does not let this account %s: add to its role the rules %s",
		strings.Join(what, ", nor "), strings.Join(rules, ", "))
}

// String is such as "watch events in all namespaces".
func (p Permission) String() string {
	where := "in all namespaces"
	switch {
	case p.Resource == "namespaces":
		where = p.Name
	case p.Namespace != "":
		where = "in the namespace " + p.Namespace
	}
	return p.Verb + " " + p.Resource + " " + where
}

// needed are the permissions that a producer with this configuration uses.
func needed(c Config) []Permission {
	in := c.Selection.namespace()
	all := []Permission{
		{Verb: "get", Resource: "namespaces", Name: metav1.NamespaceSystem},
		{Verb: "list", Resource: "events", Namespace: in},
		{Verb: "watch", Resource: "events", Namespace: in},
	}
	if c.Containers.Enabled {
		all = append(all, Permission{Verb: "list", Resource: "pods", Namespace: in}, Permission{Verb: "watch", Resource: "pods", Namespace: in})
	}
	if c.Lease.Enabled {
		for _, verb := range []string{"get", "create", "update"} {
			all = append(all, Permission{Verb: verb, Group: "coordination.k8s.io", Resource: "leases", Namespace: c.Lease.namespace()})
		}
	}
	return all
}

// checkAccess asks the server, without touching anything else, whether this account has every permission of all. A server that
// doesn't answer such questions is believed to allow them; the real request then says what it thinks.
func (c *client) checkAccess(ctx context.Context, all []Permission) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var missing []Permission
	for _, p := range all {
		review, err := c.authz.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: p.Verb, Group: p.Group, Resource: p.Resource, Namespace: p.Namespace, Name: p.Name,
			}},
		}, metav1.CreateOptions{})
		switch {
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
			return nil
		case err != nil:
			return fmt.Errorf("asking the API server for this account's permissions: %w", err)
		case !review.Status.Allowed:
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return &AccessError{Missing: missing}
	}
	return nil
}

// IsAccess reports whether err is an AccessError: a configuration to mend, not a failure to retry.
func IsAccess(err error) bool {
	var access *AccessError
	return errors.As(err, &access)
}
