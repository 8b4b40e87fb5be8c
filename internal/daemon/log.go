package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
)

// LogConfig says what is logged and how. Logs go to standard error.
type LogConfig struct {
	// Level is debug, info, warn or error: what is below it is dropped.
	Level string `koanf:"level"`
	// Format is json, text, or auto: text on a terminal, else json.
	Format string `koanf:"format"`
}

// DefaultLog logs from info on, in the format that suits the output.
func DefaultLog() LogConfig { return LogConfig{Level: "info", Format: "auto"} }

var (
	logLevels  = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	logFormats = []string{"auto", "json", "text"}
)

func (c LogConfig) problems() []error {
	var errs []error
	if _, ok := logLevels[c.Level]; !ok {
		errs = append(errs, fmt.Errorf("log.level: %q is unknown: use debug, info, warn or error", c.Level))
	}
	if !slices.Contains(logFormats, c.Format) {
		errs = append(errs, fmt.Errorf("log.format: %q is unknown: use %s", c.Format, strings.Join(logFormats, ", ")))
	}
	return errs
}

// NewLogger writes to w as c says. It is safe for use by several goroutines.
func NewLogger(w io.Writer, c LogConfig) *slog.Logger {
	o := &slog.HandlerOptions{Level: logLevels[c.Level]}
	if c.Format == "text" || c.Format == "auto" && IsTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// IsTerminal says whether w is a terminal, where people read it.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
