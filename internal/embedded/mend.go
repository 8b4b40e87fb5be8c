package embedded

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// mend brings the files of a broker that was killed into the state in which a broker would have stopped.
//
// Why: the broker writes a transaction's end marker into one partition after the other, and its own recovery takes each
// partition for itself. A kill between two markers would let it count one half of a transaction (a checkpoint) and drop
// the other (the records). And it drops an open transaction without writing a marker, so that consumers, who look for
// that marker, would drop the same producer's next transaction as well. So every open transaction gets its marker here:
// commit if any partition has the commit of that producer and epoch already, abort otherwise. A batch that was only partly
// written is cut off, and so is the torn tail of the broker's own logs, behind which it would append otherwise.
//
// The broker's consumer offsets come last in a commit, so that what is repeated after a kill may be more, never less.
func mend(dir string, now time.Time, log *slog.Logger) error {
	for _, name := range []string{"groups.log", "pids.log"} {
		if err := cutStateLog(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	dirs, err := filepath.Glob(filepath.Join(dir, "partitions", "*"))
	if err != nil {
		return fmt.Errorf("listing the broker's partitions: %w", err)
	}
	var parts []*partitionLog
	committed := map[transaction]bool{}
	for _, d := range dirs {
		p, err := readPartition(d)
		if err != nil {
			return err
		}
		parts = append(parts, p)
		for _, t := range p.committed {
			committed[t] = true
		}
	}
	for _, p := range parts {
		for _, t := range p.open() {
			if log != nil {
				log.Debug("ending the open transaction of a killed run", "partition", filepath.Base(p.dir), "commit", committed[t])
			}
			p.pending = append(p.pending, marker(t, committed[t], p.next(), now))
		}
		if err := p.write(); err != nil {
			return err
		}
	}
	return nil
}

// transaction is one transaction of one producer: the epoch grows with each.
type transaction struct {
	producer int64
	epoch    int16
}

// partitionLog is what mend knows of one partition. Segments are read one at a time; only the last can be torn.
type partitionLog struct {
	dir       string
	base      int64 // of the last segment; -1 when there is none
	size      int64 // of its good bytes
	index     []byte
	last      int64 // offset of the last record
	began     []transaction
	committed []transaction
	ended     map[transaction]bool
	pending   [][]byte // the markers to append
}

func (p *partitionLog) next() int64 { return p.last + 1 + int64(len(p.pending)) }

func (p *partitionLog) open() []transaction {
	return slices.DeleteFunc(slices.Clone(p.began), func(t transaction) bool { return p.ended[t] })
}

func readPartition(dir string) (*partitionLog, error) {
	p := &partitionLog{dir: dir, base: -1, last: -1, ended: map[transaction]bool{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the broker's partition: %w", err)
	}
	var bases []int64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".dat"); ok {
			if base, err := strconv.ParseInt(name, 10, 64); err == nil {
				bases = append(bases, base)
			}
		}
	}
	slices.Sort(bases)
	for _, base := range bases {
		raw, err := os.ReadFile(filepath.Join(dir, segmentFile(base, "dat")))
		if err != nil {
			return nil, fmt.Errorf("reading the broker's segment: %w", err)
		}
		p.base, p.size, p.index = base, 0, p.index[:0]
		for batch, rest := nextBatch(raw); batch != nil; batch, rest = nextBatch(rest) {
			if err := p.add(batch); err != nil {
				return nil, fmt.Errorf("reading %s: %w", filepath.Join(filepath.Base(dir), segmentFile(base, "dat")), err)
			}
		}
	}
	return p, nil
}

func segmentFile(base int64, ext string) string { return strconv.FormatInt(base, 10) + "." + ext }

const (
	attributesTransactional = 0x10
	attributesControl       = 0x20
	batchHeaderBytes        = 61
	indexEntryVersion       = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// nextBatch cuts the first whole record batch off raw; nil when there is none.
func nextBatch(raw []byte) (batch, rest []byte) {
	if len(raw) < batchHeaderBytes {
		return nil, raw
	}
	size := 12 + int(int32(binary.BigEndian.Uint32(raw[8:12])))
	if size < batchHeaderBytes || size > len(raw) || crc32.Checksum(raw[21:size], castagnoli) != binary.BigEndian.Uint32(raw[17:21]) {
		return nil, raw
	}
	return raw[:size], raw[size:]
}

func (p *partitionLog) add(raw []byte) error {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		return fmt.Errorf("decoding a record batch: %w", err)
	}
	t := transaction{b.ProducerID, b.ProducerEpoch}
	inTx := false
	switch {
	case b.Attributes&attributesControl != 0:
		p.ended[t] = true
		var r kmsg.Record
		var key kmsg.ControlRecordKey
		if r.ReadFrom(b.Records) == nil && key.ReadFrom(r.Key) == nil && key.Type == kmsg.ControlRecordKeyTypeCommit {
			p.committed = append(p.committed, t)
		}
	case b.Attributes&attributesTransactional != 0:
		inTx = true
		if !slices.Contains(p.began, t) {
			p.began = append(p.began, t)
		}
	}
	p.last = b.FirstOffset + int64(b.LastOffsetDelta)
	p.size += int64(len(raw))
	p.index = append(p.index, indexEntry(inTx)...)
	if len(p.began) > 64 { // what has ended needs no remembering
		p.began = slices.DeleteFunc(p.began, func(t transaction) bool { return p.ended[t] })
	}
	return nil
}

// indexEntry is what the broker keeps beside a batch: version, checksum, leader epoch, a timestamp that it works out anew,
// and whether the batch is in a transaction. A kill between a batch and its entry would shift all later ones.
func indexEntry(inTx bool) []byte {
	var e [15]byte
	e[0] = indexEntryVersion
	if inTx {
		e[14] = 1
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli))
	return e[:]
}

