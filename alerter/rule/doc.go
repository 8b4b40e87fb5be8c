// Package rule reads alert rules from a folder and says which of them a document meets.
//
// A rule file is YAML in the shape of Prometheus' rule files: groups of rules, each with an expression over the fields of
// a document (Env), labels, annotations, and what the decider needs to know about counts and quiet times. Expressions are
// expr-lang, compiled against Env at load, so that a misspelt name is an error at load and not a rule that never fires.
//
// It is pure: it reads files through fs.FS, and has no clock, logger or network. It does not decide when an alert fires;
// that is package decision. It guarantees that Load either returns a Set in which every rule is whole, or a Report with
// every problem of every file, each with its file, line and column. A Set is immutable and safe for concurrent use.
//
// The alerter's matcher calls it, and `kubescribe rules check`.
package rule
