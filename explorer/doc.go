// Package explorer lets people look at what is stored: an HTTP API to search and count documents.
//
// It only reads: no path writes or deletes, whatever the method. It has no authentication; by default it listens on loopback,
// and there it answers only to loopback's names, so that a page in a browser can't reach it under a name of its own.
//
//	GET /api/v1/search?q=&from=&to=&limit=&after=&FIELD=   documents, newest first
//	GET /api/v1/count?q=&from=&to=&FIELD=                  their number
//	GET /healthz                                           whether the process serves
//
// `kubescribe explorer` and `kubescribe local` call Run.
package explorer
