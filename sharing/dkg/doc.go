// Package dkg is the birth of threshold keys, and how their shares are made anew:
// what is posted, what the public can check of it, and the secret machine of one
// participant.
//
// Nobody ever holds a key. At a birth every holder deals a random polynomial; the
// key is the sum of their constant terms, and a holder's share is the sum of what
// was dealt to it (Pedersen 1991, joint Feldman).
//
// In a refresh and in a reshare the old holders deal, each a random polynomial whose
// constant term is its old share, and a new share is the interpolation at zero, over
// the dealers' old indices, of what was dealt to it. The public key stays, since the
// old shares interpolate to the private one; everything else is new, so that a share
// of the old epoch does not combine with one of the new (Herzberg and others 1995;
// with other holders or another t, Desmedt and Jajodia 1997). What a dealer commits
// to as its constant term must be its old verification key: a dealing that would
// change the key is refused when it comes. A refresh is a reshare to the same
// holders with the same t. A holder that was struck, and so has no old share, deals
// nothing and receives like all others: a refresh repairs it. An old holder that
// leaves only deals.
//
// An import shares a key that is whole before: one Feldman dealing (Feldman 1987) of its
// owner, who stands above the new holders and only deals. To the machine the key is an
// epoch of one share, [NewImport]: what the owner commits to as its constant term must
// be the public key that the order says, and a complaint that is upheld leaves no dealer
// and ends the session. The owner knows the key, and what it dealt; nothing here can
// take that from it. The shares of the next refresh it does not know.
//
// A symmetric key is no polynomial: it is one random key for each set of h-t+1 holders,
// see package tprf. At its birth, [SymmetricKey], each member of a set deals 32 random
// bytes to the other members: its commitments are their hashes, its box for a recipient
// holds what it gives to all sets that both are in, and a receipt says the hash of each of
// its author's set keys, which the members must agree on. Such a key has one epoch; there
// is no refresh and no reshare of it, and its next version is another birth.
//
// One session serves a batch of keys of one shape, [MaxBatch] at most, in one round
// of posts: a deal carries the commitments to one polynomial per key, and each of its
// boxes one sub-share per key. A dealer that is wrong about one key of the batch is
// out for all. For 100 keys of 3-of-5 (BenchmarkBatch, on one core of the machine of
// docs/performance.md while others used it) a participant computes for 35 ms in all,
// and every node for 70 ms to take all posts: 6 ms for a deal or a receipt, and 8 to
// 14 for the verdict that makes the outcome, 50 at 9-of-16. So nothing of a session
// needs to be split: who has more keys opens one session after another.
//
// A bulletin board, whose rules are in consensus/board, puts all posts into one order
// and everyone reads the outcome from it:
//
//	phase    post     says
//	join     Join     I take part; to receive, one one-time receive key per dealer
//	commit   Commit   the hash of my commitments
//	deal     Deal     the commitments, proofs that I know the constant terms,
//	                  and one sealed box of sub-shares per recipient
//	verdict  Verdict  all is well, or: this dealer cheated me, and here is the
//	                  receive key made for it, so look for yourselves
//	confirm  Receipt  a proof under each new share over the whole transcript;
//	                  of a symmetric key the hashes of my set keys
//
// Committing before revealing, and the proof of knowledge, keep the last poster
// from choosing the key (R5). A dealer who drops out after seeing the others'
// commitments does bias it: f droppers choose among 2^f public keys. For TDH2
// that is harmless (Gennaro, Jarecki, Krawczyk, Rabin 2007; Gurkan and others
// 2021), and this package claims no more. In a reshare the last posters may shape
// the higher coefficients, and learn and change nothing by it.
//
// Every post names its session, a hash that takes in the cluster, the roster, the
// order and the place in the ledger where the session was opened, and the digest of
// the old epoch, with the names of its keys; and from the second phase on the hash of the list that closed the phase before. So a post
// means nothing anywhere else.
//
// What is left to others: the author's signature on a post and its place in the
// log (the ledger), which posts count and when a phase closes (consensus/board),
// the clock, and the safe keeping of [Participant.State], which is secret. This
// package reads no clock and no disk. It trusts crypto/hpke, which takes no
// randomness from its caller; therefore a sealed post is part of the state, and
// the state is made durable before the post is sent.
package dkg // import "warifu.dev/sharing/dkg"
