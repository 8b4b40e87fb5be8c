package reconciliation_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer/reconciliation"
	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

func TestWhatWasDeletedByHandIsFoundAndRepaired(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(3000)
		b.produce(docs...)
		b.index()
		got := b.verify(b.options())
		assert.Equal(b.t, reconciliation.Counts{Records: 3000, Documents: 3000}, got.Counts)
		assert.Empty(b.t, got.Differences)
		assert.Zero(b.t, got.Whole)

		gone := []*schemas.Document{docs[0], docs[1234], docs[2999]}
		for _, d := range gone {
			b.remove(d)
		}
		got = b.verify(b.options())
		assert.Equal(b.t, reconciliation.Counts{Records: 3000, Documents: 2997, Missing: 3}, got.Counts)
		require.Len(b.t, got.Differences, 3)
		for i, d := range got.Differences {
			want := gone[i]
			assert.Equal(b.t, reconciliation.Difference{
				Kind: reconciliation.KindMissing, ID: want.Event.ID, Class: want.Kubescribe.Class, Time: want.Timestamp, Record: d.Record,
			}, d)
			assert.Contains(b.t, d.Record, b.topics.Enriched(cluster)+"/")
		}

		o := b.options()
		o.Repair = true
		got = b.verify(o)
		assert.Equal(b.t, reconciliation.Counts{Records: 3000, Documents: 2997, Missing: 3, Repaired: 3}, got.Counts)
		assert.True(b.t, got.Agree())
		got = b.verify(b.options())
		assert.Equal(b.t, reconciliation.Counts{Records: 3000, Documents: 3000}, got.Counts)
		for _, d := range gone {
			page, err := b.store.Search(b.t.Context(), store.Query{Filters: []store.Filter{{Field: "id", Values: []string{d.Event.ID}}}})
			require.NoError(b.t, err)
			require.Len(b.t, page.Hits, 1)
			want, err := d.Encode()
			require.NoError(b.t, err)
			assert.JSONEq(b.t, string(want), string(page.Hits[0].Body))
		}
	})
}

func TestWhatIsNotOnKafkaIsExtra(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(300)
		b.produce(docs[:299]...)
		b.index()
		_, err := b.store.Index(b.t.Context(), []store.Item{storetest.Item(docs[299])})
		require.NoError(b.t, err)
		got := b.verify(b.options())
		assert.Equal(b.t, reconciliation.Counts{Records: 299, Documents: 300, Extra: 1}, got.Counts)
		assert.Equal(b.t, []string{docs[299].Event.ID}, named(got, reconciliation.KindExtra))
		assert.False(b.t, got.Agree())
	})
}

// One missing and one extra in the same hour cancel each other out in the counts; only the ids tell.
func TestEveryIDTellsWhatCountsHide(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(300)
		stranger := storetest.Document(7777, docs[30].Timestamp)
		stranger.Timestamp, stranger.Kubescribe.Class = docs[30].Timestamp, docs[30].Kubescribe.Class
		b.produce(docs...)
		b.index()
		b.remove(docs[30])
		_, err := b.store.Index(b.t.Context(), []store.Item{storetest.Item(stranger)})
		require.NoError(b.t, err)
		assert.True(b.t, b.verify(b.options()).Agree(), "as is documented")
		o := b.options()
		o.Every = true
		got := b.verify(o)
		assert.Equal(b.t, reconciliation.Counts{Records: 300, Documents: 300, Missing: 1, Extra: 1}, got.Counts)
		assert.Equal(b.t, []string{docs[30].Event.ID}, named(got, reconciliation.KindMissing))
		assert.Equal(b.t, []string{stranger.Event.ID}, named(got, reconciliation.KindExtra))
	})
}

func TestDeadLettersAndPendingRecordsAreNotMissing(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(600)
		b.produce(docs[:500]...)
		bad := b.record(docs[500])
		bad.Value = []byte(`{"@timestamp":"yesterday"}`)
		headless := b.record(docs[501])
		headless.Headers = headless.Headers[:1]
		require.NoError(b.t, stream.Produce(b.t.Context(), b.kafka, stream.Deps{}, bad, headless))
		b.index()
		b.produce(docs[502:]...) // nobody has read these
		b.remove(docs[7])
		got := b.verify(b.options())
		assert.Equal(b.t, reconciliation.Counts{Records: 600, Documents: 499, Missing: 1, DeadLettered: 2, Pending: 98}, got.Counts)
		assert.ElementsMatch(b.t, []string{"", docs[500].Event.ID}, named(got, reconciliation.KindDeadLettered))
		for _, d := range got.Differences {
			if d.Kind == reconciliation.KindDeadLettered {
				assert.Regexp(b.t, "^(bad_headers|rejected_document): ", d.Reason)
			}
		}
		b.index()
		o := b.options()
		o.Repair = true
		got = b.verify(o)
		assert.Equal(b.t, reconciliation.Counts{Records: 600, Documents: 597, Missing: 1, DeadLettered: 2, Repaired: 1}, got.Counts)
	})
}

