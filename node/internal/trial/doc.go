// Package trial makes what the tests of node's rooms need: a signed genesis with
// every private key behind it, a ledger that takes entries at once, and keys that
// were born on its board. Here the keys of a whole cluster lie in one process,
// which is what warifu exists to avoid; only tests import this package.
package trial
