package enricher

import "kubescribe/internal/message"

// MessageHash identifies a message without what varies from one occurrence to the next: 16 hexadecimal digits.
func MessageHash(text string) string { return message.Hash(text) }

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
