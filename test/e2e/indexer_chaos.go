package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"syscall"
	"time"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const (
	replayDocuments = 200_000
	replayPeriods   = 4
	indexerKills    = 5
	engineOutage    = time.Minute
)

var indexerChaos = Case{
	Name: "indexer-chaos",
	About: "200,000 documents reach Elasticsearch once while the indexer is killed, the engine refuses, is away and is killed, " +
		"and again when the whole topic is replayed",
	Run: runIndexerChaos,
}

// indexerChaosRun is the state of one run of the case.
type indexerChaosRun struct {
	*indexed
	indexer *process
	// stored is how many documents there were at the last kill.
	last     int64
	inFlight int
	rejected int64 // bulk requests and parts of them that the engine has put off with 429
}

func runIndexerChaos(ctx context.Context, env *Env) (Figures, error) {
	// Half of what the indexer has on its way at once: the engine answers 429 again and again.
	x, err := startIndexed(ctx, env, stack.WithElasticsearchSetting("indexing_pressure.memory.limit", "1600kb"), stack.WithHeap(1024))
	if err != nil {
		return nil, err
	}
	c := &indexerChaosRun{indexed: x}
	if err := c.configureIndexer(ctx, fmt.Sprintf("{addresses: [%q]}", c.es.URL), "{flush_bytes: 524288, bulk_requests: 6, instance: e2e}"); err != nil {
		return nil, err
	}
	if err := c.fill(ctx, replayDocuments, nil); err != nil {
		return nil, err
	}
	if c.indexer, err = c.service("indexer"); err != nil {
		return nil, err
	}
	if err := c.drive(ctx); err != nil {
		return nil, err
	}
	return c.check(ctx)
}

// drive lets the indexer work, and breaks something at each stretch of its way.
func (c *indexerChaosRun) drive(ctx context.Context) error {
	if err := c.indexer.start(); err != nil {
		return err
	}
	for _, step := range []struct {
		at   float64
		what func(context.Context) error
	}{
		{0.08, c.killIndexer},
		{0.18, c.killIndexer},
		{0.28, c.stopEngine},
		{0.42, c.killIndexer},
		{0.54, c.killEngine},
		{0.66, c.killIndexer},
		{0.80, c.killIndexer},
	} {
		if err := c.awaitCommitted(ctx, c.indexer, indexerGroup, int64(step.at*replayDocuments), 3*time.Minute); err != nil {
			return err
		}
		if err := step.what(ctx); err != nil {
			return err
		}
	}
	if err := c.awaitCommitted(ctx, c.indexer, indexerGroup, replayDocuments, 3*time.Minute); err != nil {
		return err
	}
	c.logf("everything is committed")
	return errors.Join(c.notePressure(ctx), c.indexer.stop())
}

// killIndexer kills the indexer when it has stored documents that it has not committed, and starts it again. What a predecessor left
// so does not count: the indexer must have committed beyond it.
func (c *indexerChaosRun) killIndexer(ctx context.Context) error {
	if err := c.notePressure(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		if err := c.indexer.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		// The engine goes on with what it has been given.
		stored, err := c.settledEngine(wait)
		if err != nil {
			return err
		}
		committed, err := c.committed(wait, indexerGroup)
		if err != nil {
			return err
		}
		if stored > committed && committed > c.last {
			c.logf("killing the indexer: %d documents are stored and %d committed", stored, committed)
			c.last = stored
			c.inFlight++
			return errors.Join(c.indexer.kill(), c.indexer.start())
		}
		if err := c.indexer.signal(syscall.SIGCONT); err != nil {
			return err
		}
		if err := pause(wait, 150*time.Millisecond); err != nil {
			return fmt.Errorf("the indexer had nothing in flight for 90 s: %d stored, %d committed, %d stored at the last kill", stored, committed, c.last)
		}
	}
}

