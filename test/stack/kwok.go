package stack

import (
	"bytes"
	"embed"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed kubernetes/kwok.yaml.tmpl
var kwokTemplate string

//go:embed kubernetes/logs
var podLogs embed.FS

// kwokStage and the types below are what the template's definitions take.
type kwokStage struct {
	Name            string
	Delay           int    // milliseconds from when the selector matches
	Modes, NotModes string // values of lab.mode, comma-separated
}

type kwokEvent struct {
	Type, Reason, Message string
	Counted               bool // one Event for the pod whose count grows with its restarts, instead of a new one each time
	Salt                  int  // keeps the names of one stage's Events apart
}

type kwokStatus struct {
	Phase, Ready    string
	State           string // of the containers: running, waiting or terminated
	Reason, Message string
	ExitCode        int
	Restarted       bool
}

// kwokConfig renders KWOK's configuration. Its log fixtures are files in logs.
func kwokConfig(logs string) ([]byte, error) {
	var t *template.Template
	render := func(definition string, data any) (string, error) {
		var b strings.Builder
		err := t.ExecuteTemplate(&b, definition, data)
		return b.String(), err
	}
	salt := 0
	event := func(counted bool) func(kind, reason, message string) (string, error) {
		return func(kind, reason, message string) (string, error) {
			salt++
			return render("event", kwokEvent{Type: kind, Reason: reason, Message: message, Counted: counted, Salt: salt})
		}
	}
	t = template.New("kwok.yaml").Delims("[[", "]]").Funcs(template.FuncMap{
		"quote": func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" },
		"stage": func(name string, delay int, modes, notModes string) kwokStage {
			return kwokStage{Name: name, Delay: delay, Modes: modes, NotModes: notModes}
		},
		"event":        event(false),
		"countedEvent": event(true),
		"running": func(ready string) (string, error) {
			return render("status", kwokStatus{Phase: "Running", Ready: ready, State: "running"})
		},
		"restarted": func() (string, error) {
			return render("status", kwokStatus{Phase: "Running", Ready: "True", State: "running", Restarted: true})
		},
		"waiting": func(phase, reason, message string) (string, error) {
			return render("status", kwokStatus{Phase: phase, Ready: "False", State: "waiting", Reason: reason, Message: message})
		},
		"terminated": func(phase, reason string, exitCode int) (string, error) {
			return render("status", kwokStatus{Phase: phase, Ready: "False", State: "terminated", Reason: reason, ExitCode: exitCode})
		},
	})
	if _, err := t.Parse(kwokTemplate); err != nil {
		return nil, fmt.Errorf("parsing KWOK's configuration: %w", err)
	}
	var b bytes.Buffer
	err := t.Execute(&b, struct{ Version, CurrentLog, PreviousLog string }{
		KubernetesVersion, filepath.Join(logs, "current.log"), filepath.Join(logs, "previous.log"),
	})
	if err != nil {
		return nil, fmt.Errorf("rendering KWOK's configuration: %w", err)
	}
	return b.Bytes(), nil
}

// writeKwok writes KWOK's configuration and log fixtures into dir.
func writeKwok(dir string) error {
	for _, name := range []string{"current.log", "previous.log"} {
		content, err := podLogs.ReadFile("kubernetes/logs/" + name)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, "pod-logs", name), content, 0o644); err != nil {
			return err
		}
	}
	config, err := kwokConfig(filepath.Join(dir, "pod-logs"))
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "kwok.yaml"), config, 0o644)
}
