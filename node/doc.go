// Package node is one member of a cluster: it wires the rooms together, owns
// every goroutine, and starts and stops them in a written order.
//
// Start: the directory is locked and its modes are checked; the token is opened
// and its templates are checked; the identity key is opened; the audit log is
// opened, before anything is unsealed; the log of Raft is replayed into the two
// states; the sockets are opened. Only then does the node take part. It unseals
// when the ledger shows the root key and its own share fits.
//
// Stop: clients and the loops first, so that nothing is released any more and
// nobody reads a secret; then the peers, then Raft; the secrets are wiped; the
// audit log is closed; the token last.
//
// Everything that a node answers to a client goes through admission (who is
// this?) and then through one method of the server; every partial goes through
// package node/gate. What the operator of the node's own machine may see without
// being asked who they are is package node/ops.
package node