func marker(t transaction, commit bool, offset int64, now time.Time) []byte {
	key := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}
	if commit {
		key.Type = kmsg.ControlRecordKeyTypeCommit
	}
	r := kmsg.Record{Key: key.AppendTo(nil), Value: (&kmsg.EndTxnMarker{}).AppendTo(nil)}
	r.Length = int32(len(r.AppendTo(nil)) - 1) // the length itself is a varint of one byte
	b := kmsg.RecordBatch{
		FirstOffset: offset, Magic: 2, Attributes: attributesControl | attributesTransactional,
		FirstTimestamp: now.UnixMilli(), MaxTimestamp: now.UnixMilli(),
		ProducerID: t.producer, ProducerEpoch: t.epoch, FirstSequence: -1, NumRecords: 1, Records: r.AppendTo(nil),
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:12], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:21], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// write cuts the torn end off the last segment, appends what is pending and writes the index anew, each synced.
func (p *partitionLog) write() error {
	if p.base < 0 {
		return nil
	}
	segment, err := os.OpenFile(filepath.Join(p.dir, segmentFile(p.base, "dat")), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening the broker's segment: %w", err)
	}
	defer segment.Close()
	if err := segment.Truncate(p.size); err != nil {
		return fmt.Errorf("cutting a torn batch off: %w", err)
	}
	at := p.size
	for _, m := range p.pending {
		if _, err := segment.WriteAt(m, at); err != nil {
			return fmt.Errorf("ending a transaction: %w", err)
		}
		at += int64(len(m))
		p.index = append(p.index, indexEntry(false)...)
	}
	if err := segment.Sync(); err != nil {
		return fmt.Errorf("syncing the broker's segment: %w", err)
	}
	path := filepath.Join(p.dir, segmentFile(p.base, "idx"))
	if err := os.WriteFile(path+".tmp", p.index, 0o644); err != nil {
		return fmt.Errorf("writing the broker's index: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("writing the broker's index: %w", err)
	}
	return nil
}

// cutStateLog cuts the torn tail off a log of framed entries: length, checksum, then length bytes. A missing log is well.
func cutStateLog(path string) error {
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the broker's state: %w", err)
	}
	good := 0
	for rest := raw; len(rest) >= 10; rest = raw[good:] {
		end := 8 + int64(binary.LittleEndian.Uint32(rest))
		if end < 10 || end > int64(len(rest)) || crc32.Checksum(rest[8:end], castagnoli) != binary.LittleEndian.Uint32(rest[4:8]) {
			break
		}
		good += int(end)
	}
	if good == len(raw) {
		return nil
	}
	if err := os.Truncate(path, int64(good)); err != nil {
		return fmt.Errorf("cutting the torn end off the broker's state: %w", err)
	}
	return nil
}
