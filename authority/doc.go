// Package authority is who may say what: the genesis document, the changes that
// custodians sign, the entries that nodes sign, and how many signatures a kind
// of change needs.
//
// Raft orders entries; nothing is believed because Raft delivered it. Each node
// verifies the signatures of this package by itself, and a client verifies a
// key record with nothing but the genesis document in hand.
//
// A change is signed in a file, or collected in the ledger: a proposal puts it before
// the custodians, and the signature of an approval is the one over the change, so that
// nothing is believed of a proposal that would not be believed of the file.
//
// A key stands in one of six states. What may follow what is one table here, [Moves],
// and a change that custodians sign moves a key along it.
//
// A grant is neither: approvers sign it whom the policy names, a node puts it into the
// ledger, and who uses it counts the signatures.
//
// A signature is never part of an identifier: an entry's id is the hash of its
// signed body, so that the same change signed by other custodians is the same
// change.
package authority
