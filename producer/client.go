package producer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

const (
	// requestTimeout bounds one request that isn't a watch, and the opening of a watch.
	requestTimeout = time.Minute
	openTimeout    = 30 * time.Second
)

// client is the API server as the producer uses it. It has no rate limiter of its own: the server's priority and fairness
// decides, and a limiter that a list has emptied would hold up the watch and the Lease.
type client struct {
	core  coreclient.CoreV1Interface
	authz authorizationclient.AuthorizationV1Interface
	lease coordinationclient.CoordinationV1Interface
	// selected are the Events to ask for; nil: all.
	selected *selector
	// paged: the server does not stream lists.
	paged atomic.Bool
}

// newClient opens no connection. Requests for the Lease end after leaseTimeout, on a connection of their own.
func newClient(rc *rest.Config, leaseTimeout time.Duration) (*client, error) {
	rc = rest.CopyConfig(rc)
	rc.QPS, rc.RateLimiter = -1, nil
	rc.Timeout = 0 // it would end watches; each request has its own
	// The API server packs lists with gzip, which costs more CPU than all the rest of reading them. It is near.
	rc.DisableCompression = true
	rc.ContentType = runtime.ContentTypeProtobuf
	rc.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if rc.UserAgent == "" {
		rc.UserAgent = "kubescribe-producer"
	}
	hc, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, configuring(err)
	}
	c := &client{}
	if c.core, err = coreclient.NewForConfigAndClient(rc, hc); err != nil {
		return nil, configuring(err)
	}
	if c.authz, err = authorizationclient.NewForConfigAndClient(rc, hc); err != nil {
		return nil, configuring(err)
	}
	lease := rest.CopyConfig(rc)
	lease.Timeout = leaseTimeout
	if c.lease, err = coordinationclient.NewForConfig(lease); err != nil {
		return nil, configuring(err)
	}
	return c, nil
}

func configuring(err error) error {
	return fmt.Errorf("configuring the connection to the API server: %w", err)
}

// clusterUID is the UID of the namespace kube-system, which lives as long as the cluster does.
func (c *client) clusterUID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ns, err := c.core.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the namespace kube-system, whose UID names the cluster: %w", err)
	}
	if ns.UID == "" {
		return "", fmt.Errorf("reading the namespace kube-system, whose UID names the cluster: it has no UID")
	}
	return string(ns.UID), nil
}

// boundWatch releases the request's context with the watch.
type boundWatch struct {
	watch.Interface
	cancel context.CancelFunc
}

func (w *boundWatch) Stop() {
	w.Interface.Stop()
	w.cancel()
}