// The topic is read again and again, and some records are there twice: a document is there once, and nothing is extra or missing.
func TestRecordsThatAreThereTwiceAreOneDocument(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(400)
		b.produce(docs...)
		b.produce(docs[100:200]...)
		b.index()
		got := b.verify(b.options())
		assert.Equal(b.t, int64(0), got.Missing+got.Extra+got.Pending+got.DeadLettered)
		assert.Equal(b.t, reconciliation.Counts{Records: 500, Documents: 400, Repeated: 100}, got.Counts)
	})
}

// However few ids are held at once, the result is the same.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	b := openSmall(t)
	docs := documents(150)
	b.produce(docs...)
	b.produce(docs[30:60]...)
	b.index()
	for i := 0; i < len(docs); i += 10 {
		b.remove(docs[i])
	}
	stranger := storetest.Document(9999, docs[10].Timestamp)
	_, err := b.store.Index(t.Context(), []store.Item{storetest.Item(stranger)})
	require.NoError(t, err)
	for _, held := range []int64{1, 3, 50, 1_000_000} {
		o := b.options()
		o.Every, o.Held = true, held
		got := b.verify(o)
		assert.Equal(t, reconciliation.Counts{Records: 180, Documents: 136, Repeated: 30, Missing: 15, Extra: 1}, got.Counts, "held %d", held)
	}
}

// What Kafka's retention has taken makes no document extra, and what is left is still looked up.
func TestKafkasRetentionBoundsTheComparison(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(600)
		b.produce(docs...)
		b.index()
		cut, err := stream.Trim(b.t.Context(), b.kafka, stream.Deps{}, b.topics.Enriched(cluster), 50, b.group)
		require.NoError(b.t, err)
		require.Positive(b.t, cut)
		b.remove(docs[len(docs)-1]) // the last of its partition, which is still there
		got := b.verify(b.options())
		assert.Equal(b.t, reconciliation.Counts{Records: 600 - cut, Documents: 599, Missing: 1}, got.Counts)
		assert.Equal(b.t, []string{docs[599].Event.ID}, named(got, reconciliation.KindMissing))
		assert.True(b.t, got.Whole.After(time.Now().Add(time.Hour)), "the records were written now: %s", got.Whole)
	})
}

// An index that its lifecycle has deleted is nothing to miss.
func TestRecordsPastTheirRetentionAreExpired(t *testing.T) {
	t.Parallel()
	b := openReal(t)
	docs := documents(100)
	for _, d := range docs[:40] {
		d.Timestamp, d.Kubescribe.Class = d.Timestamp.AddDate(0, 0, -60), schemas.ClassNormal
	}
	b.produce(docs...)
	b.index()
	o := b.options()
	o.Since = time.Now().AddDate(0, 0, -90)
	assert.Equal(t, reconciliation.Counts{Records: 100, Documents: 60, Expired: 40}, b.verify(o).Counts)
}

// Where somebody else deletes by age, what is gone is expired, and what is there is compared all the same.
func TestDocumentsThatMayBeDeletedAreExpiredWhenTheyAre(t *testing.T) {
	t.Parallel()
	b := openSmall(t)
	docs := documents(100)
	b.produce(docs...)
	b.index()
	b.remove(docs[0])
	b.remove(docs[99])
	o := b.options()
	o.Kept = func(class string, t time.Time) time.Time {
		assert.NotEmpty(b.t, class)
		return t.Add(24 * time.Hour)
	}
	o.Repair = true
	got := b.verify(o)
	assert.Equal(t, reconciliation.Counts{Records: 100, Documents: 98, Expired: 1, Missing: 1, Repaired: 1}, got.Counts)
	assert.Equal(t, []string{docs[99].Event.ID}, named(got, reconciliation.KindMissing))
}

// intruder lets something happen while a reconciliation looks at the store.
type intruder struct {
	reconciliation.Store
	hours func()
	index func() error
}

