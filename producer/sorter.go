package producer

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"slices"

	"github.com/klauspost/compress/s2"
)

// sorter puts a list into the order of resourceVersion, within a bound of memory: an external sort whose runs are kept compressed in
// memory, because Events are much alike. When even that doesn't fit, it keeps the lowest resourceVersions, and the list is read
// again for the rest. It belongs to one goroutine.
type sorter struct {
	limit int // bytes of the runs
	// cut is the lowest resourceVersion that found no room; 0: all did. It is final after each.
	cut uint64

	buffer []byte // items of the present run, one behind the other
	items  []sorterItem
	runs   [][]sorterBlock
	bytes  int
	packed []byte // scratch
}

type sorterItem struct {
	rv       uint64
	from, to uint32
}

// sorterBlock is a part of a run: items as resourceVersion, length, bytes.
type sorterBlock struct {
	first uint64
	data  []byte
}

const (
	runBytes     = 4 << 20
	firstRun     = 64 << 10 // what is allocated at once
	blocksPerRun = 64
)

func (s *sorter) run() int { return min(runBytes, s.limit) }

// wants reports whether an item could be kept.
func (s *sorter) wants(rv uint64) bool { return s.cut == 0 || rv < s.cut }

// add copies e.
func (s *sorter) add(rv uint64, e *wireEvent) {
	if len(s.buffer) > 0 && len(s.buffer)+len(e.raw) > s.run() {
		s.spill()
		if !s.wants(rv) {
			return
		}
	}
	if s.buffer == nil {
		s.buffer = make([]byte, 0, min(s.run(), firstRun))
	}
	from := len(s.buffer)
	s.buffer = e.appendLean(s.buffer)
	s.items = append(s.items, sorterItem{rv, uint32(from), uint32(len(s.buffer))}) //nolint:gosec // a run is small, an item below 4 GiB
}

func (s *sorter) sortItems() {
	slices.SortFunc(s.items, func(a, b sorterItem) int { return cmp.Compare(a.rv, b.rv) })
}

// spill makes a run of what is buffered, and lets the highest blocks of all runs go when they take too much.
func (s *sorter) spill() {
	s.sortItems()
	var run []sorterBlock
	var plain []byte
	var first uint64
	flush := func() {
		s.packed = s2.Encode(s.packed[:cap(s.packed)], plain)
		run = append(run, sorterBlock{first, bytes.Clone(s.packed)})
		s.bytes += len(run[len(run)-1].data)
		plain = plain[:0]
	}
	for _, it := range s.items {
		if len(plain) == 0 {
			first = it.rv
		}
		plain = binary.AppendUvarint(plain, it.rv)
		plain = binary.AppendUvarint(plain, uint64(it.to-it.from))
		plain = append(plain, s.buffer[it.from:it.to]...)
		if len(plain) >= s.run()/blocksPerRun {
			flush()
		}
	}
	if len(plain) > 0 {
		flush()
	}
	s.runs, s.buffer, s.items = append(s.runs, run), s.buffer[:0], s.items[:0]
	s.shrink()
}

func (s *sorter) shrink() {
	for s.bytes > s.limit {
		highest, blocks := 0, 0
		for i, run := range s.runs {
			blocks += len(run)
			if last(run).first > last(s.runs[highest]).first {
				highest = i
			}
		}
		if blocks < 2 {
			return
		}
		gone := last(s.runs[highest])
		s.cut, s.bytes = gone.first, s.bytes-len(gone.data)
		s.runs[highest] = s.runs[highest][:len(s.runs[highest])-1]
		if len(s.runs[highest]) == 0 {
			s.runs = slices.Delete(s.runs, highest, highest+1)
		}
	}
}

func last(run []sorterBlock) sorterBlock { return run[len(run)-1] }

// each calls fn for every item that was kept, the lowest resourceVersion first, and drops it. raw is valid during the call only.
func (s *sorter) each(fn func(rv uint64, raw []byte) error) error {
	if len(s.runs) == 0 {
		s.sortItems()
		for _, it := range s.items {
			if err := fn(it.rv, s.buffer[it.from:it.to]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(s.items) > 0 {
		s.spill()
	}
	s.buffer, s.items = nil, nil
	var heads runHeap
	for _, run := range s.runs {
		h := &runHead{blocks: run}
		if more, err := h.next(); err != nil {
			return err
		} else if more {
			heads = append(heads, h)
		}
	}
	s.runs = nil
	heap.Init(&heads)
	for len(heads) > 0 {
		h := heads[0]
		if s.cut != 0 && h.rv >= s.cut {
			return nil
		}
		if err := fn(h.rv, h.raw); err != nil {
			return err
		}
		more, err := h.next()
		switch {
		case err != nil:
			return err
		case more:
			heap.Fix(&heads, 0)
		default:
			heap.Pop(&heads)
		}
	}
	return nil
}

// runHead is where the merge stands in a run.
type runHead struct {
	blocks []sorterBlock
	memory []byte
	plain  []byte // what is left of the present block
	rv     uint64
	raw    []byte
}

func (h *runHead) next() (more bool, err error) {
	if len(h.plain) == 0 {
		if len(h.blocks) == 0 {
			return false, nil
		}
		if h.memory, err = s2.Decode(h.memory[:cap(h.memory)], h.blocks[0].data); err != nil {
			return false, err
		}
		h.plain = h.memory
		h.blocks[0].data = nil
		h.blocks = h.blocks[1:]
	}
	rv, n := binary.Uvarint(h.plain)
	size, m := binary.Uvarint(h.plain[n:])
	from := n + m
	h.rv, h.raw = rv, h.plain[from:from+int(size)] //nolint:gosec // written by spill
	h.plain = h.plain[from+int(size):]             //nolint:gosec // written by spill
	return true, nil
}

type runHeap []*runHead

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return h[i].rv < h[j].rv }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*runHead)) }
func (h *runHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
