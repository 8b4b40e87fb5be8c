package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want class
		says string
	}{
		{nil, transient, ""},
		{io.EOF, transient, "EOF"},
		{syscall.ECONNREFUSED, transient, "connection refused"},
		{context.DeadlineExceeded, transient, "deadline"},
		{context.Canceled, transient, "canceled"},
		{kgo.ErrClientClosed, transient, "closed"},
		{kgo.ErrRecordTimeout, transient, "record"},
		{kerr.NotLeaderForPartition, transient, "NOT_LEADER"},
		{kerr.CoordinatorLoadInProgress, transient, "COORDINATOR_LOAD"},
		{kerr.RebalanceInProgress, transient, "REBALANCE"},
		{kerr.IllegalGeneration, transient, "ILLEGAL_GENERATION"},
		{kerr.ConcurrentTransactions, transient, "CONCURRENT"},
		{kerr.UnknownServerError, transient, "UNKNOWN_SERVER"},
		{kerr.ThrottlingQuotaExceeded, transient, "THROTTLING"},
		{kerr.NotEnoughReplicas, transient, "NOT_ENOUGH"},
		{kerr.ProducerFenced, fenced, "FENCED"},
		{kerr.InvalidProducerEpoch, fenced, "EPOCH"},
		{kerr.FencedInstanceID, fenced, "FENCED_INSTANCE"},
		{ErrFenced, fenced, "newer writer"},
		{kerr.MessageTooLarge, tooLarge, "MESSAGE_TOO_LARGE"},
		{kerr.RecordListTooLarge, tooLarge, "RECORD_LIST"},
		{ErrTooLarge, tooLarge, "larger"},
		{kerr.SaslAuthenticationFailed, fatal, "x: Kafka refused the credentials: check kafka.sasl"},
		{kerr.UnsupportedSaslMechanism, fatal, "kafka.sasl.mechanism"},
		{kerr.TopicAuthorizationFailed, fatal, "x: an ACL forbids this principal the topic"},
		{kerr.GroupAuthorizationFailed, fatal, "an ACL forbids this principal the consumer group"},
		{kerr.TransactionalIDAuthorizationFailed, fatal, "an ACL forbids this principal the transactional id"},
		{kerr.ClusterAuthorizationFailed, fatal, "an ACL forbids"},
		{kerr.UnknownTopicOrPartition, fatal, "x: the topic does not exist: create it with `kubescribe topics apply`"},
		{kerr.InvalidTransactionTimeout, fatal, "transaction.max.timeout.ms"},
		{kerr.InvalidSessionTimeout, fatal, "session.timeout"},
		{kerr.UnsupportedVersion, fatal, "too old"},
		{&configError{"as it is"}, fatal, "as it is"},
	} {
		wrapped := c.err
		if wrapped != nil {
			wrapped = fmt.Errorf("doing: %w", errors.Join(errors.New("and"), c.err))
		}
		assert.Equal(t, c.want.String(), classify(wrapped).String(), "%v", c.err)
		if c.err != nil {
			assert.ErrorContains(t, explain("x", wrapped), c.says)
			assert.ErrorIs(t, explain("x", wrapped), c.err)
		}
	}
}

// An error that only a person can mend ends a loop when it lasts, not when it comes now and then.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p patience
		bad := kerr.TopicAuthorizationFailed
		assert.False(t, p.over(bad, false))
		time.Sleep(fatalPatience - time.Second) //nolint:forbidigo // in a synctest bubble it takes no time
		assert.False(t, p.over(bad, false))
		assert.False(t, p.over(io.EOF, false), "a transient error says nothing")
		time.Sleep(time.Second) //nolint:forbidigo // in a synctest bubble it takes no time
		assert.True(t, p.over(bad, false))
		assert.False(t, p.over(nil, true))
		assert.False(t, p.over(bad, false), "progress in between")
		time.Sleep(time.Hour) //nolint:forbidigo // in a synctest bubble it takes no time
		assert.False(t, p.over(bad, false), "an hour ago is another story")
	})
}
