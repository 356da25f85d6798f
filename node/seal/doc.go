// Package seal says what a node may do with its secrets: a pure function from
// what the ledger says and what was found on disk to a state with a name.
//
// A node is unborn before the cluster's root key exists, sealed until its root
// share is open and proven to be the right one, and unsealed after that. It
// votes and follows the log in every state; it releases only when unsealed.
package seal
