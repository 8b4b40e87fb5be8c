package receiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kubescribe/schemas"
)

// format is how one kind of far side is spoken to over HTTP. Its methods are pure.
type format interface {
	// message is the request for an alert. secret is the Config's.
	message(a *schemas.Alert, p page, secret string, now time.Time) (message, error)
	// judge is the verdict on an answer with the status 2xx; for the others there is judgeStatus. nil is taken.
	judge(body []byte) error
}

// message is what is posted.
type message struct {
	body   []byte
	path   string     // is added to the address
	query  url.Values // is added to the address's own
	header http.Header
}

const (
	// longestPause bounds a Retry-After: a receiver that wants more is asked again all the same.
	longestPause = 10 * time.Minute
	// shortestPause is for far sides that say that they are busy, but not for how long.
	shortestPause = 15 * time.Second
	// saidBytes is how much of a refusal's text is kept, answerBytes how much of an answer is read.
	saidBytes   = 300
	answerBytes = 16 << 10
)

// poster sends messages over HTTP.
type poster struct {
	c      Config
	links  Links
	format format
	client *http.Client
}

func newPoster(c Config, l Links, f format) *poster {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	return &poster{c: c, links: l, format: f, client: &http.Client{
		Transport: transport,
		// A redirect would be followed as a GET, without the alert.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (p *poster) Name() string { return p.c.Name }

func (p *poster) Wants(status schemas.AlertStatus) bool { return p.c.wants(status) }

func (p *poster) Repost() time.Duration { return p.c.repost() }

func (c Config) wants(status schemas.AlertStatus) bool {
	return status != schemas.AlertResolved || c.SendResolved == nil || *c.SendResolved
}

func (p *poster) Send(ctx context.Context, a *schemas.Alert, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, p.c.timeout())
	defer cancel()
	req, err := p.request(ctx, a, now)
	if err != nil {
		return fmt.Errorf("receiver %s: %w", p.c.Name, err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("posting to receiver %s: %w", p.c.Name, withoutURL(err))
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if err = judgeStatus(resp.StatusCode, resp.Header.Get("Retry-After"), now); err == nil {
		err = p.format.judge(text)
	}
	return p.explain(err, resp.StatusCode, text)
}

func (p *poster) request(ctx context.Context, a *schemas.Alert, now time.Time) (*http.Request, error) {
	to, err := p.c.address()
	if err != nil {
		return nil, err
	}
	secret, err := p.c.secret()
	if err != nil {
		return nil, err
	}
	m, err := p.format.message(a, newPage(a, p.links), secret, now)
	if err != nil {
		return nil, err
	}
	if m.path != "" {
		to = to.JoinPath(m.path)
	}
	if len(m.query) > 0 {
		query := to.Query()
		for k, v := range m.query {
			query[k] = v
		}
		to.RawQuery = query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(m.body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "kubescribe")
	req.Header.Set(HeaderIdempotencyKey, a.ID)
	for name, values := range m.header {
		req.Header[name] = values
	}
	for name, value := range p.c.Headers {
		req.Header.Set(name, string(value))
	}
	return req, nil
}

// explain adds to a verdict who said it and what.
func (p *poster) explain(verdict error, code int, text []byte) error {
	if verdict == nil {
		return nil
	}
	err := fmt.Errorf("receiver %s answered %d", p.c.Name, code)
	if said := said(text); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	var refused *RefusedError
	var busy *BusyError
	switch {
	case errors.As(verdict, &refused):
		return &RefusedError{err}
	case errors.As(verdict, &busy):
		return &BusyError{err, busy.After}
	}
	return err
}

// said is an answer's text in one short line.
func said(text []byte) string {
	if len(text) > saidBytes {
		text = text[:saidBytes]
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " ")
}

// The verdicts. Who says it and what is added by explain.
var (
	errRefused   = &RefusedError{errors.New("refused")}
	errTransient = errors.New("not now")
	errBusy      = &BusyError{errors.New("busy"), shortestPause}
)

// judgeStatus is the verdict by the status alone; nil leaves it to the format.
func judgeStatus(code int, after string, now time.Time) error {
	if code >= 200 && code < 300 {
		return nil
	}
	transient := code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500
	if !transient {
		return errRefused
	}
	if pause := retryAfter(after, now); pause > 0 {
		return &BusyError{errTransient, min(pause, longestPause)}
	}
	if code == http.StatusTooManyRequests {
		return errBusy
	}
	return errTransient
}

// retryAfter reads both forms of the header; 0 is none.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}

// withoutURL drops the address from an error of the client: it may hold a token.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
