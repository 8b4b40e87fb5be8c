package crashlog

import (
	"strings"
	"time"
	"unicode/utf8"
)

// excuses are what kubelets and runtimes write in a log's place when it is gone, as an error or as the log itself.
var excuses = []string{"unable to retrieve container logs for ", "failed to try resolving symlinks in path ", "failed to open log file "}

func isExcuse(line string) bool {
	for _, e := range excuses {
		if strings.HasPrefix(line, e) {
			return true
		}
	}
	return false
}

// parse reads the answer to a request with times. A line without a time is not the container's: an excuse in it is dropped, and an
// answer that is nothing but an excuse is none.
func parse(b []byte) answer {
	a := answer{cut: len(b) >= maxRead}
	text := string(b)
	if a.cut {
		text = withoutEnd(text)
	}
	var out strings.Builder
	out.Grow(len(text))
	total, excused := 0, 0
	for line := range strings.Lines(text) {
		at, rest := stamp(line)
		total++
		if at.IsZero() && isExcuse(rest) {
			excused++
			continue
		}
		if a.first.IsZero() {
			a.first = at
		}
		out.WriteString(rest)
	}
	a.text = strings.TrimSuffix(clean(out.String()), "\n")
	if excused > 0 && excused == total || total == 1 && isExcuse(a.text) {
		return answer{why: Gone}
	}
	return a
}

// withoutEnd drops the line that a limit cut: the beginning of a secret can't be known for one.
func withoutEnd(text string) string {
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		return text[:i+1]
	}
	return text[:max(0, len(text)-4<<10)]
}

// stamp splits the time off a line; without one the time is zero.
func stamp(line string) (time.Time, string) {
	const shortest, longest = len("2006-01-02T15:04:05Z"), len("2006-01-02T15:04:05.999999999+07:00")
	i := strings.IndexByte(line[:min(len(line), longest+1)], ' ')
	if i < shortest {
		return time.Time{}, line
	}
	at, err := time.Parse(time.RFC3339Nano, line[:i])
	if err != nil {
		return time.Time{}, line
	}
	return at, line[i+1:]
}

// clean makes text valid as UTF-8, with line feeds as line ends, and without terminal colours and other control characters.
func clean(text string) string {
	ok := true
	for i := 0; i < len(text) && ok; i++ {
		ok = text[i] >= ' ' && text[i] < 0x7f || text[i] == '\n' || text[i] == '\t'
	}
	if ok {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == 0x1b:
			i = afterEscape(text, i)
		case c < ' ' && c != '\n' && c != '\t', c == 0x7f:
			i++
		case c < utf8.RuneSelf:
			out.WriteByte(c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(text[i:])
			out.WriteRune(r)
			i += n
		}
	}
	return out.String()
}

// afterEscape finds the end of a control sequence like ESC [ 3 1 m.
func afterEscape(text string, i int) int {
	if i++; i >= len(text) || text[i] != '[' {
		return i
	}
	for i++; i < len(text) && text[i] >= 0x20 && text[i] <= 0x3f; i++ {
	}
	if i < len(text) && text[i] >= 0x40 && text[i] <= 0x7e {
		i++
	}
	return i
}

// lastBytes returns the end of text, at most limit bytes, from the beginning of a line if there is one.
func lastBytes(text string, limit int) (string, bool) {
	if len(text) <= limit {
		return text, false
	}
	text = text[len(text)-limit:]
	if i := strings.IndexByte(text, '\n'); i >= 0 && i < len(text)-1 {
		return text[i+1:], true
	}
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text, true
}

func countLines(text string) int64 {
	if text == "" {
		return 0
	}
	return int64(strings.Count(text, "\n") + 1)
}
