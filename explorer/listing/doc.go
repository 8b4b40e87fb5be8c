// Package listing shows documents in a terminal: as a table in kubectl's manner, as JSON or CSV, once or as they come in.
//
// It asks a store and formats what it finds; it prints nothing but what it is given a writer for. Text of documents is somebody
// else's: control characters never reach a terminal.
//
// `kubescribe query`, `timeline` and `tail` call it.
package listing
