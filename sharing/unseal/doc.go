// Package unseal is the arithmetic of a seal that custodians open.
//
// A node draws 32 random bytes, its unseal secret, and puts its root share under it
// before the HSM seals both. The secret is split, any m of the k custodians give it
// back (Shamir over GF(2^8), vault/shamir), and each piece is encrypted to its
// custodian. What all of this leaves in public is a [Lock]: commitments and boxes.
//
//	node       Split ──▶ Lock, into the ledger; then the seal is written
//	custodian  Lock.Open ──▶ its piece ──▶ HandOver to a door that the node signed
//	node       Door.Receive ──▶ check against the Lock ──▶ Combine ──▶ the secret
//
// A [Seal] names whose seal, and which: cluster, node and generation. It is in every
// commitment, box and hand-over, so a piece of another node, of another
// generation, or handed over in another attempt, fits nowhere.
//
// The secret is uniform, and so is each piece: their commitments need no salt.
package unseal
