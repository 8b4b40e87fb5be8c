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

// watch reloads when the folder changes, until ctx ends. Besides, it compares from time to time: some file systems tell nothing,
// and a watch can be lost without a word.
func (f *folder) watch(ctx context.Context) error {
	w := &watcher{}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		f.deps.Log.Warn("the rules' folder can't be watched; it is compared from time to time", "folder", f.path, "interval", f.every, "err", err)
	} else {
		defer notify.Close()
		w.Watcher, w.events = notify, notify.Events
	}
	compare := time.NewTicker(f.every)
	defer compare.Stop()
	still := time.NewTimer(0) // at first, for what changed since the folder was opened
	defer still.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.events:
			if w.matters(e.Name) {
				still.Reset(settle)
			}
			continue
		case <-compare.C:
		case <-still.C:
		}
		w.follow(f.path)
		f.reload()
	}
}

// watcher says which changes of the file system concern a folder. The zero value sees none.
type watcher struct {
	*fsnotify.Watcher
	events chan fsnotify.Event
	// links are paths that lead to the folder and may be swapped for others; dirs are the folders with rules in them.
	links, dirs map[string]bool
}

func (w *watcher) matters(name string) bool { return w.links[name] || w.dirs[filepath.Dir(name)] }

// follow watches the folder at path, the folders in it, and the links on the way to it: git-sync and ConfigMaps swap a link, and
// then another folder is behind the same name. So it is called again after each change. What can't be watched is compared.
func (w *watcher) follow(path string) {
	if w.Watcher == nil {
		return
	}
	w.links, w.dirs = map[string]bool{}, map[string]bool{}
	for at := filepath.Clean(path); at != "." && at != string(filepath.Separator); at = filepath.Dir(at) {
		if info, err := os.Lstat(at); at == filepath.Clean(path) || err == nil && info.Mode()&os.ModeSymlink != 0 {
			w.links[at] = true
			_ = w.Add(filepath.Dir(at))
		}
	}
	_ = fs.WalkDir(os.DirFS(path), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			if real, err := filepath.EvalSymlinks(filepath.Join(path, name)); err == nil {
				w.dirs[real] = true
				_ = w.Add(real)
			}
		}
		return nil
	})
}
