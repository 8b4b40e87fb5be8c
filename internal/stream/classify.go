package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// class is what an error at the Kafka edge asks for.
type class int

const (
	// transient: try again, for ever if need be.
	transient class = iota
	// fenced: another holder of the same id is alive; stop, drop what is buffered, start over.
	fenced
	// tooLarge: this record never fits; nothing else is wrong.
	tooLarge
	// fatal: the configuration or an ACL is wrong; only a person can mend it.
	fatal
)

func (c class) String() string {
	return [...]string{"transient", "fenced", "too_large", "fatal"}[c]
}

var fatalSentences = []struct {
	err  error
	text string
}{
	{kerr.SaslAuthenticationFailed, "Kafka refused the credentials: check kafka.sasl"},
	{kerr.UnsupportedSaslMechanism, "Kafka does not offer this kafka.sasl.mechanism"},
	{kerr.IllegalSaslState, "Kafka wants another kafka.sasl.mechanism"},
	{kerr.TopicAuthorizationFailed, "an ACL forbids this principal the topic: allow Read for input, Write and Describe for output"},
	{kerr.GroupAuthorizationFailed, "an ACL forbids this principal the consumer group: allow Read on the group"},
	{kerr.TransactionalIDAuthorizationFailed, "an ACL forbids this principal the transactional id: allow Write and Describe on it"},
	{kerr.ClusterAuthorizationFailed, "an ACL forbids this principal the operation on the cluster"},
	{kerr.UnknownTopicOrPartition, "the topic does not exist: create it with `kubescribe topics apply`"},
	{kerr.UnknownTopicID, "the topic was deleted or created anew: check it with `kubescribe topics check`"},
	{kerr.InvalidTopicException, "the topic's name is not allowed"},
	{kerr.UnsupportedVersion, "the broker is too old for transactions with consumer groups: use Kafka 3.0 or newer"},
	{kerr.InvalidTransactionTimeout, "the broker's transaction.max.timeout.ms is below 10 s: raise it"},
	{kerr.InvalidSessionTimeout, "the broker's group.min.session.timeout.ms or group.max.session.timeout.ms does not allow 10 s: change it"},
	{kerr.InconsistentGroupProtocol, "the consumer group has members of another kind: give this service a group of its own"},
	{kerr.SecurityDisabled, "the broker has no security feature that the configuration asks for"},
}

// classify is the one place that judges an error of Kafka or of the client. A nil error is transient.
func classify(err error) class {
	var cfg *configError
	switch {
	case err == nil:
		return transient
	case errors.As(err, &cfg):
		return fatal
	case errors.Is(err, ErrFenced),
		errors.Is(err, kerr.ProducerFenced),
		errors.Is(err, kerr.InvalidProducerEpoch),
		errors.Is(err, kerr.FencedInstanceID):
		return fenced
	case errors.Is(err, ErrTooLarge),
		errors.Is(err, kerr.MessageTooLarge),
		errors.Is(err, kerr.RecordListTooLarge):
		return tooLarge
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
		return transient
	}
	for _, f := range fatalSentences {
		if errors.Is(err, f.err) {
			return fatal
		}
	}
	return transient
}

// configError is a fatal error that already is a sentence.
type configError struct{ text string }

func (e *configError) Error() string { return e.text }

// explain puts a fatal error into one sentence that says what to change. subject is what the operation was about, such as a
// topic; empty if it is in the error already.
func explain(subject string, err error) error {
	if subject != "" {
		subject += ": "
	}
	for _, f := range fatalSentences {
		if errors.Is(err, f.err) {
			return fmt.Errorf("%s%s (%w)", subject, f.text, err)
		}
	}
	return fmt.Errorf("%s%w", subject, err)
}
