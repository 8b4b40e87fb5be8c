package redact

import "strings"

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	dashes   = "-----"
	// maxBlock is the longest block that is looked for, in bytes.
	maxBlock = 64 << 10
)

// blocks replaces PEM blocks, whole or cut at either end by the limits of the text, and lines as only a PEM block has them.
func blocks(text string) (string, int) {
	var out strings.Builder
	n, done := 0, 0
	replace := func(from, to int) {
		out.WriteString(text[done:from])
		out.WriteString(Mark)
		n, done = n+1, to
	}
	for at := 0; ; {
		i := strings.Index(text[at:], dashes)
		if i < 0 {
			break
		}
		at += i
		rest := text[at:]
		switch {
		case strings.HasPrefix(rest, pemBegin):
			end := endOfBlock(text, at)
			replace(at, end)
			at = end
		case strings.HasPrefix(rest, pemEnd):
			end := endOfLabel(text, at+len(pemEnd))
			replace(startOfBlock(text, done, at), end)
			at = end
		default:
			at++
		}
	}
	if n > 0 {
		out.WriteString(text[done:])
		text = out.String()
	}
	text, m := bodies(text)
	return text, n + m
}

// endOfLabel finds the end of "PRIVATE KEY-----"; a label that is cut ends with its line.
func endOfLabel(text string, i int) int {
	line := lineEnd(text, i)
	if d := strings.Index(text[i:line], dashes); d >= 0 {
		if strings.HasPrefix(text[i+d:], pemBegin) {
			return i + d // another's
		}
		return i + d + len(dashes)
	}
	return line
}

// endOfBlock finds the end of the block that begins at i. One that is not closed reaches as far as lines look like its body.
func endOfBlock(text string, i int) int {
	label := endOfLabel(text, i+len(pemBegin))
	window := text[label:min(len(text), label+maxBlock)]
	next := strings.Index(window, pemBegin)
	if next < 0 {
		next = len(window)
	}
	if e := strings.Index(window[:next], pemEnd); e >= 0 {
		return endOfLabel(text, label+e+len(pemEnd))
	}
	end := min(lineEnd(text, label), label+next)
	for end < len(text) && end < label+next {
		line := text[end+1 : lineEnd(text, end+1)]
		if !goesOn(line) {
			break
		}
		end = min(lineEnd(text, end+1), label+next)
	}
	return end
}

// goesOn reports whether a line can be part of a block that has begun: base64, a header, or the empty line after the headers.
func goesOn(line string) bool {
	w := lastWord(line)
	return isBody(line, 16) || isBody(line, 1) && len(w)%4 == 0 && strings.ContainsAny(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=") ||
		strings.HasPrefix(line, "Proc-Type:") || strings.HasPrefix(line, "DEK-Info:") || strings.TrimSpace(line) == ""
}

// startOfBlock finds where the body before an END at i begins, not before floor: on the same line when line ends are escaped there, else as
// many lines up as look like a body.
func startOfBlock(text string, floor, i int) int {
	from := lineStart(text, floor, i)
	if same := text[from:i]; strings.TrimSpace(same) != "" && !strings.Contains(same, `\n`) && !isBody(same, 1) {
		from = i // the prefix of a logger
	}
	start := lineStart(text, floor, i)
	for start > floor {
		above := lineStart(text, floor, start-1)
		if !isBody(text[above:start-1], 1) {
			break
		}
		start, from = above, above
	}
	return from
}

// isBody reports whether the last word of a line is base64 of at least a length, as the lines of a PEM block are. A logger may
// have put something before it.
func isBody(line string, atLeast int) bool {
	w := lastWord(line)
	if len(w) < atLeast {
		return false
	}
	for i := range len(w) {
		if !isBase64(w[i]) {
			return false
		}
	}
	return true
}

func lastWord(line string) string {
	line = strings.TrimRight(line, " \t\r\"',")
	return line[strings.LastIndexAny(line, " \t\"'|")+1:]
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}

// bodies replaces words that are as long as a line of a PEM or MIME body and as mixed: what is left of a block whose both ends
// are cut off.
func bodies(text string) (string, int) {
	var out strings.Builder
	n, done := 0, 0
	for from := 0; from < len(text); {
		end := lineEnd(text, from)
		if w := lastWord(text[from:end]); (len(w) == 64 || len(w) == 76) && isBody(w, 1) && isMixed(w) {
			i := from + strings.LastIndex(text[from:end], w)
			out.WriteString(text[done:i])
			out.WriteString(Mark)
			n, done = n+1, i+len(w)
		}
		from = end + 1
	}
	if n == 0 {
		return text, 0
	}
	out.WriteString(text[done:])
	return out.String(), n
}

// isMixed tells base64 from a hexadecimal hash and from a path.
func isMixed(w string) bool {
	var lower, upper, digit bool
	for i := range len(w) {
		switch c := w[i]; {
		case c >= 'g' && c <= 'z':
			lower = true
		case c >= 'G' && c <= 'Z':
			upper = true
		case c >= '0' && c <= '9':
			digit = true
		}
	}
	return lower && upper && digit
}

func lineEnd(text string, i int) int {
	if i >= len(text) {
		return len(text)
	}
	if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(text)
}

// lineStart finds the start of the line that ends before i, not before floor.
func lineStart(text string, floor, i int) int {
	if i <= floor {
		return floor
	}
	return floor + strings.LastIndexByte(text[floor:i], '\n') + 1
}
