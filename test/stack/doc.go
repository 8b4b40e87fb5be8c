// Package stack starts the real systems that kubescribe works with: an Apache Kafka broker, an Elasticsearch node and a
// Kubernetes control plane with KWOK in the kubelets' place. It needs no Docker: jars come from Maven Central, the
// Kubernetes binaries are built through the Go module proxy, both once, into a cache outside the checkout.
//
// It is for tests, benchmarks and `make stack-up` on one machine. It is no way to run anything that matters: one node of
// each, loopback only, no authentication on Kafka, Elasticsearch and etcd. The Elasticsearch node is the real 8.19 server,
// but its index lifecycle is driven by a runner of ours (see elasticsearch/): it is not stock ILM.
//
// What it guarantees:
//   - A server that a Start function returned has answered a request that needs it to work.
//   - Data is durable on the directory given: Kill (SIGKILL) and Restart, or a later Start on the same directory, bring the
//     same data back on the same ports.
//   - A child process does not outlive the process that started it (Linux), unless it was started with [Detached].
//   - Parallel test processes neither share a port nor build or download the same thing twice.
//
// Callers: tests (through [SharedKafka] and its siblings), test/e2e, bench, and the commands in cmd/.
package stack
