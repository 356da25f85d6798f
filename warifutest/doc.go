// Package warifutest is a whole cluster in one process, for our tests and users'.
//
// [Run] makes five nodes (real Raft over its real log, real QUIC with mutual TLS,
// the real gate and audit) in a testing/synctest bubble: the network is package
// transport/netsim, each node has a wall clock of its own, time passes when
// everybody waits, and an hour of it takes a moment. It begins on the first of
// January 2000. The files are real; a TMPDIR in memory makes it faster.
//
// The cluster is born once for all tests of a process, with its root key, a client
// authority, a policy that lets [AppA] and [AppB] unwrap, and one key. Each [Run]
// begins with a copy of its directories, an hour later.
//
// Faults are values of package warifutest/schedule; [Cluster] inflicts all kinds
// that its Inflict names. A [Load] changes the policy and unwraps meanwhile, a
// [History] reads what the nodes left on disk, and [Judge] holds the one against
// the other: each broken promise is a [Violation] with a name.
//
// A [RaceConfig] runs revokes against unwraps, and [CheckRevokes] searches what
// clients saw for an order in which nothing is released that was revoked.
//
// A failure prints its seed and the trace of events. The seed repeats the faults
// and the chances of the network. The order of goroutines is the scheduler's, so a
// rare failure may take several runs of its seed.
//
// In the bubble, time stands still while somebody waits for a sync.Mutex. Whatever
// is held while a simulated disk is slow, or a dial goes on, is a channel.
//
// Not simulated: PKCS#11 (the device is hsm/soft), and what a disk forgets of
// unsynced writes at a crash.
package warifutest
