package listing

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"kubescribe/internal/store"
)

// Format is how documents are shown. It is a pflag.Value.
type Format string

// The formats. JSON is one object for all, NDJSON the documents as they are stored, one a line.
const (
	Table  Format = "table"
	Wide   Format = "wide"
	JSON   Format = "json"
	NDJSON Format = "ndjson"
	CSV    Format = "csv"
)

// Formats lists them.
func Formats() []string {
	return []string{string(Table), string(Wide), string(JSON), string(NDJSON), string(CSV)}
}

// String is the value.
func (f *Format) String() string { return string(*f) }

// Type is what help calls the value.
func (f *Format) Type() string { return "format" }

// Set takes one of the formats.
func (f *Format) Set(s string) error {
	for _, known := range Formats() {
		if s == known {
			*f = Format(s)
			return nil
		}
	}
	return fmt.Errorf("use %s", strings.Join(Formats(), ", "))
}

// Printer prints pages of documents in a format. It is for one goroutine.
type Printer struct {
	w      io.Writer
	format Format
	began  bool
	more   bool
	csv    *csv.Writer
}

// NewPrinter prints to w.
func NewPrinter(w io.Writer, f Format) *Printer {
	return &Printer{w: w, format: f, csv: csv.NewWriter(w)}
}

// hit is a document in the JSON format.
type hit struct {
	ID       string          `json:"id"`
	Class    string          `json:"class"`
	Time     string          `json:"time"`
	Document json.RawMessage `json:"document"`
}

// Print prints one page.
func (p *Printer) Print(hits []store.Hit) error {
	first := !p.began
	p.began = true
	switch p.format {
	case NDJSON:
		return p.lines(hits)
	case JSON:
		return p.json(hits, first)
	case CSV:
		return p.rows(hits, first)
	case Wide:
		return p.table(hits, wideColumns, first)
	}
	return p.table(hits, tableColumns, first)
}

// More says that there are documents that are not printed.
func (p *Printer) More() { p.more = true }

// End ends what Print began. With nothing printed it is what an empty answer looks like.
func (p *Printer) End() error {
	if p.format != JSON {
		return nil
	}
	if !p.began {
		if _, err := fmt.Fprint(p.w, `{"hits":[`); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(p.w, `],"more":%t}`+"\n", p.more)
	return err
}

func (p *Printer) lines(hits []store.Hit) error {
	for _, h := range hits {
		if _, err := p.w.Write(append(h.Body, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (p *Printer) json(hits []store.Hit, first bool) error {
	before := ","
	if first {
		before = `{"hits":[`
	}
	for _, h := range hits {
		b, err := json.Marshal(hit{h.ID, h.Class, exactTimeColumn.value(row{hit: h}), h.Body})
		if err != nil {
			return fmt.Errorf("document %q is not JSON: %w", h.ID, err)
		}
		if _, err := fmt.Fprintf(p.w, "%s%s", before, b); err != nil {
			return err
		}
		before = ","
	}
	if len(hits) == 0 && first {
		p.began = false
	}
	return nil
}

func (p *Printer) rows(hits []store.Hit, first bool) error {
	if first {
		titles := make([]string, len(csvColumns))
		for i, c := range csvColumns {
			titles[i] = strings.ToLower(c.title)
		}
		if err := p.csv.Write(titles); err != nil {
			return err
		}
	}
	for _, h := range hits {
		r := rowOf(h)
		cells := make([]string, len(csvColumns))
		for i, c := range csvColumns {
			cells[i] = c.value(r)
		}
		if err := p.csv.Write(cells); err != nil {
			return err
		}
	}
	p.csv.Flush()
	return p.csv.Error()
}

func (p *Printer) table(hits []store.Hit, columns []column, first bool) error {
	tw := tabwriter.NewWriter(p.w, 0, 0, 3, ' ', 0)
	if first && len(hits) > 0 {
		for i, c := range columns {
			fmt.Fprint(tw, tab(i), c.title)
		}
		fmt.Fprintln(tw)
	}
	for _, h := range hits {
		r := rowOf(h)
		for i, c := range columns {
			cell := plain(c.value(r))
			if cell == "" {
				cell = "-"
			}
			fmt.Fprint(tw, tab(i), cell)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func tab(i int) string {
	if i == 0 {
		return ""
	}
	return "\t"
}
