package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

const replayLong = `replay brings dead letters back, to be handled again. Do it when the cause is mended.

A dead letter's key, value and headers are written to the end of the partition that it came from, and the replay is noted, in one
transaction: killed or run twice, replay repeats nothing. A record that fails again becomes a new dead letter under its new
offset. Only one replay of a cluster's dead letters runs at a time; a second one stops the first.

Everybody who reads that topic sees the record again, not only the one who gave it up. Its id stays the same, so that a document
is stored once, and counts once in an alert's window. A document that comes late may still open an alert about an old time; use
--to-store where only the document is missing.

--to-store takes dead letters of the enriched topics only and stores their documents, without going through Kafka.`

func deadletterReplay(con console) *cobra.Command {
	r := replay{con: con}
	var all bool
	cmd := &cobra.Command{
		Use:   "replay (TOPIC/PARTITION/OFFSET... | --all)",
		Short: "Write dead letters to the topics they came from, to be handled again",
		Long:  replayLong,
		Example: "  kubescribe deadletter replay kubescribe.enriched.shop/2/1043\n" +
			"  kubescribe deadletter replay --cluster shop --all --reason rejected_document\n  kubescribe deadletter replay --all --to-store",
	}
	r.filter.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every dead letter, or those that the filters leave")
	cmd.Flags().BoolVar(&r.again, "again", false, "also what was replayed before")
	cmd.Flags().BoolVar(&r.toStore, "to-store", false, "store the documents, without going through Kafka")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if all == (len(args) > 0) {
			return errors.New("name the records to replay, or all of them with --all")
		}
		return nil
	}
	set := deadSettings(cmd, con)
	set.key(cmd, "elasticsearch", "elasticsearch.addresses", "Elasticsearch nodes, URLs separated by commas, for --to-store")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		named := make(map[string][]stream.Origin)
		origins := make([]stream.Origin, len(args))
		for i, a := range args {
			if origins[i], err = parseOrigin(a); err != nil {
				return err
			}
		}
		r.c, r.d, err = set.open(cmd, r.filter.validate, func(c *config) error {
			if !r.toStore {
				return nil
			}
			return c.Elasticsearch.Validate()
		})
		if err != nil {
			return unlessShown(err)
		}
		if r.toStore {
			if r.store, err = store.OpenElasticsearch(r.c.Elasticsearch, r.d); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.store.Close()) }()
		}
		var topics []string
		for _, o := range origins {
			dead := r.c.deadTopicOf(o)
			if named[dead] == nil {
				topics = append(topics, dead)
			}
			named[dead] = append(named[dead], o)
		}
		if all {
			if topics, err = r.c.deadTopics(cmd, r.d, r.filter); err != nil {
				return err
			}
		} else if err := stream.RequireTopics(cmd.Context(), r.c.Kafka, r.d, topics...); err != nil {
			return err
		}
		for _, dead := range topics {
			if err = r.topic(cmd, dead, named[dead]); err != nil {
				break
			}
		}
		text := fmt.Sprintf("%d replayed", r.done)
		if r.before > 0 {
			text += fmt.Sprintf(", %d had been replayed before (--again replays them)", r.before)
		}
		fmt.Fprintln(con.out, text)
		return errors.Join(append(r.failed, err)...)
	}
	return cmd
}

// The dead letters of one transaction, or of one request to the store.
const (
	replayRecords = 200
	replayBytes   = 8 << 20
)

// replay counts what was replayed; one dead letter that can't be does not keep the others.
type replay struct {
	con     console
	filter  letterFilter
	again   bool
	toStore bool

	c      *config
	d      stream.Deps
	store  *store.Elasticsearch
	done   int
	before int
	failed []error
}

// topic replays the named dead letters of one topic, or without names all that the filter leaves.
func (r *replay) topic(cmd *cobra.Command, dead string, names []stream.Origin) error {
	to, err := stream.OpenReplayer(cmd.Context(), r.c.Kafka, r.d, dead)
	if err != nil {
		return err
	}
	defer to.Close()
	wanted := map[stream.Origin]bool{}
	for _, o := range names {
		wanted[o] = true
	}
	b := replayBatch{r: r, to: to}
	err = r.c.eachLetter(cmd, r.d, dead, r.filter, func(l stream.DeadLetter) error {
		if len(names) > 0 && !wanted[l.Origin()] {
			return nil
		}
		delete(wanted, l.Origin())
		if _, done := to.Done(l); done && !r.again {
			r.before++
			return nil
		}
		return b.add(cmd.Context(), l)
	})
	if err == nil {
		err = b.flush(cmd.Context())
	}
	for o := range wanted {
		if err == nil {
			r.failed = append(r.failed, noSuch(fmt.Errorf("%s: %w", o, stream.ErrNoDeadLetter)))
		}
	}
	return err
}

// replayBatch are dead letters on their way.
type replayBatch struct {
	r       *replay
	to      *stream.Replayer
	letters []stream.DeadLetter
	items   []store.Item // with --to-store
	bytes   int
}

func (b *replayBatch) add(ctx context.Context, l stream.DeadLetter) error {
	err := stream.CheckReplay(l)
	if err == nil && b.r.toStore {
		err = b.item(l)
	}
	if err != nil {
		b.r.failed = append(b.r.failed, err)
		return nil
	}
	b.letters, b.bytes = append(b.letters, l), b.bytes+len(l.Record.Value)
	if len(b.letters) < replayRecords && b.bytes < replayBytes {
		return nil
	}
	return b.flush(ctx)
}

func (b *replayBatch) item(l stream.DeadLetter) error {
	t := b.r.c.topics()
	if l.Topic != t.Enriched(t.ClusterOf(l.Topic)) {
		return fmt.Errorf("%s is no document: replay it without --to-store", l.Origin())
	}
	item, err := indexer.ItemOf(l.Record)
	if err != nil {
		return fmt.Errorf("%s can't be stored: %w", l.Origin(), err)
	}
	if end := b.r.store.DeletedAt(item.Class, item.Time); !end.IsZero() && time.Now().After(end) {
		return fmt.Errorf("%s is past its retention, which ended at %s", l.Origin(), end.Format(time.RFC3339))
	}
	b.items = append(b.items, item)
	return nil
}

func (b *replayBatch) flush(ctx context.Context) error {
	letters, items := b.letters, b.items
	b.letters, b.items, b.bytes = nil, nil, 0
	if len(letters) == 0 {
		return nil
	}
	if !b.r.toStore {
		if err := b.to.Replay(ctx, letters...); err != nil {
			return fmt.Errorf("%w; run the same command again: what was replayed is not repeated", err)
		}
		b.r.done += len(letters)
		return nil
	}
	reasons, _, err := indexer.Put(ctx, b.r.store, items)
	if err != nil {
		return err
	}
	var stored []stream.DeadLetter
	for i, l := range letters {
		if reasons[i] != "" {
			b.r.failed = append(b.r.failed, fmt.Errorf("%s is still refused: %s", l.Origin(), reasons[i]))
			continue
		}
		stored = append(stored, l)
	}
	if len(stored) == 0 {
		return nil
	}
	b.r.done += len(stored)
	return b.to.Note(ctx, stored...)
}
