// Package home reads a client's home directory: which cluster it trusts, and as
// whom it calls.
//
//	settings.json  which hash the genesis document must have, and where the client is,
//	               and which of its machine's addresses it calls from
//	genesis        the document, as handed out
//	identity.crt   the application's certificate chain, PEM; may be missing
//	identity.key   its key, PEM, 0600
//	custodians     the changes that replaced custodians since; may be missing
//	addresses      where nodes said that they are, when they were asked last; may be missing
//	records/ID     key records that were kept, so that wrapping needs no cluster
//	records/ID.life  what custodians have said of the key's state and labels; may be missing
//
// It is $WARIFU_HOME, or ~/.config/warifu. `warifu client init` writes it, and
// warifu adds the records that it asked for; age-plugin-warifu reads it. All trust is in the hash: the genesis
// document is believed if it has that hash and enough signatures, later custodians if
// those before them signed for them, and a record if genesis says so, whoever put the
// files there.
package home
