package producer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// pods is one page of the list of the pods selected.
func (c *client) pods(ctx context.Context, s *selector, o metav1.ListOptions) (*corev1.PodList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := c.core.Pods(s.namespace).List(ctx, s.options(o))
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return list, nil
}

// podsHead is the resourceVersion that the server is at now, as a list of pods has it.
func (c *client) podsHead(ctx context.Context, s *selector) (uint64, error) {
	list, err := c.pods(ctx, s, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0, fmt.Errorf("reading the server's resourceVersion: %w", err)
	}
	return parseRV(list.ResourceVersion)
}

// watchPods opens a watch of what is newer than rv. The caller stops it.
func (c *client) watchPods(ctx context.Context, s *selector, rv uint64) (watch.Interface, error) {
	ctx, cancel := context.WithCancel(ctx)
	overdue := time.AfterFunc(openTimeout, cancel)
	o := s.options(metav1.ListOptions{ResourceVersion: formatRV(rv), AllowWatchBookmarks: true})
	w, err := c.core.Pods(s.namespace).Watch(ctx, o)
	if !overdue.Stop() && err == nil {
		w.Stop()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	return &boundWatch{Interface: w, cancel: cancel}, nil
}
