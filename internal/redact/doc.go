// Package redact replaces secrets in text that leaves the cluster: log lines, and messages that repeat log lines.
//
// It knows PEM blocks (also those of which the text shows only a part), JSON web tokens, credentials of HTTP headers, keys of
// cloud and code services by their form, passwords in URLs and in data source names, and the values of keys that are called
// password, token, secret and the like, in logfmt, JSON, YAML, query strings, connection strings and command lines. Users add
// patterns of their own.
//
// It is no proof: a secret without a form, in a sentence, without a name, is text like any other. Where a secret and plain text
// can't be told apart, it takes the text for a secret.
//
// It is pure: no I/O, no clock, no logger. It takes time linear in the text, and redacting twice is redacting once. The enricher
// calls it for crash logs; whoever else copies log lines should.
package redact
