package producer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// errLeadershipLost ends a session whose Lease could not be renewed in time.
var errLeadershipLost = errors.New("the Lease was lost")

// podNamespaceFile is where a pod finds its own namespace.
const podNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// namespace is where the Lease lives.
func (l LeaseConfig) namespace() string {
	if l.Namespace != "" {
		return l.Namespace
	}
	if b, err := os.ReadFile(podNamespaceFile); err == nil {
		if ns := strings.TrimSpace(string(b)); ns != "" {
			return ns
		}
	}
	return metav1.NamespaceDefault
}

// lead waits for the Lease, calls fn while it is held, and gives it back after fn has returned. fn's context ends with ctx
// and with the loss of the Lease; lead then still waits for fn. A replica that waits while another one leads is ready: it does
// what it is there for, and a rollout must not wait for it to lead.
func (p *producer) lead(ctx context.Context, fn func(context.Context) error) error {
	held, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	// The Lease outlives ctx until fn has finished its last transaction; before fn has begun, both end together.
	begin := sync.OnceValue(func() bool { return ctx.Err() == nil })
	result := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		if !begin() {
			release()
		}
	})
	defer stop()

	identity := p.identity()
	l := p.cfg.Lease
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: l.Name, Namespace: l.namespace()},
			Client:     p.api.lease,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration: l.Duration, RenewDeadline: l.RenewDeadline, RetryPeriod: l.RetryPeriod,
		ReleaseOnCancel: true, Name: l.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				if !begin() {
					result <- ctx.Err()
					return
				}
				p.m.leader.Set(1)
				defer p.m.leader.Set(0)
				result <- p.leading(ctx, leading, fn)
				release()
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(id string) {
				if id != "" && id != identity {
					p.d.Log.Info("standing by, another producer leads", "leader", id)
					p.ready.at("")
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("taking the Lease: %w", err)
	}
	elector.Run(klog.NewContext(held, logr.FromSlogHandler(p.d.Log.Handler())))
	if !begin() {
		return ctx.Err()
	}
	return <-result
}

// leading calls fn with a context that ends with either of the two.
func (p *producer) leading(ctx, leading context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(leading, func() { cancel(errLeadershipLost) })()
	err := fn(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errLeadershipLost) {
		return errors.Join(errLeadershipLost, err)
	}
	return err
}

// identity names this process in the Lease; no two processes share one.
func (p *producer) identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "_" + uuid.NewString()
}
