// Command warifu is the command line of operators, custodians, users and
// auditors. It is thin: each verb reads its flags, calls one room, and says what
// came of it.
//
// # Where things lie
//
//	main.go, root.go       from arguments to an exit code
//	exitcode.go            every exit code, and which error gets which
//	args.go                what is refused as a wrong command line
//	output.go              tables, JSON, and text that a terminal cannot be hurt by
//	streams.go             data in and out: a file, stdin, stdout
//	localfile.go           files: private ones, new ones, replaced ones, never half of one
//	system_*.go            what differs from one operating system to another
//	passphrase.go          secrets from a file or a terminal without echo, never from a flag
//	home.go, connect.go    what a client knows, and as whom it calls
//	record.go              key records: saved, kept at home, or asked for once
//	lookalike.go           what is written out, because it looks like something else
//	against.go, diff.go    a new policy beside the one it replaces
//	change.go, words.go    the object of authority: made, shown in words, signed, submitted
//	propose.go, approve.go the same collected in the ledger, vote by vote
//	custody.go             who the custodians are, and who they will be
//	token.go               a custodian whose keys are in a PKCS#11 token
//	passwd.go              a custodian's keys under another passphrase, in place or as a copy
//	the others             one file for each noun on the command line
//
// # Whatever changes the cluster is a change
//
// `policy put`, `ca put` and `key create` change nothing. They write a file that
// custodians read back in words and sign on their own machines, and that anyone
// may then submit: its signatures are what authorises it. `propose` takes the same
// and puts the change before the custodians in the ledger; `approve` adds a signature
// over the same bytes there.
//
// # Files
//
// A file that exists is never overwritten without being asked to. What is
// written appears under its name when it is complete and synced, or not at all.
// Secrets are 0600 whatever the umask; a looser one is refused on reading (R27).
// On Windows, where a file has no such mode, a secret is as private as the folder
// it is put in, and nothing is checked.
package main
