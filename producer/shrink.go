package producer

import (
	"fmt"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

const (
	// maxRecordBytes is the largest record: below the topics' 4 MiB, so that the dead letter and the enriched document,
	// which grow, still fit.
	maxRecordBytes = 3 << 20
	// keptMessageBytes is what is left of a message that is too long, keptFieldBytes of any other field. JSON can make six bytes
	// of one, so a record of clipped fields is below 3 MiB by far.
	keptMessageBytes = 64 << 10
	keptFieldBytes   = 1 << 10
)

// shrink shortens an Event whose record is too large, rather than lose it or let it block those behind it: anybody who may
// create Events could write one. What is left is what alerts and searches need, with a mark at the end of the message.
func shrink(o *schemas.Observation) error {
	ev, err := decodeEvent(o.Payload)
	if err != nil {
		return fmt.Errorf("shortening an event: %w", err)
	}
	whole := len(o.Payload)
	small := &corev1.Event{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{
			Name: clip(ev.Name, keptFieldBytes), Namespace: clip(ev.Namespace, keptFieldBytes),
			UID: ev.UID, ResourceVersion: ev.ResourceVersion, CreationTimestamp: ev.CreationTimestamp,
		},
		InvolvedObject: clipReference(ev.InvolvedObject),
		Reason:         clip(ev.Reason, keptFieldBytes),
		Message:        clip(ev.Message, keptMessageBytes) + fmt.Sprintf(" … [shortened by kubescribe: the event had %d bytes]", whole),
		Source:         corev1.EventSource{Component: clip(ev.Source.Component, keptFieldBytes), Host: clip(ev.Source.Host, keptFieldBytes)},
		FirstTimestamp: ev.FirstTimestamp, LastTimestamp: ev.LastTimestamp, EventTime: ev.EventTime,
		Count: ev.Count, Series: ev.Series,
		Type: clip(ev.Type, keptFieldBytes), Action: clip(ev.Action, keptFieldBytes),
		ReportingController: clip(ev.ReportingController, keptFieldBytes), ReportingInstance: clip(ev.ReportingInstance, keptFieldBytes),
	}
	if ev.Related != nil {
		related := clipReference(*ev.Related)
		small.Related = &related
	}
	if o.Payload, err = schemas.Encode(small); err != nil {
		return fmt.Errorf("shortening an event: %w", err)
	}
	s := &o.Subject
	for _, field := range []*string{&s.APIVersion, &s.Kind, &s.Namespace, &s.Name, &s.UID, &s.ResourceVersion, &s.FieldPath} {
		*field = clip(*field, keptFieldBytes)
	}
	return nil
}

func clipReference(r corev1.ObjectReference) corev1.ObjectReference {
	for _, field := range []*string{&r.APIVersion, &r.Kind, &r.Namespace, &r.Name, &r.ResourceVersion, &r.FieldPath, (*string)(&r.UID)} {
		*field = clip(*field, keptFieldBytes)
	}
	return r
}

// clip cuts s to at most limit bytes without breaking a character.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.Clone(s[:limit])
}
