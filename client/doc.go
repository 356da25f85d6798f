// Package client is the library that applications import: wrap a data key
// offline, unwrap it by quorum.
//
//	genesis ──Record──▶ Key ──Wrap(context, DEK)──▶ envelope     offline from here
//	envelope ──Unwrap(context, reason)──▶ t holders ──▶ DEK      one round trip
//
// What it believes. It is given one thing, the verified genesis document. A key
// record is believed when the custodians' order inside it verifies and at least
// t of the holders that the order names have signed it; t and the holders come
// from the order, W = Δ·Y and the holders' verification keys are recomputed. A
// node's connection is believed for the one key that the roster pins. An address
// is only a hint. What single nodes say (Status, Keys, Policy, AuditTail) is
// handed on as what that node says.
//
// Whom it calls. The roster of [Config.Known], and each later one that goes on from it:
// when a key record is of a later roster, or names a holder that is not known here, all
// nodes are asked for the changes that custodians have signed, see [Client.Custody]. So
// a client that is never started anew outlives the nodes that it began with.
//
// Where a key stands in its life is believed of the custodians who signed it, as far as
// nodes show it: nothing is wrapped under a key that is known not to be active, and a
// state that cannot follow the one that is known is not taken.
//
// How it unwraps. The t nearest holders are asked in parallel, under one random
// request id that stands in the audit of each; when one refuses, is down or slow, the
// next is asked. Each holder checks the envelope's proof; here it is checked when one
// refuses it or the envelope does not open, which is then nobody's lie. [Key.Check]
// finds a wrong context before it leaves the machine. A holder's index is its place
// in the order, and an answer that says otherwise is false. Partials of different
// epochs are never combined. Opening is optimistic: only when the commitment in
// the envelope does not match are share proofs asked for, and then a holder whose
// partial is unproven is named, set aside, and replaced. If all t proofs hold, the
// envelope is corrupt, and nobody is blamed. [Result.Retries] counts every question that
// was asked beyond the first t.
//
// Who is slow or dead. Of each node the client knows how long its answers take, and what
// that deviates by. One that takes longer is late: another is asked besides, for no more
// than a twentieth of all answers (hedge.go), and from then on it is asked after the
// others, as one is that was not there. What has become of it, and of those that are too
// far to be asked, is looked at beside the requests, by a question that releases nothing
// (aside.go): so of all requests only those wait for it that were under way. One that says
// it is there and is slow to release all the same is tried ever less often.
//
// With its partial a holder endorses what it has verified. The client keeps that for each
// envelope and context that opened, and shows it to the same holder the next time, which
// then need not verify the proof again. [Client.Endorsements] gives it out, to be stored
// beside an envelope for longer. It permits nothing.
//
// Symmetric keys have no public half, and nothing is wrapped under them offline:
// [Client.Encrypt] asks t+f holders, each of which adds to the item who asks, and believes
// what f+1 of them agree on. What it makes is an envelope like any other. To open it the
// sets of the key ([warifu.dev/sharing/tprf]) are shared out among the t nearest holders,
// each of which gives one sum; what one does not give is shared out among others. There is
// no proof of a sum: when an envelope does not open, every holder is asked for all it has,
// and only what has then opened shows who lied. If nothing opens nobody is blamed.
//
// [Client.EncryptInBranch] encrypts into a branch of a symmetric key: its key is asked for
// as the values of an item are, once, and then makes items without asking. What is of a
// branch opens by its branch key, which is kept, in memory alone, until the interval is
// over, and wiped then or by [Client.Close]; until then a revoke does not reach it.
//
// By a grant. Where the policy demands that people approve, [Granted] names what they
// approved. Each envelope takes one of its uses, and each holder keeps its own count:
// the client asks for the first use, and goes on to the one that holders offer.
//
// No node sees a data key, and neither does the network.
package client
