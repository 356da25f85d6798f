// Package auditor takes the audits of all nodes into one folder, and answers
// questions from that folder alone, without asking anybody.
//
// # The folder
//
//	DIR/genesis        the genesis document, as its custodians signed it
//	DIR/chain          every change of custodians and roster since, base64 a line
//	DIR/export         what was asked for and what became of it, a [Manifest]
//	DIR/anchors        what nodes signed into the ledger about their audits, base64 a line
//	DIR/keys           the key records that their holders signed, base64 a line
//	DIR/nodes/ID/      the copy of one node's log, see [audit.Copy]
//
// [Take] asks the nodes of today's roster. A node that has left cannot be asked: its log is
// there if an export took it before, and is named as missing otherwise.
//
// [Take] fills it, page by page, and goes on where it broke off; once more at any
// later time takes what has come since. A node that is down is named in the
// manifest, and the export is incomplete. The records of the nodes hold every change
// that custodians signed and the ledger took, whole, with its index and ledger time;
// of those the export takes all, also from before the time that it is asked for.
//
// # What is believed
//
// Nothing but the hash of the genesis document. It gives the custodians and the
// nodes' keys, and those who came later are in a chain of changes that custodians signed,
// whose end the logs are held against; each record is under its node's signed checkpoint, each change under
// custodians' signatures, each key record under its holders'. A node that lies can
// leave records out of its log before it signs them, and put false ones in: that is
// why t logs tell of each release, and every log of each change. What only some of
// them say is said so.
//
// Whoever has the folder can cut the end of a log together with its checkpoint and
// anchors. Only what was kept elsewhere shows that: a checkpoint, or an older export.
// Without any the report says that the tail is not checked.
package auditor
