// Package pkcs11 is the sealing device of a real HSM, spoken to by PKCS#11
// v2.40 (OASIS, PKCS #11 Cryptographic Token Interface Base Specification).
//
// One goroutine owns a token and makes every call to it: modules that claim to
// be safe for threads die under concurrency (SoftHSM 2.6.1 with a SIGSEGV), and
// a session holds one operation at a time. Callers hand their requests to the
// owner and wait. Two devices on one module take turns, for the same reason.
//
// A session that died (token pulled and put back, device reset, logged out
// behind our back) is replaced once by a new one with a new log-in, and the
// call is repeated; if that fails too the call returns hsm.ErrDevice and the
// next call tries again. A PIN that the token refuses is never tried again.
//
// Sealing keys are token objects labelled "warifu/" and the label. Their template is
// in template.go; it is checked when a key is made and by Check.
//
// [OpenPairs] opens a token for the key pairs of a person, such as a custodian: P-256
// keys labelled "warifu/", their use, "/" and the label, that sign (CKM_ECDSA) or
// exchange keys (CKM_ECDH1_DERIVE), never both. Their templates are checked whenever
// they are looked for.
//
// What Go and the C library under it cannot promise is not promised: the PIN
// and the plaintexts pass through C memory that is freed without being wiped.
//
// Without cgo the package builds, and Open and OpenPairs return hsm.ErrModule.
package pkcs11
