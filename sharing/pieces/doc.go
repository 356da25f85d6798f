// Package pieces splits a short secret into pieces, any m of which give it back,
// for people without a cluster: a recovery code, a passphrase, a seed.
//
// The sharing is Shamir's over GF(2^8), by vault/shamir. Alone it says nothing when
// a piece is wrong: it gives other bytes. So each piece carries a commitment to
// itself and its place in a Merkle tree (RFC 6962) over all of them, and a
// commitment to the secret: a piece that is altered, of another set, or given
// twice is refused on arrival, by name, and what is combined is what was split.
// Commitments are salted, or a short secret could be guessed from them; the salts
// are in the pieces.
//
// Fewer than m pieces say nothing of the secret but its length.
//
// This is not how a cluster shares its keys: here the secret is whole when it is
// split, and when it is combined.
package pieces
