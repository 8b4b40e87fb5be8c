// Package capture records what a cluster's API server shows, with the time of each arrival, as lines that a replay plays back: the
// watch streams of Events, of Pods, and of the objects that give them context. It is how a user sends in a bug.
//
// It is a witness and no producer: it promises no exactly-once and writes nothing to the cluster or to Kafka. An expired watch is
// written down as such and followed by a list of what is newer.
//
// # What it leaves out
//
// Secrets and ConfigMaps are never read. Of containers, wherever they are (pods, templates, revisions), it keeps names, images,
// resources, ports and the restart policy: environment, commands and arguments are left out, and so are volumes, managed fields and
// the annotations on a list of names that may hide something. Messages and termination messages stay: they are what a bug is
// about. Look through a capture before you send it.
//
// cmd/kubescribe calls it.
package capture
