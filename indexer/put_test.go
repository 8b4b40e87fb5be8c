package indexer_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/indexer"
	"kubescribe/internal/store/storetest"
)

func TestPutSendsAgainWhatTheStoreWantsLater(t *testing.T) {
	t.Parallel()
	double, st := openDouble(t)
	double.Inject(storetest.Answer(http.StatusTooManyRequests, "es_rejected_execution_exception", "busy"), double.Cut)
	seen := map[string]int{}
	double.Judge(func(_, id string, _ []byte) *storetest.Refusal {
		seen[id]++
		switch {
		case strings.HasSuffix(id, "7"):
			return &storetest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "failed to parse field [x]"}
		case strings.HasSuffix(id, "3") && seen[id] == 1:
			return &storetest.Refusal{Status: 429, Type: "es_rejected_execution_exception", Reason: "busy"}
		}
		return nil
	})
	items := storetest.Items(100, time.Now().Add(-time.Hour))
	reasons, existed, err := indexer.Put(t.Context(), st, items)
	require.NoError(t, err)
	assert.Positive(t, existed, "the answer that was cut off had stored some")
	for i, it := range items {
		if strings.HasSuffix(it.ID, "7") {
			assert.Contains(t, reasons[i], "failed to parse field [x]")
		} else {
			assert.Empty(t, reasons[i], it.ID)
		}
	}
	assert.Equal(t, 90, double.Count())
	reasons, existed, err = indexer.Put(t.Context(), st, items[:5])
	require.NoError(t, err)
	assert.Equal(t, make([]string, 5), reasons)
	assert.Equal(t, 5, existed)
}

func TestPutStopsWhereAPersonMustAct(t *testing.T) {
	t.Parallel()
	double, st := openDouble(t)
	double.RefuseBulk(true, http.StatusForbidden, "security_exception", "action is unauthorized")
	items := storetest.Items(3, time.Now().Add(-time.Hour))
	_, _, err := indexer.Put(t.Context(), st, items)
	require.ErrorContains(t, err, "action is unauthorized")
	double.RefuseBulk(true, http.StatusServiceUnavailable, "x", "away")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, fmt.Errorf("stop"))
	defer cancel()
	_, _, err = indexer.Put(ctx, st, items)
	require.ErrorContains(t, err, "storing 3 documents")
}
