package agefile

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
)

// Unwrapper opens one envelope, as *[warifu.dev/client.Client] does. It is asked
// for one envelope at a time.
type Unwrapper interface {
	Unwrap(ctx context.Context, envelope []byte, context api.Context, reason string) (secret.Bytes, error)
}

// maxStanzas bounds our stanzas in one header: each may cost a question to a
// quorum, and who wrote the file chose their number.
const maxStanzas = 8

// ErrFileKey means that an envelope opened, and holds no file key of age.
var ErrFileKey = errors.New("the envelope does not hold an age file key")

// Identity decrypts files by asking a quorum.
type Identity struct {
	ctx    context.Context // age's interface has no place for it
	from   Unwrapper
	reason string
}

var _ age.Identity = (*Identity)(nil)

// NewIdentity returns an identity for the files decrypted while ctx lasts. reason
// is what the caller states for the audit.
func NewIdentity(ctx context.Context, from Unwrapper, reason string) *Identity {
	return &Identity{ctx: ctx, from: from, reason: reason}
}

// Unwrap implements [age.Identity]. A header without a stanza of ours is
// [age.ErrIncorrectIdentity]; a malformed one is an [ErrStanza], whatever else is
// there. Of several, the first that opens serves; if none does, each failure is told.
func (i *Identity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	var ours []Stanza
	for _, s := range stanzas {
		if s.Type != StanzaType {
			continue
		}
		if len(ours) == maxStanzas {
			return nil, fmt.Errorf("%w: there are more than %d", ErrStanza, maxStanzas)
		}
		parsed, err := Parse(s)
		if err != nil {
			return nil, err
		}
		ours = append(ours, parsed)
	}
	if len(ours) == 0 {
		return nil, age.ErrIncorrectIdentity
	}
	var failures error
	for _, s := range ours {
		fileKey, err := i.from.Unwrap(i.ctx, s.Envelope, s.Context, i.reason)
		if err != nil {
			failures = errors.Join(failures, err)
			continue
		}
		if fileKey.Len() != fileKeySize {
			fileKey.Wipe()
			failures = errors.Join(failures, fmt.Errorf("%w: it holds %d bytes", ErrFileKey, fileKey.Len()))
			continue
		}
		return fileKey.Reveal(), nil
	}
	return nil, failures
}
