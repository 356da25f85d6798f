// Package hsm says what a sealing device is.
//
// A device holds AES-256 keys that never leave it and seals small blobs under
// them. That is all warifu asks of an HSM: what rests on a node's disk opens
// only with the device, and destroying a sealing key kills every blob sealed
// under it, in every backup.
//
// It promises: a sealed blob opens with the key of its label and the same
// associated data, or not at all; a key is there after [Device.CreateKey]
// returned, and gone for good after [Device.DestroyKey] returned; a wrong PIN
// is tried once and never again, since tokens lock themselves.
//
// It leaves to others: which labels exist (one per generation of a node's
// seal), what the associated data says, and when a key must die.
//
// It trusts the device to keep its keys to itself. [Device.Check] reads the
// templates of the keys and refuses those that the device was told to hand out
// (Bortolozzo, Centenaro, Focardi, Steel: "Attacking and fixing PKCS#11
// security tokens", CCS 2010); it cannot see a copy of the whole token.
//
// A token may also hold the key pairs of a person who signs and opens with it: see
// [Pairs].
//
// hsm/pkcs11 is the real device, hsm/soft stands in for it where there is none
// and protects nothing. Both pass hsm/hsmtest.
package hsm
