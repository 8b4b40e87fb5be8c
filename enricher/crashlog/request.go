package crashlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// api reads logs from an API server.
type api struct{ pods typedcorev1.PodsGetter }

func newAPI(rc *rest.Config) (api, error) {
	rc = rest.CopyConfig(rc)
	rc.QPS, rc.RateLimiter, rc.Timeout = -1, nil, 0 // the budget and the deadline are the collector's
	client, err := typedcorev1.NewForConfig(rc)
	if err != nil {
		return api{}, fmt.Errorf("creating the client for logs: %w", err)
	}
	return api{client}, nil
}

// answer is what one request brought.
type answer struct {
	why   string    // there is no log; "" when there is
	text  string    // without the times of the lines
	first time.Time // of the first line; zero when there is none or it has no time
	cut   bool      // it was too long to be read whole: its end is missing
}

// ask sends one request, when a slot is free, of which one node may take half. It is the only place that does. A 429 is an answer: it is not tried again.
func (c *Collector) ask(ctx context.Context, t target, lines int) answer {
	for _, slots := range []chan struct{}{c.breakers.of(t.node), c.slots} {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return answer{why: Timeout}
		}
	}
	b, err := c.api.read(ctx, t, lines)
	c.budget.charge(len(b))
	c.metrics.read(len(b))
	why := whyNot(err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
		why = Timeout
	}
	if c.ctx.Err() == nil {
		c.breakers.note(t.node, why != Timeout && why != Unreachable)
	}
	if why != "" {
		return answer{why: why}
	}
	return parse(b)
}

// read reads the last lines of a log, with their times, up to maxRead bytes.
func (a api) read(ctx context.Context, t target, lines int) ([]byte, error) {
	tail, limit := int64(lines), int64(maxRead)
	body, err := a.pods.Pods(t.namespace).GetLogs(t.pod, &corev1.PodLogOptions{
		Container: t.container, Previous: t.previous, TailLines: &tail, LimitBytes: &limit, Timestamps: true,
	}).MaxRetries(0).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxRead))
	if err != nil {
		return b, fmt.Errorf("reading a log: %w", err)
	}
	return b, nil
}

// whyNot is the one place that judges an error of a request for a log. The API server hands on what the kubelet says.
func whyNot(err error) string {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return ""
	case apierrors.IsNotFound(err), apierrors.IsGone(err):
		return Gone
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return Forbidden
	case errors.As(err, &status):
	default:
		return Unreachable
	}
	says := status.Status().Message
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(says, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("waiting to start", "does not have a host assigned"):
		return NotStarted
	case has("not found", "is not available", "is terminated", "is not valid for pod", "no such container", "No such container"), isExcuse(says), has(excuses...):
		return Gone
	case apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return Unreachable
	}
	return Failed
}
