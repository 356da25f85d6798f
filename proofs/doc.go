// Command proofs tries the promises of warifu, one line each, and shows that the
// trying is worth something: the same tests are run again with a fault planted,
// and must fail.
//
//	promise ──▶ its tests, fresh ─────────────────────▶ tried, failed
//	        └─▶ fault ─▶ overlay ─▶ one of those tests ─▶ caught, or not
//
// A fault is one edit of one source file. The file is copied, edited, and put in
// the place of the original by `go build -overlay`, so the tree is never touched
// and what is released has no switch for faults. The overlay goes through GOFLAGS:
// a daemon that a test builds has the fault too.
//
// A fault is caught when the named test fails and says what the table expects of
// it. An edit whose place is gone, code that does not build, a test that was not
// run: these are errors of this program, and count as not caught. A promise
// without faults is not built, whatever tests it has.
//
//	go run ./proofs            a table
//	go run ./proofs -o json    the same for machines
//	go run ./proofs P2 P6      these promises only
//	go run ./proofs -v         what each caught test said, too
//	go run ./proofs -long DIR  the table and every long run, with a page about each in DIR
//	go run ./proofs -long DIR fuzz   this long run only
//
// A long run is a command that counts what it did and says so in one line; the page
// quotes the line. One that does not say it has failed.
//
// It ends with 0 when every promise that is built held and every fault was caught.
package main
