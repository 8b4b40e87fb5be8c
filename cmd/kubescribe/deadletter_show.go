package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kubescribe/internal/stream"
)

func deadletterShow(con console) *cobra.Command {
	var format output
	cmd := &cobra.Command{
		Use:     "show TOPIC/PARTITION/OFFSET",
		Short:   "Show one dead letter whole",
		Long:    deadletterLong,
		Example: "  kubescribe deadletter show kubescribe.events.shop/0/17",
		Args:    cobra.ExactArgs(1),
	}
	format.flag(cmd)
	set := deadSettings(cmd, con)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePosition(args[0])
		if err != nil {
			return err
		}
		c, d, err := set.open(cmd)
		if err != nil {
			return unlessShown(err)
		}
		l, err := c.letter(cmd.Context(), d, p)
		if err != nil {
			return noSuch(err)
		}
		if format.json() {
			return json.NewEncoder(con.out).Encode(wholeView(l))
		}
		return printLetter(con.out, l)
	}
	return cmd
}

func wholeView(l stream.DeadLetter) letterView {
	v := viewOf(l)
	v.Key = string(l.Record.Key)
	v.Headers = map[string]string{}
	for _, h := range l.Record.Headers {
		v.Headers[h.Key] = string(h.Value)
	}
	if utf8.Valid(l.Record.Value) {
		text := string(l.Record.Value)
		v.Value = &text
	} else {
		v.ValueHex = hex.EncodeToString(l.Record.Value)
	}
	return v
}

func printLetter(w io.Writer, l stream.DeadLetter) error {
	fmt.Fprintf(w, "record:  %s\ngroup:   %s\nreason:  %s\nerror:   %s\ntime:    %s\nkey:     %q\n",
		positionOf(l), l.Group, l.Reason, l.Error, l.Time.UTC().Format(time.RFC3339Nano), l.Record.Key)
	for _, h := range l.Record.Headers {
		fmt.Fprintf(w, "header:  %s: %q\n", h.Key, h.Value)
	}
	if l.Cut {
		fmt.Fprintf(w, "value:   the first %d of %d bytes, SHA-256 of all %s\n", len(l.Record.Value), l.Size, l.SHA256)
	} else {
		fmt.Fprintf(w, "value:   %d bytes\n", l.Size)
	}
	if utf8.Valid(l.Record.Value) {
		_, err := fmt.Fprintf(w, "%s\n", l.Record.Value)
		return err
	}
	_, err := io.WriteString(w, hex.Dump(l.Record.Value))
	return err
}
