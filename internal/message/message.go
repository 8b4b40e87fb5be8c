// Package message takes out of messages what varies from one occurrence to the next, so that equal problems look equal.
//
// It is pure, and its results are stored for months: they must not change. The enricher hashes each message with it, and the
// alerter's rules can call Normalise.
package message

import (
	"crypto/sha256"
	"encoding/hex"
)

// Hash identifies a message without what varies (see Normalise): 16 hexadecimal digits. It takes time linear in the message's
// length.
func Hash(message string) string {
	sum := sha256.Sum256(normalise(make([]byte, 0, len(message)+8), message))
	var out [16]byte
	hex.Encode(out[:], sum[:8])
	return string(out[:])
}

// Normalise returns message with each number, quantity, duration, hash, UUID, address, time of day and generated name suffix
// replaced by '#', and each run of white space by one space.
func Normalise(message string) string { return string(normalise(nil, message)) }

// normalise appends message to dst with each number, quantity, duration, hash, UUID, address, time of day and generated
// name suffix replaced by '#', and each run of white space by one space. It is idempotent: a '#' counts as a digit
// wherever words are judged, so that a word is judged alike before and after its digits were replaced, and no digit is
// left that could start a UUID or an address.
func normalise(dst []byte, message string) []byte {
	start := len(dst)
	for i := 0; i < len(message); {
		c := message[i]
		switch {
		case isSpace(c):
			for i < len(message) && isSpace(message[i]) {
				i++
			}
			if len(dst) > start && i < len(message) {
				dst = append(dst, ' ')
			}
		case !isWord(c):
			dst = append(dst, c)
			i++
		default:
			end, variable := structured(message, i)
			if !variable {
				end = i + 1
				for end < len(message) && isWord(message[end]) {
					end++
				}
			}
			suffix := i > 0 && message[i-1] == '-'
			if variable || isVariable(message[i:end], suffix) {
				dst = appendMark(dst, start)
			} else {
				dst = appendWord(dst, message[i:end])
			}
			i = end
		}
	}
	return dst
}

// appendMark appends '#', or nothing when that would only lengthen a number or an address: "#.#" is "#".
func appendMark(dst []byte, start int) []byte {
	n := len(dst)
	if n-start >= 2 && (dst[n-1] == '.' || dst[n-1] == ':') && dst[n-2] == '#' && (n-start == 2 || !isWord(dst[n-3])) {
		return dst[:n-1]
	}
	return append(dst, '#')
}

// appendWord appends a word that stays, with each run of digits replaced.
func appendWord(dst []byte, w string) []byte {
	for i := 0; i < len(w); i++ {
		if !isDigit(w[i]) {
			dst = append(dst, w[i])
		} else if i == 0 || !isDigit(w[i-1]) {
			dst = append(dst, '#')
		}
	}
	return dst
}

// structured finds the end of a UUID, or of an IPv6 or MAC address or time that is joined by at least two colons, that
// starts at i.
func structured(s string, i int) (end int, ok bool) {
	const uuid = 36
	if len(s)-i >= uuid && isUUID(s[i:i+uuid]) && (len(s)-i == uuid || !isWord(s[i+uuid])) {
		return i + uuid, true
	}
	end = i
	colons, digits := 0, 0
	for end < len(s) && end-i <= 64 && (s[end] == ':' || s[end] == '.' || isHex(s[end])) {
		if s[end] == ':' {
			colons++
		} else if s[end] >= '0' && s[end] <= '9' {
			digits++
		}
		end++
	}
	for end > i && (s[end-1] == ':' || s[end-1] == '.') { // punctuation after the address
		if s[end-1] == ':' {
			colons--
		}
		end--
	}
	return end, colons >= 2 && digits > 0 && (end == len(s) || !isWord(s[end]))
}

func isUUID(s string) bool {
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9':
			digits++
		case !isHex(c):
			return false
		}
	}
	return digits > 0
}

// The shortest run of hexadecimal digits that is a hash rather than a word, the shortest generated name that is
// recognised by its alphabet, the lengths of those without digits (a pod's, and a ReplicaSet's, of which every twentieth
// has none), and the shortest mixed word that is a token.
const (
	minHash     = 7
	minSafe     = 5
	safeNames   = 5
	minSafeHash = 8
	maxSafeHash = 10
	minToken    = 20
)

// isVariable reports whether w as a whole varies; suffix says that a '-' comes before it.
func isVariable(w string, suffix bool) bool {
	digits, hex, safe := 0, 0, 0
	for i := range len(w) {
		c := w[i]
		if isDigit(c) {
			digits++
		}
		if isDigit(c) || isHex(c) {
			hex++
		}
		if isDigit(c) || isSafe(c) {
			safe++
		}
	}
	switch {
	case digits == 0:
		return suffix && safe == len(w) && (len(w) == safeNames || len(w) >= minSafeHash && len(w) <= maxSafeHash)
	case digits == len(w), hex == len(w) && len(w) >= minHash, len(w) >= minToken:
		return true
	case suffix && safe == len(w) && len(w) >= minSafe:
		return true
	}
	return isQuantity(w) || isHexLiteral(w)
}

// isHexLiteral reports whether w is 0x and digits. Any digits stand for the 0, because a '#' may.
func isHexLiteral(w string) bool {
	n := 0
	for n < len(w) && isDigit(w[n]) {
		n++
	}
	if n == 0 || n > len(w)-2 || w[n] != 'x' {
		return false
	}
	for _, c := range []byte(w[n+1:]) {
		if !isDigit(c) && !isHex(c) {
			return false
		}
	}
	return true
}

// isQuantity reports whether w is numbers with units: 10s, 1h2m, 250m, 64Mi.
func isQuantity(w string) bool {
	for len(w) > 0 {
		n := 0
		for n < len(w) && isDigit(w[n]) {
			n++
		}
		u := n
		for u < len(w) && !isDigit(w[u]) {
			u++
		}
		if n == 0 || !units[w[n:u]] {
			return false
		}
		w = w[u:]
	}
	return true
}

var units = map[string]bool{
	"": true, "ns": true, "us": true, "µs": true, "ms": true, "s": true, "m": true, "h": true, "d": true,
	"n": true, "u": true, "k": true, "M": true, "G": true, "T": true, "P": true, "E": true,
	"B": true, "Ki": true, "Mi": true, "Gi": true, "Ti": true, "Pi": true, "Ei": true,
	"kB": true, "MB": true, "GB": true, "TB": true, "KiB": true, "MiB": true, "GiB": true, "TiB": true,
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' || c == '#' }

func isWord(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// isSafe reports whether c is in the alphabet of names that Kubernetes generates.
func isSafe(c byte) bool {
	switch c {
	case 'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'z':
		return true
	}
	return c == '2' || c >= '4' && c <= '9'
}
