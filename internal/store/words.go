package store

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWord is where a longer word is cut in pieces, in runes, as Elasticsearch does.
const maxWord = 255

// A rune's part in the finding of words.
type wordClass uint8

const (
	other         wordClass = iota
	letter                  // joins with letters, digits and '_'
	digit                   // the same
	joiner                  // '_' and its like
	midLetter               // joins two letters: ':'
	midNumber               // joins two digits: ','
	midBoth                 // joins two letters or two digits: '.'
	single                  // is a word of its own: ideographs, hiragana
	katakana                // joins with katakana and '_'
	extension               // belongs to the rune before it: combining marks
	southeastAsia           // runs without spaces: one word
)

// words splits text as Elasticsearch's standard analyzer does, so that both stores find the same documents: by the word
// boundaries of Unicode (UAX #29), in lower case, without punctuation. "nginx.conf" and "10.0.0.1" are one word each,
// "web-5d4f" is two. Rare scripts' finer rules and emoji are left out.
func words(text string) []string {
	var found []string
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		c := classOf(r)
		if c == other || c == midLetter || c == midNumber || c == midBoth || c == extension {
			i += size
			continue
		}
		end, real := wordEnd(text, i+size, c)
		if real {
			found = appendPieces(found, strings.ToLower(text[i:end]))
		}
		i = end
	}
	return found
}

// wordEnd is where the word ends whose first rune, of class c, ends at i. A run of joiners alone is no word: real is false.
func wordEnd(text string, i int, c wordClass) (end int, real bool) {
	last := c
	real = c != joiner
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		c := classOf(r)
		switch {
		case c == extension:
			i += size
			continue
		case last == single:
			return i, real
		case joins(last, c):
			real = real || c != joiner
			last = c
			i += size
			continue
		}
		after := nextClass(text[i+size:])
		if (last == letter && after == letter && (c == midLetter || c == midBoth)) ||
			(last == digit && after == digit && (c == midNumber || c == midBoth)) {
			i += size
			// The rune after it joins for certain; take it together with its marks.
			for i < len(text) {
				r, size := utf8.DecodeRuneInString(text[i:])
				i += size
				if classOf(r) == after {
					break
				}
			}
			last = after
			continue
		}
		return i, real
	}
	return i, real
}

func joins(a, b wordClass) bool {
	alnum := func(c wordClass) bool { return c == letter || c == digit }
	switch {
	case alnum(a) && alnum(b), a == joiner && b == joiner, a == katakana && b == katakana, a == southeastAsia && b == southeastAsia:
		return true
	case a == joiner:
		return alnum(b) || b == katakana
	case b == joiner:
		return alnum(a) || a == katakana
	}
	return false
}

// nextClass is the class of the first rune of text that is no extension.
func nextClass(text string) wordClass {
	for _, r := range text {
		if c := classOf(r); c != extension {
			return c
		}
	}
	return other
}

func appendPieces(to []string, word string) []string {
	for utf8.RuneCountInString(word) > maxWord {
		cut := 0
		for range maxWord {
			_, size := utf8.DecodeRuneInString(word[cut:])
			cut += size
		}
		to = append(to, word[:cut])
		word = word[cut:]
	}
	return append(to, word)
}

func classOf(r rune) wordClass {
	if r < utf8.RuneSelf {
		return asciiClass(r)
	}
	switch {
	case r == '\u00b7' || r == '\u0387' || r == '\u2027' || r == '\uff1a':
		return midLetter
	case r == '\u2018' || r == '\u2019' || r == '\u2024' || r == '\uff07' || r == '\uff0e':
		return midBoth
	case r == '\u037e' || r == '\u060c' || r == '\u2044' || r == '\uff0c' || r == '\uff1b':
		return midNumber
	case unicode.Is(unicode.Pc, r):
		return joiner
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc, unicode.Cf):
		return extension
	case unicode.In(r, unicode.Han, unicode.Hiragana):
		return single
	case unicode.Is(unicode.Katakana, r):
		return katakana
	case unicode.In(r, unicode.Thai, unicode.Lao, unicode.Myanmar, unicode.Khmer):
		return southeastAsia
	case unicode.IsLetter(r), unicode.Is(unicode.Nl, r):
		return letter
	case unicode.Is(unicode.Nd, r):
		return digit
	}
	return other
}

func asciiClass(r rune) wordClass {
	switch {
	case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z':
		return letter
	case '0' <= r && r <= '9':
		return digit
	}
	switch r {
	case '_':
		return joiner
	case ':':
		return midLetter
	case ',', ';':
		return midNumber
	case '.', '\'':
		return midBoth
	}
	return other
}
