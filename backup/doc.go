// Package backup copies what may be copied of a node's directory into one file, and
// verifies such a file.
//
// A backup is for reading, and never for running. It has the node's audit, the ledger
// as its last snapshot has it, the genesis document, and the node's identity and shares
// as its token sealed them. Without that token, and its PIN, nothing opens them; and once
// shares are erased, the HSM key that sealed them is destroyed, and the sealed store of
// every backup made before is dead.
//
// What a node has voted for, promised and released is not in it: Raft's log, the floor,
// the denies, the uses of grants. A node that was put back would have forgotten them, so
// it refuses to start (R46): a node whose disk is lost is replaced. PIN files and
// soft tokens are not in it either.
//
// The file is a tar archive. What is in it comes first, then the manifest:
//
//	genesis, roster-line, node.toml, identity.sealed; chain, if there is one
//	seal/...                what the token sealed
//	raft/snapshot           if there is one
//	audit/...               its checkpoint, then records, then hashes
//	MANIFEST.json           the length and SHA-256 of each of them
//
// It can be made while the node runs. Each file of the sealed store is of the same
// moment; the audit's checkpoint is taken before its records, so that the records may be
// ahead of it and never behind. The sums show damage. They keep nobody from making
// another backup: what that would have to get past is in the audit's own signatures.
package backup
