// Package audit is a node's Merkle log: what happened, in an order that cannot
// be changed behind the back of anyone who keeps one older checkpoint.
//
// # Promise
//
// [Log.Append] returns when its records are on disk and synced, or with an
// error, and then nothing that waited for them may leave the node. Callers that
// come together share one sync. A log that failed once never writes again in
// this process: the kernel may have dropped the pages it could not write, so a
// second sync that succeeds says nothing (PostgreSQL's fsync lesson of 2018).
// The node stops releasing, and reopens; opening verifies every record.
//
// # Files
//
//	DIR/lock               held while the log is open
//	DIR/records-00000000   segments, in order
//	DIR/checkpoint         the last checkpoint signed, a C2SP signed note
//	DIR/archived-00000000  in place of a segment that is elsewhere, see [Archive]
//	DIR/tile/0/000         hashes of the tree, in C2SP tlog-tiles of 256
//	DIR/reserve            room for the one record that says the disk is full
//
// A segment is a list of frames:
//
//	 4  n, length of the record, big-endian
//	 8  index of the record in the log, from 0
//	 8  index of the first record of the same commit (one write, one sync)
//	 n  the record, canonical CBOR
//	32  its leaf hash, RFC 6962 section 2.1: SHA-256(0x00 ‖ third field ‖ record)
//
// Length and index are held against the hash and the place, and the third field,
// which recovery after a crash goes by, is in the leaf with the record: no byte of
// a frame can change under a checkpoint.
//
// The root is RFC 6962's. Tiles are made from the leaf hashes and never hold more
// than they do. They are written after the answers, are not synced, and what is
// missing is made when the log is opened. A checkpoint's root says that a record
// was altered; the tiles, when they have that root, say which.
//
// # After a crash
//
// A commit starts only after the one before it was synced. So a bad frame with
// no later commit behind it is the torn end of a commit nobody was told about,
// and is cut. A bad frame with a later commit behind it, or below the last
// signed checkpoint, is damage: the log refuses to open and names the record.
//
// # Archive
//
// [Archive] moves closed segments to another directory: their records are under
// the signed checkpoint, and the hashes of these in full tiles, which stay and are
// synced first. A stub says which records are gone, and holds the newest one that
// tells how far the ledger was taken over, so that a node starts without its
// archive. Where records are not read the tree is made from the tiles, and must
// have the root of a signed checkpoint that covers them all; so a stub can hide a
// record, and never change one. A stub without its segment is only taken from the
// start of the log on, and never for its last segment. A segment that is put back
// counts, and its stub does not.
//
// # Copies
//
// [Copy] is a log on its way to an auditor, page by page: all hashes of the tree, and
// the records, of which the first may be left out. [VerifyCopy] holds the hashes
// against the signed checkpoint and each record against its hash, so that one that
// is altered, missing, moved or there twice is named by its index. Those that carry a
// whole ledger entry are found without reading the others, and are never left out.
//
// # Checkpoints
//
// A checkpoint is three lines (origin, size, root in base64) signed as a note.
// It covers synced records only. What is signed is the text itself, with ECDSA
// on P-256 and SHA-256; the text begins with the origin, every other thing a
// node signs begins with eight bytes of a count, so neither can stand for the
// other.
package audit
