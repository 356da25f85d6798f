// Package agefile makes a threshold key a recipient of age files, and a cluster
// their identity (age-encryption.org/v1).
//
// A file is an ordinary age file. One stanza of its header carries age's file key
// of 16 bytes, wrapped under the threshold key:
//
//	-> warifu CONTEXT
//	ENVELOPE
//
//	CONTEXT   the context's pairs as a CBOR map of texts, deterministic (RFC 8949,
//	          section 4.2.1), in unpadded standard base64, as age writes binary
//	          arguments. An empty context is "oA".
//	ENVELOPE  the body: the envelope, see sharing/tdh2 and, of a symmetric key,
//	          sharing/tprf. It names cluster, key and version, so that nothing else
//	          need be in the header.
//
// The context travels in the clear, and the envelope authenticates it: a file whose
// context was altered does not open. Each stanza has one spelling only.
//
// age itself reads and writes such files with the plugin age-plugin-warifu: a
// [Reference] names the key there.
//
// Encrypting needs the [client.Key] and no connection, unless the key is symmetric:
// [NewRecipientBy]. Decrypting asks a quorum
// through the interface [Unwrapper], which *[client.Client] satisfies.
package agefile
