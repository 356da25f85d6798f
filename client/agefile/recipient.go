package agefile

import (
	"crypto/rand"
	"fmt"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// Recipient encrypts files to a threshold key, under one context.
type Recipient struct {
	wrap    func(context api.Context, fileKey secret.Bytes) ([]byte, error)
	context api.Context
}

var _ age.Recipient = (*Recipient)(nil)

// NewRecipient returns a recipient that calls nobody; a symmetric key, which cannot do
// that, it refuses when a file is encrypted. The context may be empty; it is checked here
// against its bounds ([api.ErrContext]).
func NewRecipient(key *client.Key, context api.Context) (*Recipient, error) {
	return NewRecipientBy(context, func(context api.Context, fileKey secret.Bytes) ([]byte, error) {
		return key.Wrap(rand.Reader, context, fileKey)
	})
}

// NewRecipientBy is [NewRecipient] with another way to make the envelope: that of a
// symmetric key, whose holders are asked.
func NewRecipientBy(context api.Context, wrap func(context api.Context, fileKey secret.Bytes) ([]byte, error)) (*Recipient, error) {
	if err := context.Check(); err != nil {
		return nil, err
	}
	return &Recipient{wrap: wrap, context: context}, nil
}

// Wrap implements [age.Recipient].
func (r *Recipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	if len(fileKey) != fileKeySize {
		return nil, fmt.Errorf("wrap a file key of %d bytes: it has %d", len(fileKey), fileKeySize)
	}
	dek := secret.Clone(fileKey)
	defer dek.Wipe()
	envelope, err := r.wrap(r.context, dek)
	if err != nil {
		return nil, err
	}
	return []*age.Stanza{Stanza{Context: r.context, Envelope: envelope}.Age()}, nil
}
