// Package schedule is one vocabulary of faults, and random stories told in it.
//
// A [Fault] is a value: what happens, to whom, for how long. A [Target] makes it
// happen: a simulated cluster of package warifutest, or real processes of package
// bench/cluster. A target that cannot do a kind refuses it by name ([ErrKind]).
//
// [Play] draws faults from a [Generator] and inflicts them, overlapping, on any
// number of nodes, majorities included, until enough of them have fired. A fault
// has fired when it met something: a cut dropped a packet, a slow disk slowed a
// sync. What met nothing is counted as planned alone.
package schedule
