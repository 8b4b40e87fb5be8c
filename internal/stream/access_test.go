package stream

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Brokers without ACLs allow everything; a topic that is missing is named. What a broker with ACLs says is e2e's case secured.
func TestCheckAccess(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		topic, id := b.topic(t, 1), uuid.NewString()
		both := []string{"Read", "Write"}
		needs := []Access{
			{Resource: ResourceTopic, Name: topic, Operations: both},
			{Resource: ResourceGroup, Name: "g-" + id, Prefixed: true, Operations: []string{"Read"}},
			{Resource: ResourceTransactionalID, Name: "t-" + id, Prefixed: true, Operations: []string{"Write"}},
		}
		eventually(t, "an answer", func() bool { return CheckAccess(t.Context(), b.cfg, Deps{}, needs...) == nil })
		missing := append(needs, Access{Resource: ResourceTopic, Name: "a.missing", Operations: both})
		assert.EqualError(t, CheckAccess(t.Context(), b.cfg, Deps{}, missing...), "topic a.missing does not exist: create it with `kubescribe topics apply`")
		pattern := Access{Resource: ResourceTopic, Name: topic[:len(topic)-1], Prefixed: true, Operations: both}
		require.NoError(t, CheckAccess(t.Context(), b.cfg, Deps{}, pattern))
		pattern.Name = "nothing-begins-so-"
		assert.ErrorContains(t, CheckAccess(t.Context(), b.cfg, Deps{}, pattern), "no topic nothing-begins-so-* exists")
	})
}

func TestAccessNamesTheACL(t *testing.T) {
	c := accessCheck{who: "User:enricher"}
	c.deny(Access{Resource: ResourceTopic, Name: "kubescribe.enriched.", Prefixed: true, Why: "documents"}, "Read", "Write")
	assert.EqualError(t, c.errs[0], "an ACL is missing: User:enricher needs Read and Write on topic kubescribe.enriched.* (documents): "+
		"kafka-acls.sh --add --allow-principal User:enricher --operation Read --operation Write --topic kubescribe.enriched. --resource-pattern-type prefixed")
	n := Access{Operations: []string{"Read", "Write"}}
	assert.Empty(t, lacks(n, -1<<31), "a broker that doesn't tell")
	assert.Equal(t, []string{"Write"}, lacks(n, 1<<3))
	assert.Empty(t, lacks(n, 1<<3|1<<4))
}
