// Package ceremony drives this node's part in every ceremony that the ledger
// shows: it opens runs, steps the participant of package dkg, makes its state
// durable before anything is posted, and posts.
//
// The participant's secrets (receive keys, polynomials, shares, in a refresh its old
// shares too) rest under an HSM key made for the session alone, which is destroyed
// when the session ends, so that neither the log nor a backup rebuilds an epoch
// afterwards. A node that
// was killed goes on from what it sealed and posts the same bytes again.
//
// What custodians want to have ahead, it fills up by itself: pools of keys without names.
//
// One goroutine of the node owns a [Driver]; it reads states and posts entries,
// and holds no other thing that another goroutine could see.
package ceremony
