// Package netsim is a network of UDP sockets in memory, with faults.
//
// A host is a name; its sockets are [net.PacketConn]s by address, as good as UDP:
// datagrams may be lost, late and out of order, a full buffer drops, nobody is
// told. Between two hosts there is a delay and a jitter, and on top of it any
// number of [Rule]s: a cut one way is a rule that drops everything from one host
// to another; loss drops a part; delay adds to the way. A held host is a stopped
// process: what comes to it waits in its buffers, and what it sends waits too.
//
// A fault that met no packet is no fault. Each [Effect] counts what it dropped,
// delayed or held, so that a test can say which of its faults really fired.
//
// The network has no goroutines and waits on timers of package time alone, so it
// lives in a testing/synctest bubble. Loss and jitter come from a seed; the order
// in which goroutines send does not, so a seed repeats a schedule and not each
// packet.
package netsim
