// Package contract follows one event through the pure code of every service, and holds the bytes that are on each topic
// on its way: key, headers and value, in schemas/testdata/golden.
//
// Each stage here reads what the stage before it wrote, decoded again from bytes, so that two services can't come to
// disagree about a field. ARCHITECTURE.md shows the same bytes, and a test checks that it does. After a change that is
// meant, `go test ./test/contract -update` writes both anew.
package contract
