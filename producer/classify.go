package producer

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// class is what an error of the API server asks for.
type class int

const (
	// transient: try again, for ever if need be.
	transient class = iota
	// expired: the server no longer has what was asked for; list.
	expired
	// refused: only a person can mend it; try again, slowly.
	refused
)

func (c class) String() string { return [...]string{"transient", "expired", "refused"}[c] }

// classify is the one place that judges an error of the API server, be it an HTTP status or an ERROR event of a watch.
func classify(err error) class {
	switch {
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		return expired
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		return refused
	}
	return transient
}

// explain adds what a person can do to a refusal.
func explain(err error) error {
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server refuses the credentials (401): renew the token or the kubeconfig: %w", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the API server forbids it (403): allow get on namespaces, list and watch on events and pods: %w", err)
	}
	return err
}

// watchError is the error that an ERROR event of a watch carries.
func watchError(object runtime.Object) error { return apierrors.FromObject(object) }
