// Package e2e runs the real binary, as separate processes, on the real Kafka, Elasticsearch and Kubernetes control plane,
// kills what it can, and compares what arrived with what etcd says had happened.
//
// A Case is one end-to-end test. It prints one line of figures, and fails when a promise is broken, but also when it
// could not have seen it broken: a figure that must not be zero is checked for that. A kill counts only if there was
// work in flight at that instant. The reference is never the load generator's own counter: it is a process of its
// own that reads etcd (test/stack/cmd/etcdwatch).
//
// `make e2e T=NAME` runs one case, `T=list` names them; `go test ./test/e2e` runs those that are part of CI.
package e2e
