// Package crashlog reads the last lines of containers' logs at the moment they matter: when a container ends, before the kubelet
// has thrown the log away.
//
// It is not a log shipper: it asks for one log of one instance of a container, once, and within a budget. It never follows one.
//
// What it guarantees:
//   - The fetch begins when a pod's status shows the end (See), not when the record about it arrives, and only for pods that this
//     replica owns. Get waits for it at most Config.Wait, whatever the API server does.
//   - A log is that of the instance that was asked for, or there is none. A container that restarts while its log is read is noticed
//     by its status and by the times of the lines.
//   - Requests stay within the budget: at once, in a minute, for a workload in a minute, and bytes in a minute. A node whose kubelet
//     does not answer is left alone for a while.
//   - Nothing leaves the package that was not redacted, and a kubelet's excuse for a log is no log.
//   - What was read is remembered by the instance, so that an aborted transaction asks for nothing twice.
//
// The enricher feeds it with pods and asks it for logs.
package crashlog
