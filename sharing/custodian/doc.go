// Package custodian is what one holder of authority keeps: two keys, in one file or in
// one token.
//
// The signing key (ECDSA P-256) signs births, policies and orders. The opening
// key (an age X25519 identity in a file, a P-256 one in a token) opens what is encrypted
// to this custodian. Their public halves stand in genesis; this package gives them as
// plain values and knows nothing of genesis itself.
//
// A token is whatever signs and exchanges keys without giving them: see [InToken], and
// hsm/pkcs11 for one.
//
// The file is an armored age file under a passphrase (scrypt), so that it can be
// mailed, printed, and opened with age alone the day this program is lost. The
// work that reading may cost is bounded: a hostile file is refused, it does not
// burn minutes.
//
// Nothing here reads a clock, a file or a terminal.
package custodian
