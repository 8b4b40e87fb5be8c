package enricher

import (
	"fmt"
	"strings"

	"kubescribe/schemas"
)

// addContainer adds what a container's transition says. Labels, owner and node that it carries stand in for those that the
// API server did not give.
func addContainer(d *schemas.Document, c *cutter, s schemas.Subject, payload []byte, fields Fields) error {
	t, err := schemas.DecodeContainerTransition(payload)
	if err != nil {
		return err
	}
	const f = "kubescribe.container"
	reason := c.name("event.action", t.Reason)
	d.Event.Kind, d.Event.Action, d.Event.Provider, d.Event.Type[0] = "state", reason, "kubelet", "error"
	d.Kubescribe.Class, d.Log.Level = schemas.ClassCrash, "error"
	if !t.FinishedAt.IsZero() {
		d.Event.Start, d.Event.End = t.StartedAt.UTC(), t.FinishedAt.UTC()
	}
	name := c.name("container", t.Container)
	d.Kubernetes.Container = &schemas.KubernetesName{Name: name}
	d.Container = &schemas.Container{Name: name}
	if runtime, id, ok := strings.Cut(t.ContainerID, "://"); ok {
		d.Container.Runtime, d.Container.ID = c.name("container", runtime), c.name("container", id)
	} else {
		d.Container.ID = c.name("container", t.ContainerID)
	}
	if t.Image != "" {
		d.Container.Image = &schemas.ContainerImage{Name: c.name("container.image.name", t.Image)}
	}
	d.Kubescribe.Container = &schemas.ContainerFact{
		Kind: t.Kind, State: t.State, RestartCount: int64(t.RestartCount), Signal: int64(t.Signal), Previous: t.Previous,
		ImageID: c.name(f, t.ImageID), Limits: c.labelsWithin(f, t.Limits, MaxNameBytes),
		PodPhase: c.name(f, t.PodPhase), PodReason: c.name(f, t.PodReason),
	}
	addEnd(d, c, t, reason)
	if d.Kubernetes.Node == nil && t.Node != "" {
		d.Kubernetes.Node = &schemas.KubernetesName{Name: c.name("kubernetes.node", t.Node)}
	}
	if d.Kubernetes.Labels == nil {
		d.Kubernetes.Labels = c.labels("kubernetes.labels", t.Labels)
	}
	if name := firstSet(fields.ServiceLabels, t.Labels); name != "" && d.Service == nil {
		d.Service = &schemas.Service{Name: c.name("service.name", name)}
	}
	if team := firstSet(fields.TeamLabels, t.Labels); team != "" && d.Labels == nil {
		d.Labels = map[string]string{labelTeam: c.name("labels", team)}
	}
	if d.Kubescribe.Workload == nil && t.Owner != nil {
		owner := schemas.Owner{APIVersion: t.Owner.APIVersion, Kind: t.Owner.Kind, Name: t.Owner.Name, UID: t.Owner.UID}
		addOwners(d, c, s, Object{Owners: []schemas.Owner{owner}})
	}
	d.Message = c.text("message", sentence(t, s.Name), MaxMessageBytes)
	return nil
}

// addEnd adds how the container ended: of one that waits, how it ended before.
func addEnd(d *schemas.Document, c *cutter, t *schemas.ContainerTransition, reason string) {
	e := &schemas.ErrorInfo{Type: reason, Message: c.text("error.message", t.Message, MaxErrorBytes)}
	end := schemas.ContainerTermination{StartedAt: t.StartedAt, FinishedAt: t.FinishedAt}
	switch {
	case t.ExitCode != nil:
		end.ExitCode = *t.ExitCode
	case t.Last != nil:
		end = *t.Last
		if e.Message == "" {
			e.Message = c.text("error.message", t.Last.Message, MaxErrorBytes)
		}
	default:
		d.Error = e
		return
	}
	code := int64(end.ExitCode)
	e.Code = fmt.Sprint(code)
	d.Error = e
	d.Process = &schemas.Process{ExitCode: &code, Start: end.StartedAt.UTC(), End: end.FinishedAt.UTC()}
}

// sentence is the message for people.
func sentence(t *schemas.ContainerTransition, pod string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Container %s of pod %s ", t.Container, pod)
	if t.State == schemas.StateWaiting {
		fmt.Fprintf(&b, "cannot start: %s", t.Reason)
	} else {
		fmt.Fprintf(&b, "ended: %s", t.Reason)
		if t.ExitCode != nil {
			fmt.Fprintf(&b, " (exit code %d)", *t.ExitCode)
		}
	}
	if t.RestartCount > 0 {
		fmt.Fprintf(&b, ", restarts %d", t.RestartCount)
	}
	if t.Message != "" {
		fmt.Fprintf(&b, ": %s", t.Message)
	}
	return b.String()
}
