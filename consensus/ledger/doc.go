// Package ledger is the replicated state and its refusals: a pure value and one
// function, Apply(state, entry) → state'.
//
// There is no clock, no randomness and no I/O in it, so every node that reads
// the same log holds the same state, and every old state stays readable: a node
// keeps two of them, the committed one and the one its stored log leads to.
//
// Raft delivers entries; Apply decides whether they mean anything. What is not
// decodable, too large, not signed by those who may, stale, expired or out of
// turn is a no-op with a named reason. It is still chained: each command, taken
// or not, makes a link H(previous link, Raft index, entry, root after it), so
// two nodes whose links agree have read the same log. The root is that of a
// persistent Merkle tree over SHA-256(path), and refused entries do not change
// it; only the first command above a milestone, whatever it is, writes down the
// link that it leaves behind.
//
// A change may also be collected here, vote by vote. When it has its count it is taken
// as the signed change it then is; if that is refused, the proposal has failed, under
// a name that is part of the state.
//
// What is over is taken out, at the same entry on every node, some of it with each
// entry: ids of changes past their not-after, proposals, grants, runs of ceremonies.
// Nobody can tell whether it is out yet: it counts as gone from when it is past.
//
// Where a key stands in its life is moved by changes, along one table; what stops a key
// is a denial as well. What custodians say of a key stands beside it.
//
// A key may be born ahead, without a name, in a pool. It is none until the order of a key
// takes it, with the entry of that order.
//
// A grant is kept as a node has put it, with signatures that nothing here can judge:
// only the policy knows its approvers, and the policy is never parsed here. Form,
// times and the number of a node's grants are.
//
// A state is encoded whole for a snapshot. Its root covers all of it, so that a
// state which is decoded has the link it had, or another one ([Decode]).
//
// The ledger never holds a secret in the clear, and never a record of a request.
package ledger
