// Package soft stands in for an HSM where there is none. It protects nothing:
// its keys are plain files, and whoever reads the disk or a backup of it opens
// every blob. Erasure is no better: a file that was overwritten and removed may
// live on in a snapshot, a journal or the spare blocks of an SSD.
//
// It is for trying warifu out and for tests. Open says so in the log, and a
// node that runs on it says so in its status. It keeps the contract of
// hsm.Device in everything else.
//
//	DIR          0700
//	  serial     0600  32 hex digits, random, made by the first Open
//	  HEX.key    0600  32 bytes, an AES-256 key; HEX is its label in hex
package soft