// settledEngine is the number of documents once it no longer grows.
func (c *indexerChaosRun) settledEngine(ctx context.Context) (int64, error) {
	for last := int64(-1); ; {
		n, err := c.stored(ctx)
		if err != nil || n == last {
			return n, err
		}
		last = n
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// stopEngine takes the engine away for a minute. The indexer must wait for it, and say so.
func (c *indexerChaosRun) stopEngine(ctx context.Context) error {
	if err := c.notePressure(ctx); err != nil {
		return err
	}
	c.logf("stopping Elasticsearch for %s", engineOutage)
	began := time.Now()
	if err := c.es.Stop(); err != nil {
		return err
	}
	if err := c.awaitUnready(ctx); err != nil {
		return err
	}
	if err := pause(ctx, engineOutage-time.Since(began)); err != nil {
		return err
	}
	return c.es.Restart(ctx)
}

// awaitUnready returns when the indexer says that it is not ready.
func (c *indexerChaosRun) awaitUnready(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	for {
		resp, err := http.Get(c.indexer.ready)
		if err != nil {
			return fmt.Errorf("the indexer does not outlive an outage of Elasticsearch: %w\n%s", err, tail(c.indexer.logs))
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			return nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("the indexer says that it is ready while Elasticsearch is away: %w", err)
		}
	}
}

// killEngine kills the engine with SIGKILL in the middle of its work.
func (c *indexerChaosRun) killEngine(ctx context.Context) error {
	if err := c.notePressure(ctx); err != nil {
		return err
	}
	c.logf("killing Elasticsearch")
	return errors.Join(c.es.Kill(), c.es.Restart(ctx))
}

// notePressure notes the most that one start of the engine has put off; a restart sets its counters to nought.
func (c *indexerChaosRun) notePressure(ctx context.Context) error {
	var r struct {
		Nodes map[string]struct {
			Pressure struct {
				Memory struct {
					Total struct {
						Coordinating int64 `json:"coordinating_rejections"`
						Primary      int64 `json:"primary_rejections"`
					} `json:"total"`
				} `json:"memory"`
			} `json:"indexing_pressure"`
		} `json:"nodes"`
	}
	if err := c.elastic.call(ctx, http.MethodGet, "/_nodes/stats/indexing_pressure", "", &r); err != nil {
		return err
	}
	for _, n := range r.Nodes {
		c.rejected = max(c.rejected, n.Pressure.Memory.Total.Coordinating+n.Pressure.Memory.Total.Primary)
	}
	return nil
}

// check replays the whole topic with another group, and compares what is there with what should be.
func (c *indexerChaosRun) check(ctx context.Context) (Figures, error) {
	before, err := c.stored(ctx)
	if err != nil {
		return nil, err
	}
	created, existed, err := c.replay(ctx)
	if err != nil {
		return nil, err
	}
	found, indices, err := c.ids(ctx)
	if err != nil {
		return nil, err
	}
	missing, extra, twice := compare(c.expected(), found)
	// What the replay had to create was lost before, though it is there now.
	lost := max(len(missing), int(created))
	figures := Figures{
		{"documents", replayDocuments},
		{"kills_in_flight", c.inFlight},
		{"rejected", c.rejected},
		{"indices", len(indices)},
		{"replayed", created + existed},
		{"lost", lost},
		{"duplicated", twice + len(extra)},
	}
	letters, err := c.broker.ends(ctx, c.topics.DeadLetter(cluster))
	if err != nil {
		return figures, err
	}
	var errs []error
	broken := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	broken(lost > 0, "%d documents are missing, and the replay had to create %d", len(missing), created)
	broken(twice > 0 || len(extra) > 0, "%d documents are there twice, %d should not be there", twice, len(extra))
	broken(before != replayDocuments, "before the replay there were %d documents", before)
	broken(existed != replayDocuments, "the replay found %d documents", existed)
	broken(c.inFlight != indexerKills, "%d kills were in flight, want %d", c.inFlight, indexerKills)
	broken(c.rejected == 0, "the engine has never answered 429")
	noticed, repaired, err := c.verify(ctx)
	errs = append(errs, err)
	figures = append(figures, Figure{"verify_found", noticed}, Figure{"repaired", repaired})
	broken(len(indices) != 3*replayPeriods, "the documents lie in %d indices, want %d: three classes, four periods", len(indices), 3*replayPeriods)
	for _, partition := range letters[c.topics.DeadLetter(cluster)] {
		broken(partition.Offset > 0, "%d records went to the dead letter", partition.Offset)
	}
	return figures, errors.Join(errs...)
}

// replay reads the topic from its start with a group of its own, and says how many documents were created and how many were there.
func (c *indexerChaosRun) replay(ctx context.Context) (created, existed int64, err error) {
	const group = "kubescribe-indexer-replay"
	p, err := c.service("indexer")
	if err != nil {
		return 0, 0, err
	}
	p.env = append(p.env, "KUBESCRIBE_INDEXER_GROUP="+group)
	if err := p.start(); err != nil {
		return 0, 0, err
	}
	if err := c.awaitCommitted(ctx, p, group, replayDocuments, 3*time.Minute); err != nil {
		return 0, 0, err
	}
	c.logf("the topic is replayed")
	for outcome, n := range map[string]*int64{"created": &created, "existed": &existed} {
		v, err := gauge(ctx, p, fmt.Sprintf("kubescribe_indexer_documents_total{outcome=%q}", outcome))
		if err != nil && outcome != "created" { // a counter that never counted is not shown
			return 0, 0, err
		}
		*n = int64(v)
	}
	return created, existed, p.stop()
}

// verified is what `kubescribe verify -o json` says.
type verified struct {
	OK    bool `json:"ok"`
	Total struct {
		Records   int64 `json:"records"`
		Documents int64 `json:"documents"`
		Missing   int64 `json:"missing"`
		Extra     int64 `json:"extra"`
		Repaired  int64 `json:"repaired"`
	} `json:"total"`
	Clusters []struct {
		Differences []struct {
			Kind string `json:"kind"`
			ID   string `json:"id"`
		} `json:"differences"`
	} `json:"clusters"`
}

// runVerify runs the command over all periods. That it says no is no error.
func (c *indexerChaosRun) runVerify(ctx context.Context, args ...string) (verified, error) {
	args = append([]string{"verify", "--since", c.start.Format(time.RFC3339), "-o", "json", "--config", c.configFile}, args...)
	cmd := exec.CommandContext(ctx, c.binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var v verified
	if jerr := json.Unmarshal(out, &v); jerr != nil {
		return v, fmt.Errorf("kubescribe verify: %w\n%s", errors.Join(err, jerr), stderr.Bytes())
	}
	if (err == nil) != v.OK {
		return v, fmt.Errorf("kubescribe verify says ok=%v and ends with: %w\n%s", v.OK, err, stderr.Bytes())
	}
	return v, nil
}

// verify lets the command say what the case has found itself, then deletes a document by hand, and lets the command find and repair it.
func (c *indexerChaosRun) verify(ctx context.Context) (found, repaired int64, err error) {
	v, err := c.runVerify(ctx, "--ids")
	if err != nil {
		return 0, 0, err
	}
	if !v.OK || v.Total.Records != replayDocuments || v.Total.Documents != replayDocuments || v.Total.Missing != 0 || v.Total.Extra != 0 {
		return 0, 0, fmt.Errorf("kubescribe verify does not agree: %+v", v)
	}
	c.logf("verify agrees: %d records, %d documents", v.Total.Records, v.Total.Documents)
	d := c.document(replayDocuments / 3)
	index := schemas.Index("kubescribe", d.Kubescribe.Class, schemas.PeriodWeek, d.Timestamp)
	if err := c.elastic.call(ctx, http.MethodDelete, "/"+index+"/_doc/"+url.PathEscape(d.Event.ID)+"?refresh=true", "", nil); err != nil {
		return 0, 0, err
	}
	v, err = c.runVerify(ctx)
	if err != nil {
		return 0, 0, err
	}
	found = v.Total.Missing
	if v.OK || found != 1 || len(v.Clusters) != 1 || len(v.Clusters[0].Differences) != 1 || v.Clusters[0].Differences[0].ID != d.Event.ID {
		return found, 0, fmt.Errorf("kubescribe verify does not name the document that was deleted by hand: %+v", v)
	}
	if v, err = c.runVerify(ctx, "--repair"); err != nil {
		return found, 0, err
	}
	repaired = v.Total.Repaired
	if v, err = c.runVerify(ctx); err != nil {
		return found, repaired, err
	}
	if !v.OK || repaired != 1 || v.Total.Documents != replayDocuments {
		return found, repaired, fmt.Errorf("kubescribe verify --repair has not repaired it: repaired %d, then %+v", repaired, v)
	}
	return found, repaired, nil
}
