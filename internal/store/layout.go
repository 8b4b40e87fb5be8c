package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// The layout is an empty index whose mapping's _meta records which period holds when. It is there, and not in a template, because a
// user who may only write documents and view index metadata can read it: it also shows that somebody has run the setup.

const (
	// layoutFresh is how old the layout that is known may be before it is read again.
	layoutFresh = 10 * time.Minute
	// layoutLease is how old it may be at most to write by it.
	layoutLease = 12 * time.Hour
)

type layout struct {
	schedule schedule
	// recorded says that the engine has it; otherwise it is the configuration's.
	recorded bool
	read     time.Time
}

func (e *Elasticsearch) layoutName() string { return e.cfg.IndexPrefix + "-layout" }

// known is the layout as it was read last, or as the configuration has it.
func (e *Elasticsearch) known() layout {
	if l := e.layout.Load(); l != nil {
		return *l
	}
	return layout{schedule: schedule{{Period: e.cfg.Period}}}
}

// follow reads the layout when it hasn't been read for a while. Its error is that of a reading that could not wait.
func (e *Elasticsearch) follow(ctx context.Context) error {
	now := e.now()
	l := e.known()
	if now.Sub(l.read) < layoutFresh {
		return nil
	}
	e.reading.Lock()
	defer e.reading.Unlock()
	if l = e.known(); now.Sub(l.read) < layoutFresh {
		return nil
	}
	if _, err := e.readLayout(ctx); err != nil && now.Sub(l.read) > layoutLease {
		return err
	}
	return nil
}

// readLayout asks the engine for the layout. There is none before the first setup, and perhaps none that this user may see where
// somebody owns the templates: the configuration holds then.
func (e *Elasticsearch) readLayout(ctx context.Context) (layout, error) {
	doing := "reading the layout in " + e.layoutName()
	l := layout{schedule: schedule{{Period: e.cfg.Period}}, read: e.now()}
	a, err := e.do(ctx, esapi.IndicesGetMappingRequest{Index: []string{e.layoutName()}})
	if err != nil {
		return l, fmt.Errorf("%s: %w", doing, err)
	}
	if a.status == http.StatusNotFound || a.status == http.StatusForbidden && !e.cfg.Manage {
		e.layout.Store(&l)
		return l, nil
	}
	if err := a.check(doing); err != nil {
		return l, err
	}
	var indices map[string]struct {
		Mappings struct {
			Meta struct {
				Periods schedule `json:"periods"`
			} `json:"_meta"`
		} `json:"mappings"`
	}
	if err := json.Unmarshal(a.body, &indices); err != nil {
		return l, fmt.Errorf("%s: %w", doing, err)
	}
	for _, i := range indices {
		l.schedule, l.recorded = i.Mappings.Meta.Periods, true
	}
	if err := l.schedule.validate(); err != nil {
		return l, refusef("%s: %w", doing, err)
	}
	e.layout.Store(&l)
	return l, nil
}

// layoutMeta is the mapping's _meta that records s.
func layoutMeta(s schedule) object { return object{"managed_by": managedBy, "periods": s} }

// createLayout records the configured period as the one that has always held. Another process may be faster.
func (e *Elasticsearch) createLayout(ctx context.Context) error {
	doing := "creating " + e.layoutName()
	body, err := json.Marshal(object{"mappings": object{"_meta": layoutMeta(schedule{{Period: e.cfg.Period}})}})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	a, err := e.do(ctx, esapi.IndicesCreateRequest{Index: e.layoutName(), Body: bytes.NewReader(body)})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch a.status {
	case http.StatusForbidden:
		return refusef("%s: not allowed: %s", doing, setupAdvice)
	case http.StatusBadRequest: // it is there by now
		if l, err := e.readLayout(ctx); err == nil && l.recorded {
			return nil
		}
	}
	if err := a.check(doing); err != nil {
		return err
	}
	_, err = e.readLayout(ctx)
	return err
}

// recordLayout makes s the recorded schedule.
func (e *Elasticsearch) recordLayout(ctx context.Context, s schedule) error {
	doing := "recording the change of the period in " + e.layoutName()
	body, err := json.Marshal(object{"_meta": layoutMeta(s)})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	a, err := e.do(ctx, esapi.IndicesPutMappingRequest{Index: []string{e.layoutName()}, Body: bytes.NewReader(body)})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := a.check(doing); err != nil {
		return err
	}
	_, err = e.readLayout(ctx)
	return err
}
