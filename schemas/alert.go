package schemas

import (
	"errors"
	"fmt"
	"time"
)

// Match says that one document met one rule: the value of the topic matches, keyed by the cluster.
type Match struct {
	// ID is the document's id + "/" + the rule's name, so that a repeated record counts once.
	ID          string            `json:"id"`
	EventID     string            `json:"eventId"`
	Cluster     string            `json:"cluster"`
	Rule        string            `json:"rule"`
	RuleHash    string            `json:"ruleHash"` // of the rule's text: a changed rule starts its windows anew
	Fingerprint string            `json:"fingerprint"`
	Group       map[string]string `json:"group,omitempty"` // the values of the rule's group_by
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"` // rendered for this document
	Receivers   []string          `json:"receivers,omitempty"`
	Time        time.Time         `json:"time"`       // event time
	ObservedAt  time.Time         `json:"observedAt"` // by the producer's clock
	Occurrences int64             `json:"occurrences" jsonschema:"minimum=1"`
	Policy      Policy            `json:"policy"`
	Evidence    Evidence          `json:"evidence"`
	// Resolves says that the document met the rule's resolve expression: it ends the alert of its group.
	Resolves bool `json:"resolves,omitempty"`
}

// Fleet stands in place of the cluster's name in what comes of rules of scope fleet, whose groups span clusters. It is no name
// that a cluster can have.
const Fleet = "_fleet"

// Policy is the part of a rule that the decider needs. It travels with the match, so that deciders need no rule files and
// matcher and decider can't disagree about a rule's version. Durations are in nanoseconds.
type Policy struct {
	AtLeast      int64         `json:"atLeast" jsonschema:"minimum=1"` // occurrences within Within that make it fire; at least 1
	Within       time.Duration `json:"within,omitempty"`               // 0: AtLeast is 1
	Dedup        time.Duration `json:"dedup"`                          // a firing alert is repeated at most once in this time
	ResolveAfter time.Duration `json:"resolveAfter,omitempty"`         // quiet time after which it resolves; 0: when Dedup has passed
	// Inhibit are the alerts that this one keeps quiet while it fires.
	Inhibit []Inhibit `json:"inhibit,omitempty"`
	// Storm says when alerts of one origin become one summary; nil: as by default.
	Storm *Storm `json:"storm,omitempty"`
}

// Inhibit keeps other alerts quiet that are about the same.
type Inhibit struct {
	Alerts []string `json:"alerts"` // names or patterns of rules
	// Equal are the fields of Evidence that must be equal, and not empty, in both.
	Equal []string `json:"equal"`
}

// Storm joins the alerts of one origin in a summary when more than MoreThan groups fire within Within.
type Storm struct {
	// By are the origins that are looked at, in this order: fields of Evidence. None: no storm is looked for.
	By       []string      `json:"by,omitempty"`
	MoreThan int64         `json:"moreThan,omitempty"`
	Within   time.Duration `json:"within,omitempty"`
}

// DefaultStorm is how alerts are joined whose rule says nothing about storms.
func DefaultStorm() Storm {
	return Storm{By: []string{"workload", "node", "image"}, MoreThan: 2, Within: 5 * time.Minute}
}

