package alerter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"kubescribe/alerter/rule"
	"kubescribe/internal/stream"
)

// healthComponent is the name under which broken rules are shown.
const healthComponent = "alerter/rules"

// folder is the rules' folder and the last good set that was in it.
type folder struct {
	path    string
	every   time.Duration
	options rule.Options
	deps    stream.Deps
	metrics *metrics

	current atomic.Pointer[rule.Set]
	digest  [sha256.Size]byte
}

// openFolder loads the rules. Unlike later, a set with problems is an error: there is no good one to go on with.
func openFolder(cfg Config, d stream.Deps, m *metrics) (*folder, error) {
	f := &folder{path: cfg.Rules, every: cfg.ReloadInterval, options: rule.Options{Receivers: cfg.receiverNames()}, deps: d, metrics: m}
	f.digest = f.look()
	set, report := rule.Load(os.DirFS(f.path), f.options)
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("loading the rules in %s:\n%w", f.path, err)
	}
	f.take(set)
	f.deps.Log.Info("rules loaded", "folder", f.path, "rules", report.Rules, "files", report.Files, "hash", set.Hash)
	return f, nil
}

// set is the last good set. It is safe to call from any goroutine.
func (f *folder) set() *rule.Set { return f.current.Load() }

func (f *folder) take(set *rule.Set) {
	f.current.Store(set)
	f.metrics.rules.Set(float64(len(set.Rules)))
	f.metrics.rulesGood.Set(1)
	f.metrics.rulesLoaded.Set(float64(f.deps.Now().Unix()))
}

// look is a digest of the rule files: their names and what is in them, or of why they can't be read.
func (f *folder) look() [sha256.Size]byte {
	h := sha256.New()
	fsys := os.DirFS(f.path)
	files, err := rule.Files(fsys)
	fmt.Fprintln(h, err)
	for _, name := range files {
		data, err := fs.ReadFile(fsys, name)
		fmt.Fprintln(h, name, len(data), err)
		h.Write(data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// reload takes over what has changed in the folder, if it is good. What was looked at and what was loaded can differ when a file
// is being written; the writing's end is another change.
func (f *folder) reload() {
	digest := f.look()
	if digest == f.digest {
		return
	}
	set, report := rule.Load(os.DirFS(f.path), f.options)
	f.digest = digest
	var bad *rule.LoadError
	if errors.As(report.Err(), &bad) {
		f.metrics.reloads.WithLabelValues("refused").Inc()
		f.metrics.rulesGood.Set(0)
		f.health("the last good rules run, because the folder's have problems: " + bad.First())
		f.deps.Log.Error("rules have problems; the last good ones go on", "folder", f.path, "problems", len(report.Problems), "err", bad)
		return
	}
	f.metrics.reloads.WithLabelValues("loaded").Inc()
	f.health("")
	f.take(set)
	f.deps.Log.Info("rules loaded", "folder", f.path, "rules", report.Rules, "files", report.Files, "hash", set.Hash)
}

func (f *folder) health(reason string) {
	if f.deps.Health != nil {
		f.deps.Health.Set(healthComponent, reason)
	}
}

// settle is how long the folder must be still before it is read: editors and git write in several steps.
const settle = 200 * time.Millisecond

// watch reloads when the folder changes, until ctx ends. File systems that tell nothing are compared from time to time, and so is
// everything, because a watch can be lost without a word.
func (f *folder) watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		f.deps.Log.Warn("the rules' folder can't be watched; it is compared from time to time", "folder", f.path, "interval", f.every, "err", err)
		w = &fsnotify.Watcher{}
	} else {
		defer w.Close()
	}
	compare := time.NewTicker(f.every)
	defer compare.Stop()
	still := time.NewTimer(0) // at first, for what changed since the folder was opened
	defer still.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			still.Reset(settle)
		case err := <-w.Errors:
			f.deps.Log.Debug("watching the rules' folder", "folder", f.path, "err", err)
			still.Reset(settle)
		case <-compare.C:
			f.follow(w)
			f.reload()
		case <-still.C:
			f.follow(w)
			f.reload()
		}
	}
}

// follow watches the folder, the folders in it, and what they are links to. git-sync and ConfigMaps swap a link in the parent, which
// is another folder behind the same name: so it is done again after each change.
func (f *folder) follow(w *fsnotify.Watcher) {
	if w.Events == nil {
		return
	}
	add := func(path string) {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			_ = w.Add(real) // what can't be watched is compared
		}
	}
	add(filepath.Dir(filepath.Clean(f.path)))
	add(f.path)
	_ = fs.WalkDir(os.DirFS(f.path), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			add(filepath.Join(f.path, name))
		}
		return nil
	})
}
