// Package certificate is the erasure certificate of a key: what shows, to whoever has
// the file and the hash of the genesis document, that a key was destroyed.
//
// A certificate has two halves. The evidence is what nodes and custodians signed: the
// order, the receipts, and a proof that leads from them to a link of the chain that at
// least t nodes vouch for, with the genesis document and every change of custodians and
// roster since. The words are worked out of the evidence, and of nothing else: [Verify]
// works them out again, and takes no certificate whose words are others.
//
// It does not claim more than there is. A key counts as gone when, for every epoch that
// ever lived, more than h - t of the holders have signed that they erased; receipts that
// are missing are named, and so is what no receipt can tell: copies of tokens, and what
// was wrapped, since wrapping asks nobody.
package certificate
