package agefile

import (
	"errors"
	"fmt"

	"filippo.io/age/plugin"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// PluginName is how age finds the plugin: age-plugin-warifu on PATH.
const PluginName = "warifu"

// referenceFormat is the first byte of every [Reference] of this form.
const referenceFormat = 1

// ErrReference means that bytes do not name a key of a cluster.
var ErrReference = errors.New("not a warifu recipient")

// Reference names a key for age: as text it is a recipient, age1warifu1... .
//
//	 0   1  format, 1
//	 1  32  hash of the cluster's genesis document
//	33  32  key id
//	65      the context's pairs as in a stanza, CBOR; absent when empty
//
// It holds no public key, and so nobody can slip in another: who encrypts takes
// the key from a record that custodians ordered and holders signed, by this
// genesis. It names all versions of the key, the newest is wrapped under.
type Reference struct {
	Genesis api.Digest
	Key     api.KeyID
	Context api.Context
}

// ParseReference reads the data of a recipient. Failures wrap [ErrReference].
func ParseReference(data []byte) (Reference, error) {
	const fixed = 1 + 32 + 32
	if len(data) < fixed {
		return Reference{}, fmt.Errorf("%w: it has %d bytes, at least %d are in one", ErrReference, len(data), fixed)
	}
	if data[0] != referenceFormat {
		return Reference{}, fmt.Errorf("%w: its format is %d, this program reads %d", ErrReference, data[0], referenceFormat)
	}
	r := Reference{Genesis: api.Digest(data[1:33]), Key: api.KeyID(data[33:fixed])}
	if rest := data[fixed:]; len(rest) > 0 {
		if len(rest) > maxArgument {
			return Reference{}, fmt.Errorf("%w: a context of %d bytes", ErrReference, len(rest))
		}
		if err := wire.Decode(rest, &r.Context); err != nil {
			return Reference{}, fmt.Errorf("%w: its context: %w", ErrReference, err)
		}
		if err := r.Context.Check(); err != nil {
			return Reference{}, fmt.Errorf("%w: %w", ErrReference, err)
		}
		if len(r.Context) == 0 {
			return Reference{}, fmt.Errorf("%w: an empty context has no bytes", ErrReference)
		}
	}
	return r, nil
}

// Data returns the bytes of the reference, for [ParseReference].
func (r Reference) Data() []byte {
	b := append([]byte{referenceFormat}, r.Genesis[:]...)
	b = append(b, r.Key[:]...)
	if len(r.Context) > 0 {
		b = append(b, wire.Encode(r.Context)...)
	}
	return b
}

// String returns the recipient, for age -r.
func (r Reference) String() string { return plugin.EncodeRecipient(PluginName, r.Data()) }

// PluginIdentity is the one identity, for age -d -i: it stands for whoever the
// home directory calls as, and holds no secret.
func PluginIdentity() string { return plugin.EncodeIdentity(PluginName, nil) }
