// Package dkg is the birth of a threshold key: what is posted, what the public
// can check of it, and the secret machine of one participant.
//
// Nobody ever holds the key. Every holder deals a random polynomial; the key is
// the sum of their constant terms, and a holder's share is the sum of what was
// dealt to it (Pedersen 1991, joint Feldman). A bulletin board, whose rules are
// in consensus/board, puts all posts into one order and everyone reads the
// outcome from it:
//
//	phase    post     says
//	join     Join     one one-time receive key per dealer
//	commit   Commit   the hash of my commitments
//	deal     Deal     the commitments, a proof that I know the constant term,
//	                  and one sealed sub-share per recipient
//	verdict  Verdict  all is well, or: this dealer cheated me, and here is the
//	                  receive key made for it, so look for yourselves
//	confirm  Receipt  a proof under my new share over the whole transcript
//
// Committing before revealing, and the proof of knowledge, keep the last poster
// from choosing the key (R5). A dealer who drops out after seeing the others'
// commitments does bias it: f droppers choose among 2^f public keys. For TDH2
// that is harmless (Gennaro, Jarecki, Krawczyk, Rabin 2007; Gurkan and others
// 2021), and this package claims no more.
//
// Every post names its session, a hash that takes in the cluster, the roster, the
// order and the place in the ledger where the session was opened, and from the
// second phase on the hash of the list that closed the phase before. So a post
// means nothing anywhere else.
//
// What is left to others: the author's signature on a post and its place in the
// log (the ledger), which posts count and when a phase closes (consensus/board),
// the clock, and the safe keeping of [Participant.State], which is secret. This
// package reads no clock and no disk. It trusts crypto/hpke, which takes no
// randomness from its caller; therefore a sealed post is part of the state, and
// the state is made durable before the post is sent.
package dkg // import "warifu.dev/sharing/dkg"