func (i *intruder) Hours(ctx context.Context, cluster string, from time.Time) ([]store.Hour, error) {
	if i.hours != nil {
		i.hours()
	}
	return i.Store.Hours(ctx, cluster, from)
}

func (i *intruder) Index(ctx context.Context, items []store.Item) ([]store.Outcome, error) {
	out, err := i.Store.Index(ctx, items)
	if i.index != nil && err == nil {
		err = i.index()
	}
	return out, err
}

// What is written and indexed while we look is neither extra nor missing.
func TestALivingSystemAgrees(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(600)
		b.produce(docs[:400]...)
		b.index()
		real := b.store
		b.store = &intruder{Store: real, hours: func() {
			b.store = real
			b.produce(docs[400:]...)
			b.index()
		}}
		o := b.options()
		o.Every = true
		got := b.verify(o)
		assert.Equal(b.t, reconciliation.Counts{Records: 400, Documents: 600}, got.Counts)
	})
}

// A repair that breaks after it has stored something is run again, and nothing is there twice.
func TestARepairThatBreaksIsRunAgain(t *testing.T) {
	onBoth(t, func(b *bench) {
		docs := documents(300)
		b.produce(docs...)
		b.index()
		for _, d := range docs[:120] {
			b.remove(d)
		}
		real := b.store
		ctx, cancel := context.WithCancel(b.t.Context())
		b.store = &intruder{Store: real, index: func() error {
			cancel() // the answer never comes
			return errors.New("cut off")
		}}
		o := b.options()
		o.Repair = true
		_, err := reconciliation.Run(ctx, o, b.kafka, stream.Deps{}, b.store)
		require.Error(b.t, err)
		b.store = real
		got := b.verify(o)
		assert.True(b.t, got.Agree())
		assert.Equal(b.t, reconciliation.Counts{Records: 300, Documents: 300}, b.verify(b.options()).Counts)
	})
}

func TestWhatCannotBeComparedIsAnError(t *testing.T) {
	t.Parallel()
	b := openSmall(t)
	run := func(change func(*reconciliation.Options)) error {
		o := b.options()
		change(&o)
		_, err := reconciliation.Run(t.Context(), o, b.kafka, stream.Deps{}, b.store)
		return err
	}
	require.NoError(t, run(func(*reconciliation.Options) {}), "an empty topic agrees with an empty store")
	b.produce(documents(3)...)
	require.ErrorContains(t, run(func(*reconciliation.Options) {}), "has committed nothing on")
	require.ErrorContains(t, run(func(o *reconciliation.Options) { o.Clusters = []string{"nowhere"} }), "there is no topic")
	broken := errors.New("broken")
	b.index()
	b.remove(documents(3)[1])
	b.store = &failing{Store: b.store, err: broken}
	require.ErrorIs(t, run(func(*reconciliation.Options) {}), broken)
}

type failing struct {
	reconciliation.Store
	err error
}

func (f *failing) Have(context.Context, []store.Item) ([]bool, error) { return nil, f.err }

// The lists are bounded, the counts are not.
func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	b := openSmall(t)
	docs := documents(90)
	b.produce(docs...)
	b.index()
	for _, d := range docs[:50] {
		b.remove(d)
	}
	o := b.options()
	o.Listed = 5
	said := 0
	o.Progress = func(reconciliation.Progress) { said++ }
	got := b.verify(o)
	assert.EqualValues(t, 50, got.Missing)
	assert.Len(t, got.Differences, 5)
	assert.Zero(t, said, "a short work says nothing")
	b.produce(func() []*schemas.Document {
		many := make([]*schemas.Document, 12_000)
		for i := range many {
			many[i] = storetest.Document(100_000+i, time.Now().Add(-4*time.Hour))
		}
		return many
	}()...)
	got = b.verify(o)
	assert.Positive(t, said)
	assert.EqualValues(t, 12_000, got.Pending)
}

func TestPlacesAreNamedAsTheDeadLetterNamesThem(t *testing.T) {
	t.Parallel()
	b := openSmall(t)
	docs := documents(1)
	r := b.record(docs[0])
	r = stream.ToPartition(r, 2)
	require.NoError(t, stream.Produce(t.Context(), b.kafka, stream.Deps{}, stream.ToPartition(&kgo.Record{Topic: r.Topic, Value: []byte("x")}, 1), r))
	b.index()
	b.remove(docs[0])
	got := b.verify(b.options())
	require.NotEmpty(t, got.Differences)
	assert.Equal(t, fmt.Sprintf("%s/2/0", b.topics.Enriched(cluster)), got.Differences[0].Record)
}
