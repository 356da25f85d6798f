// Package escrow is the arithmetic of a share that is sealed to custodians.
//
// A holder draws a fresh key, seals its share under it, and splits the key: any m of the
// k custodians give it back (Shamir over GF(2^8), vault/shamir), and each piece is
// encrypted to its custodian. What all of this makes in public is a [Sealed].
//
//	holder      Seal ──▶ Sealed, into the ledger
//	custodian   OpenPiece ──▶ its piece ──▶ HandOver to the custodian who opens
//	the opener  Receive ──▶ check against the Sealed ──▶ Open ──▶ the share
//
// A [Share] names whose share it is and by which order it was sealed. It is in every
// commitment, box, key and hand-over, so that nothing of it fits anywhere else: not at
// another index, not in another epoch, and not under another order.
//
// Whether what is sealed is the share, nobody can see from outside: who opens it holds it
// against the key's record. The fresh key is uniform, and so is each piece: their
// commitments need no salt.
//
// It is not how a seal is opened (sharing/unseal): that lives for one generation, and this
// for ever.
package escrow