// Evidence is a short view of the document that a page shows.
type Evidence struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Cluster   string    `json:"cluster,omitempty"` // only for rules of scope fleet
	Reason    string    `json:"reason,omitempty"`
	Message   string    `json:"message,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	Object    string    `json:"object,omitempty"`   // Kind/name
	Workload  string    `json:"workload,omitempty"` // Kind/name
	Service   string    `json:"service,omitempty"`
	Node      string    `json:"node,omitempty"`
	Container string    `json:"container,omitempty"`
	Image     string    `json:"image,omitempty"`
	ExitCode  string    `json:"exitCode,omitempty"`
	Log       string    `json:"log,omitempty"` // the last lines, bounded
	// Revision is the workload's latest one then, RolledOutAt when it became that.
	Revision    int64     `json:"revision,omitempty"`
	RolledOutAt time.Time `json:"rolledOutAt,omitzero"`
}

// Field is the value of a field of e by its name in rules: what alerts are compared by. An unknown name has no value.
func (e *Evidence) Field(name string) string {
	switch name {
	case "namespace":
		return e.Namespace
	case "object":
		return e.Object
	case "workload":
		return e.Workload
	case "service":
		return e.Service
	case "node":
		return e.Node
	case "container":
		return e.Container
	case "image":
		return e.Image
	}
	return ""
}

// EvidenceFields are the names that Field knows.
func EvidenceFields() []string {
	return []string{"namespace", "object", "workload", "service", "node", "container", "image"}
}

// Validate reports every problem of m at once.
func (m *Match) Validate() error {
	return required(
		field{"id", m.ID != ""}, field{"eventId", m.EventID != ""}, field{"cluster", m.Cluster != ""}, field{"rule", m.Rule != ""},
		field{"fingerprint", m.Fingerprint != ""}, field{"time", !m.Time.IsZero()},
		field{"occurrences (at least 1)", m.Occurrences > 0}, field{"policy.atLeast (at least 1)", m.Policy.AtLeast > 0},
	)
}

// DecodeMatch decodes and validates a value of matches.
func DecodeMatch(b []byte) (*Match, error) { return decode[Match](b, "match") }

// AlertStatus is the state of an alert, or of one Alert record.
type AlertStatus string

// Pending is only in AlertState, repeated only in Alert.
const (
	AlertPending  AlertStatus = "pending"
	AlertFiring   AlertStatus = "firing"
	AlertRepeated AlertStatus = "repeated"
	AlertResolved AlertStatus = "resolved"
)

// Alert says that an alert began, goes on, or ended: the value of the topic alerts, keyed by the fingerprint.
type Alert struct {
	// ID is the idempotency key of its delivery (AlertID).
	ID          string            `json:"id"`
	Fingerprint string            `json:"fingerprint"`
	Cluster     string            `json:"cluster"`
	Rule        string            `json:"rule"`
	Status      AlertStatus       `json:"status" jsonschema:"enum=firing,enum=repeated,enum=resolved"`
	Seq         int64             `json:"seq"` // 0 for firing, growing with each record of this alert
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Receivers   []string          `json:"receivers,omitempty"`
	StartsAt    time.Time         `json:"startsAt"`        // event time of the first evidence
	EndsAt      time.Time         `json:"endsAt,omitzero"` // event time of the last evidence; only when resolved
	Count       int64             `json:"count"`           // occurrences since StartsAt; of a storm, the alerts in it
	Evidence    []Evidence        `json:"evidence,omitempty"`
	// MutedBy is the fingerprint of the alert that keeps this one quiet, an inhibiting one or a storm: it has no receivers then.
	MutedBy string `json:"mutedBy,omitempty"`
	// Members are the alerts of a storm, the first of them if there are many.
	Members []Member `json:"members,omitempty"`
}

// Member is one alert of a storm.
type Member struct {
	Fingerprint string    `json:"fingerprint"`
	Rule        string    `json:"rule"`
	StartsAt    time.Time `json:"startsAt"`
	Summary     string    `json:"summary,omitempty"`
}

// Validate reports every problem of a at once.
func (a *Alert) Validate() error {
	return errors.Join(required(
		field{"id", a.ID != ""}, field{"fingerprint", a.Fingerprint != ""}, field{"cluster", a.Cluster != ""}, field{"rule", a.Rule != ""},
		field{"startsAt", !a.StartsAt.IsZero()},
	), status(a.Status, AlertFiring, AlertRepeated, AlertResolved))
}

// DecodeAlert decodes and validates a value of alerts.
func DecodeAlert(b []byte) (*Alert, error) { return decode[Alert](b, "alert") }

// AlertState is what the decider knows of one group: the value of alert-state, keyed by cluster + fingerprint and
// partitioned by the cluster as the matches are. A tombstone follows when there is nothing left to know.
type AlertState struct {
	Fingerprint string            `json:"fingerprint"`
	Cluster     string            `json:"cluster"`
	Rule        string            `json:"rule"`
	RuleHash    string            `json:"ruleHash"`
	Status      AlertStatus       `json:"status" jsonschema:"enum=pending,enum=firing,enum=resolved"`
	Group       map[string]string `json:"group,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Receivers   []string          `json:"receivers,omitempty"`
	Policy      Policy            `json:"policy"`
	// Window holds what was counted and can still matter: for the count, and to recognise a repeated record.
	Window   []WindowEntry `json:"window,omitempty"`
	Evidence []Evidence    `json:"evidence,omitempty"`
	StartsAt time.Time     `json:"startsAt,omitzero"` // event time
	LastAt   time.Time     `json:"lastAt,omitzero"`   // event time of the latest evidence
	// LastSeen is the wall clock at the latest evidence; timers run from it, because an idle partition has no event time.
	LastSeen time.Time `json:"lastSeen,omitzero"`
	// AlertedAt is the event time of the last Alert record but a resolve; dedup is measured from it.
	AlertedAt time.Time `json:"alertedAt,omitzero"`
	Seq       int64     `json:"seq"`
	Count     int64     `json:"count"`
	// EndsAt is the event time of the document that resolved the alert by the rule's resolve expression.
	EndsAt time.Time `json:"endsAt,omitzero"`
	// MutedBy is the fingerprint of the alert because of which nobody was told that this one fires.
	MutedBy string `json:"mutedBy,omitempty"`
	// Members and AnnounceAt are a storm's. AnnounceAt is the wall clock time until which its summary waits for more members;
	// zero when it was sent.
	Members    []Member  `json:"members,omitempty"`
	AnnounceAt time.Time `json:"announceAt,omitzero"`
}

