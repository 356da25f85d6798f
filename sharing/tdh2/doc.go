// Package tdh2 wraps small secrets so that any t of h share holders open them,
// and none of the others can be blamed for it.
//
// It is TDH2 of Shoup and Gennaro ("Securing threshold cryptosystems against
// chosen ciphertext attack", 2001) over P-256, with the label that construction
// provides for. The walk of one secret, here a data key (DEK):
//
//	PublicKey ──Wrap(context, DEK)──▶ envelope          anyone, offline
//	envelope ──Parse──▶ Envelope ──Verify(context)──▶ VerifiedEnvelope
//	VerifiedEnvelope ──Partial(share)──▶ D_i = x_i·u    each of t nodes
//	VerifiedEnvelope + t partials ──Open──▶ DEK         the client
//
// A node computes a partial only from a [VerifiedEnvelope], so it cannot forget
// the check that makes TDH2 secure against chosen ciphertexts. The label binds
// cluster, key, version and the caller's canonical context. It never binds epoch
// or index: who wraps knows neither, and an envelope outlives every refresh.
//
// Opening is optimistic. t bare partials are combined with small Lagrange
// integers (the KEM point is Δ·r·Y, see [warifu.dev/sharing.Delta]) and the
// commitment in the envelope tells whether they were right. Only if it fails does
// the client ask for share proofs ([ProveShare], [VerifyShare]): a partial whose
// proof fails names its liar, and if all t proofs hold and [PublicKey.OpenProven]
// still fails, the envelope itself is corrupt and nobody is to blame.
//
// Nothing here is post-quantum: who records an envelope and later owns a quantum
// computer opens it. Nothing here reads a clock or a file; randomness is an
// argument, but for the nonce of AES-GCM, which the standard library draws and
// which is not what secrecy rests on, since every wrapping key is used once.
package tdh2
