// Package wire is the one encoding of everything that is signed, stored or
// sent: CBOR, Core Deterministic (RFC 8949, section 4.2.1), decoded strictly.
//
// Decoding refuses what a second encoder could have written differently:
// unknown fields, duplicate keys, indefinite lengths, tags, trailing bytes and
// non-canonical forms. So bytes that decode are the bytes that were signed.
//
// What crosses the wire with every request writes and reads itself, in the same encoding:
// see [Writer].
package wire
