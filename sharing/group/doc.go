// Package group is the one door to P-256: its scalars, its points, and the
// strict decoder that stands in front of every other library.
//
// Arithmetic is filippo.io/nistec and filippo.io/bigmod. Scalars are always 32
// bytes, big-endian, below the group order q, and every operation on them is
// constant time. Operations on points are constant time unless their comment
// says otherwise.
//
// What comes from outside enters through four functions. [DecodePoint] and
// [DecodeCompressed] take exactly 65 and 33 bytes, on the curve, with reduced
// coordinates, never the identity. [DecodeScalar] and [DecodeNonZeroScalar] take
// exactly 32 bytes below q. What they accept encodes again to the same bytes, so
// one value has one encoding.
//
// Hashing to the curve (RFC 9380) is cloudflare/circl's, for public values only,
// and held to the vectors of the RFC: it makes one constant, the second generator.
// So is the hash to a scalar of RFC 9497. No secret meets circl or its math/big.
//
// A [Scalar] never prints. A [Point] is public and never changes, so it may be
// shared between goroutines.
package group
