// Package opening is a custodian's opening key, as what is encrypted to it and as
// what opens it.
//
// The key of a custodian file is an age X25519 key, "age1...". That of a token is a
// P-256 key, "age1tag1...": its private half stays in the token, which is only ever
// asked for one Diffie-Hellman point at a time. Both are recipients of plain age files.
//
// It trusts whoever holds the private half to answer with the true point; a false one
// opens nothing.
package opening
