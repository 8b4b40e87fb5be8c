package receiver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"kubescribe/schemas"
)

// mail sends a plain mail to each alert. Mails of one group are one thread; a repeat after a crash has the same Message-ID, by which
// many servers drop it.
type mail struct {
	c       Config
	links   Links
	timeout time.Duration
}

func (m *mail) Name() string { return m.c.Name }

func (m *mail) Wants(status schemas.AlertStatus) bool { return m.c.wants(status) }

func (m *mail) Repost() time.Duration { return 0 }

func (m *mail) Send(ctx context.Context, a *schemas.Alert, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	password, err := m.c.secret()
	if err != nil {
		return fmt.Errorf("receiver %s: %w", m.c.Name, err)
	}
	letter := compose(m.c.Email, a, newPage(a, m.links), now)
	if err := m.deliver(ctx, password, letter); err != nil {
		return judgeMail(fmt.Errorf("mailing to receiver %s: %w", m.c.Name, err))
	}
	return nil
}

// judgeMail is the verdict on an answer of a mail server: what it says with 5xx it says for good. A refused password is not about the
// alert: it is tried again, so that a rotated one loses none.
func judgeMail(err error) error {
	var said *textproto.Error
	if !errors.As(err, &said) || said.Code < 500 {
		return err
	}
	switch said.Code {
	case 530, 534, 535, 538:
		return err
	}
	return &RefusedError{err}
}

// deliver speaks to the server once.
func (m *mail) deliver(ctx context.Context, password string, letter []byte) error {
	e := m.c.Email
	host, _, err := net.SplitHostPort(e.Host)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	secure := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if e.TLS == "tls" {
		conn = tls.Client(conn, secure)
	}
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if cmp.Or(e.TLS, "starttls") == "starttls" {
		if err := client.StartTLS(secure); err != nil {
			return fmt.Errorf("starting TLS: %w", err)
		}
	}
	if e.Username != "" {
		if err := client.Auth(smtp.PlainAuth("", e.Username, password, host)); err != nil {
			return fmt.Errorf("signing in: %w", err)
		}
	}
	if err := envelope(client, e); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(letter); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = client.Quit() // the server has the mail already
	return nil
}

func envelope(client *smtp.Client, e EmailConfig) error {
	from, err := netmail.ParseAddress(e.From)
	if err != nil {
		return err
	}
	if err := client.Mail(from.Address); err != nil {
		return err
	}
	for _, to := range e.To {
		address, err := netmail.ParseAddress(to)
		if err != nil {
			return err
		}
		if err := client.Rcpt(address.Address); err != nil {
			return err
		}
	}
	return nil
}

// compose is the mail, its headers and its text.
func compose(e EmailConfig, a *schemas.Alert, p page, now time.Time) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", e.From)
	header("To", strings.Join(e.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", clip(oneLine(p.Title), 200)))
	header("Date", now.UTC().Format(time.RFC1123Z))
	header("Message-ID", messageID(a.ID))
	header("References", messageID(schemas.AlertStateKey(a.Cluster, a.Fingerprint)))
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(letterText(p), "\n", "\r\n")))
	_ = w.Close()
	return b.Bytes()
}

// messageID is of letters that no id can break out of.
func messageID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return "<" + hex.EncodeToString(sum[:16]) + "@kubescribe>"
}

func letterText(p page) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", p.Summary)
	if p.Description != "" {
		fmt.Fprintf(&b, "%s\n\n", p.Description)
	}
	for _, f := range p.Facts {
		fmt.Fprintf(&b, "%-10s %s\n", f.Name, oneLine(f.Value))
	}
	for _, m := range p.Members {
		fmt.Fprintf(&b, "- %s\n", m)
	}
	for _, l := range p.Links {
		fmt.Fprintf(&b, "%-10s %s\n", l.Name, l.URL)
	}
	if p.Log != "" {
		fmt.Fprintf(&b, "\nLog of %s:\n  %s\n", p.LogOf, strings.ReplaceAll(p.Log, "\n", "\n  "))
	}
	if p.Runbook != "" && p.Status != schemas.AlertResolved {
		fmt.Fprintf(&b, "\nRunbook:\n%s\n", p.Runbook)
	}
	return b.String()
}
