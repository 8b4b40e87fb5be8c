package main

import (
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"kubescribe/internal/store/storetest"
)

// engines are the doubles of the running scripts, by their addresses.
var engines sync.Map

// cmdEngine starts a double of Elasticsearch and makes it the configured one: engine. With a path and a file it puts what is in the file
// there, as somebody might by hand: engine PATH FILE.
func cmdEngine(ts *testscript.TestScript, _ bool, args []string) {
	const address = "KUBESCRIBE_ELASTICSEARCH_ADDRESSES"
	if len(args) == 2 {
		d, ok := engines.Load(ts.Getenv(address))
		if !ok {
			ts.Fatalf("start the engine first")
		}
		d.(*storetest.Double).Configure(args[0], ts.ReadFile(args[1]))
		return
	}
	d := storetest.NewDouble()
	engines.Store(d.URL, d)
	ts.Defer(func() { engines.Delete(d.URL); d.Close() })
	ts.Setenv(address, d.URL)
}
