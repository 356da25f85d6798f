package agefile

import (
	"crypto/rand"
	"fmt"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// Recipient encrypts files to a threshold key, under one context, offline.
type Recipient struct {
	key     *client.Key
	context api.Context
}

var _ age.Recipient = (*Recipient)(nil)

// NewRecipient returns a recipient. The context may be empty; it is checked here
// against its bounds ([api.ErrContext]).
func NewRecipient(key *client.Key, context api.Context) (*Recipient, error) {
	if err := context.Check(); err != nil {
		return nil, err
	}
	return &Recipient{key: key, context: context}, nil
}

// Wrap implements [age.Recipient].
func (r *Recipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	if len(fileKey) != fileKeySize {
		return nil, fmt.Errorf("wrap a file key of %d bytes: it has %d", len(fileKey), fileKeySize)
	}
	dek := secret.Clone(fileKey)
	defer dek.Wipe()
	envelope, err := r.key.Wrap(rand.Reader, r.context, dek)
	if err != nil {
		return nil, err
	}
	return []*age.Stanza{Stanza{Context: r.context, Envelope: envelope}.Age()}, nil
}
