// Package schemas holds the contracts between the services: the values of every topic, their keys, headers and ids, the
// topic names, and the name of the index that a document belongs to.
//
// It is data and pure functions. It opens no connection, reads no clock, logs nothing, and imports the standard library
// only, so that a consumer outside the project can vendor it, or ignore it and use the JSON Schemas in schemas/json.
//
// What it guarantees:
//   - One fact has one id, for ever and everywhere (ids.go): the record's ce_id header, the document's _id and the
//     evidence of an alert are the same string.
//   - A value that was once valid decodes for ever: testdata/v1 is read by a test, and a change of a schema that
//     would break a reader fails another one.
//   - Decoders never panic and never accept a value that Validate refuses; unknown fields are ignored, so that an old
//     reader can read a newer writer.
//
// Every service calls it. Times are UTC and have nanosecond precision in JSON (RFC 3339).
package schemas

//go:generate go run ./internal/generate -dir .
