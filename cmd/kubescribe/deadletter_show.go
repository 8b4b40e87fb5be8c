package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kubescribe/internal/redact"
	"kubescribe/internal/stream"
)

func deadletterShow(con console) *cobra.Command {
	var format output
	var raw bool
	cmd := &cobra.Command{
		Use:   "show TOPIC/PARTITION/OFFSET",
		Short: "Show one dead letter whole",
		Long: deadletterLong + `

What looks like a password, token or key in the value, the headers and the error is printed as <redacted>; --raw prints what is
there.`,
		Example: "  kubescribe deadletter show kubescribe.events.shop/0/17\n  kubescribe deadletter show kubescribe.events.shop/0/17 --raw -o json",
		Args:    cobra.ExactArgs(1),
	}
	format.flag(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "print secrets, too")
	set := deadSettings(cmd, con)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parseOrigin(args[0])
		if err != nil {
			return err
		}
		c, d, err := set.open(cmd)
		if err != nil {
			return unlessShown(err)
		}
		dead := c.deadTopicOf(p)
		l, err := stream.FindDeadLetter(cmd.Context(), c.Kafka, d, dead, p.Topic, p.Partition, p.Offset)
		if err != nil {
			return noSuch(err)
		}
		replays, err := stream.ReadReplays(cmd.Context(), c.Kafka, d, dead)
		if err != nil {
			return err
		}
		v := wholeView(l, replays[p], mask(raw))
		if format.json() {
			return json.NewEncoder(con.out).Encode(v)
		}
		return printLetter(con.out, v, l)
	}
	return cmd
}

// mask is what hides secrets in a text.
func mask(raw bool) func(string) string {
	if raw {
		return func(s string) string { return s }
	}
	r := &redact.Redactor{}
	return func(s string) string {
		s, _ = r.Redact(s)
		return s
	}
}

// letterView is a dead letter in JSON.
type letterView struct {
	Record    string            `json:"record"`
	Group     string            `json:"group"`
	Reason    string            `json:"reason"`
	Error     string            `json:"error"`
	Time      time.Time         `json:"time"`
	Replayed  time.Time         `json:"replayed,omitzero"`
	Bytes     int               `json:"bytes"`
	SHA256    string            `json:"sha256,omitempty"`
	Key       string            `json:"key,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Value     *string           `json:"value,omitempty"` // when it is text
	ValueHex  string            `json:"valueHex,omitempty"`
	Truncated bool              `json:"truncated,omitempty"`
}

func viewOf(l stream.DeadLetter, replayed time.Time, mask func(string) string) letterView {
	return letterView{
		Record: l.Origin().String(), Group: l.Group, Reason: l.Reason, Error: mask(l.Error), Time: l.Time.UTC(), Replayed: replayed,
		Bytes: l.Size, SHA256: l.SHA256, Truncated: l.Cut,
	}
}

func wholeView(l stream.DeadLetter, replayed time.Time, mask func(string) string) letterView {
	v := viewOf(l, replayed, mask)
	v.Key = string(l.Record.Key)
	v.Headers = map[string]string{}
	for _, h := range l.Record.Headers {
		v.Headers[h.Key] = mask(string(h.Value))
	}
	if utf8.Valid(l.Record.Value) {
		text := mask(string(l.Record.Value))
		v.Value = &text
	} else {
		v.ValueHex = hex.EncodeToString(l.Record.Value)
	}
	return v
}

func printLetter(w io.Writer, v letterView, l stream.DeadLetter) error {
	fmt.Fprintf(w, "record:  %s\ngroup:   %s\nreason:  %s\nerror:   %s\ntime:    %s\n", v.Record, v.Group, v.Reason, v.Error, v.Time.Format(time.RFC3339Nano))
	if !v.Replayed.IsZero() {
		fmt.Fprintf(w, "replayed: %s\n", v.Replayed.Format(time.RFC3339Nano))
	}
	fmt.Fprintf(w, "key:     %q\n", l.Record.Key)
	for _, h := range l.Record.Headers {
		fmt.Fprintf(w, "header:  %s: %q\n", h.Key, v.Headers[h.Key])
	}
	if l.Cut {
		fmt.Fprintf(w, "value:   the first %d of %d bytes, SHA-256 of all %s\n", len(l.Record.Value), l.Size, l.SHA256)
	} else {
		fmt.Fprintf(w, "value:   %d bytes\n", l.Size)
	}
	if v.Value != nil {
		_, err := fmt.Fprintln(w, *v.Value)
		return err
	}
	_, err := io.WriteString(w, hex.Dump(l.Record.Value))
	return err
}
