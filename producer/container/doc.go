// Package container says which transitions of containers a Pod shows, and which of them are new. It is pure: no I/O, no clock, no
// logger; the state of a pod and the time are arguments.
//
// A transition is a container that ended abnormally, or that waits and cannot start. Its identity is made of the pod, the
// container, the instance (the runtime's id, or the restart count where there is none), the state and the reason; so it does not
// matter how often, in which revision, or through which of state and lastState it is seen.
//
// # What is left out, and why
//
// What Options names: ordinary waits, ends with exit code 0 that are how the container is meant to end (init containers, pods
// that are not restarted always, Jobs and other batch kinds), ends that the pod's own deletion or end brought about, ends that
// are old, and names.
//
// package producer calls it for live pods and for those of recordings.
package container
