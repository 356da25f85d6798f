// Package ops is what a node shows to the operator of its own machine: whether
// the process lives, whether the node is ready and if not why, and its numbers.
//
// It listens on a loopback address of its own and nowhere else, and only if the
// node's configuration names one. It asks nobody who they are: so it shows nothing
// that names a principal, a key, a request or a secret, and changes nothing. Every
// label has a small set of values that our own code chooses.
//
// Numbers of the moment are asked for at each scrape. What happens between two of
// them is counted in [Meters], whether anybody listens or not.
package ops