// WindowEntry is one counted match.
type WindowEntry struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	N    int64     `json:"n"`
}

// Validate reports every problem of s at once.
func (s *AlertState) Validate() error {
	return errors.Join(required(field{"fingerprint", s.Fingerprint != ""}, field{"cluster", s.Cluster != ""}, field{"rule", s.Rule != ""},
		field{"policy.atLeast (at least 1)", s.Policy.AtLeast > 0}), status(s.Status, AlertPending, AlertFiring, AlertResolved))
}

// DecodeAlertState decodes and validates a value of alert-state.
func DecodeAlertState(b []byte) (*AlertState, error) { return decode[AlertState](b, "alert state") }

// AlertStateKey is the key of a group's state.
func AlertStateKey(cluster, fingerprint string) string { return join(cluster, fingerprint) }

// Delivery is how sending one alert to one receiver ended.
type Delivery string

// Sent: the receiver took it. Refused: it never will; the alert is in the dead letter.
const (
	DeliverySent    Delivery = "sent"
	DeliveryRefused Delivery = "refused"
)

// Notification says that an alert was delivered: the value of notifications, written after sending.
type Notification struct {
	AlertID  string    `json:"alertId"`
	Receiver string    `json:"receiver"`
	Delivery Delivery  `json:"delivery" jsonschema:"enum=sent,enum=refused"`
	SentAt   time.Time `json:"sentAt"`
	Attempts int       `json:"attempts"`
	Error    string    `json:"error,omitempty"`
}

// Validate reports every problem of n at once.
func (n *Notification) Validate() error {
	return required(
		field{"alertId", n.AlertID != ""}, field{"receiver", n.Receiver != ""}, field{"sentAt", !n.SentAt.IsZero()},
		field{"delivery (sent or refused)", n.Delivery == DeliverySent || n.Delivery == DeliveryRefused},
	)
}

// DecodeNotification decodes and validates a value of notifications.
func DecodeNotification(b []byte) (*Notification, error) {
	return decode[Notification](b, "notification")
}

// NotificationKey is the key of a notification.
func NotificationKey(alertID, receiver string) string { return join(alertID, receiver) }

func status(got AlertStatus, allowed ...AlertStatus) error {
	for _, a := range allowed {
		if got == a {
			return nil
		}
	}
	return fmt.Errorf("status: %q is none of %q", got, allowed)
}
