package authority

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// Subjects: what a [Revoke] or a [Seal] takes out of use.
const (
	SubjectPrincipal   = "principal"   // a SPIFFE ID, whatever certificate shows it
	SubjectCertificate = "certificate" // a public key, by SHA-256 of its SubjectPublicKeyInfo, wherever in a chain it stands
	SubjectKey         = "key"         // a threshold key in all its versions, by key id
	SubjectCA          = "ca"          // an authority for applications, by its name in the ledger
	SubjectGrant       = "grant"       // a grant, by its id
	SubjectNode        = "node"        // what one node releases, by node id; sealed, never revoked
	SubjectCluster     = "cluster"     // what any node releases; sealed, never revoked
	SubjectKeyState    = "key-state"   // a threshold key, by key id, while its state, or its end, forbids releases; see [KeyStateChange] and [KeyDestroy]
)

// ErrRevoke is returned, wrapped, for a revoke, a lift or a seal that names nothing
// that there could be.
var ErrRevoke = errors.New("not a usable revoke, lift or seal")

// SPKIHash names a public key by its SubjectPublicKeyInfo in DER (RFC 5280,
// section 4.1.2.7), whatever certificate it is shown in.
func SPKIHash(spki []byte) api.Digest { return sha256.Sum256(spki) }

// Subject is what is denied: one kind and one spelling for each.
type Subject struct {
	Kind string `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint,omitempty"` // by kind: SPIFFE ID, 64 hexadecimal digits, name; empty for the cluster
}

func (s Subject) String() string {
	if s.Name == "" {
		return s.Kind
	}
	return s.Kind + " " + s.Name
}

// Revoke denies every request that its subject has a part in, until a [Lift]
// names the change that carries it.
type Revoke struct {
	Subject Subject `cbor:"1,keyasint"`
}

// Seal denies every release by a node, or by all of them, until a [Lift] names
// the change that carries it. It is for emergencies, so fewer may be required to
// sign it than to lift it.
type Seal struct {
	Subject Subject `cbor:"1,keyasint"`
}

// Lift ends what one revoke or seal denies, whether or not the ledger has taken it
// yet: its id is never taken afterwards.
type Lift struct {
	Lifts api.Digest `cbor:"1,keyasint"` // id of the change that carries the revoke or the seal
}

// ParseDenial reads what a change of the kind [KindRevoke] or [KindSeal] denies, or one
// of the kind [KindKeyState] that stops a key, or of the kind [KindKeyDestroy]. Failures wrap [ErrRevoke].
func ParseDenial(c *Change) (Subject, error) {
	var s Subject
	switch c.Kind {
	case KindRevoke:
		var r Revoke
		if err := wire.Decode(c.Body, &r); err != nil {
			return Subject{}, fmt.Errorf("%w: %w", ErrRevoke, err)
		}
		s = r.Subject
	case KindSeal:
		var r Seal
		if err := wire.Decode(c.Body, &r); err != nil {
			return Subject{}, fmt.Errorf("%w: %w", ErrRevoke, err)
		}
		s = r.Subject
	case KindKeyState:
		k, err := ParseKeyState(c)
		if err != nil {
			return Subject{}, fmt.Errorf("%w: %w", ErrRevoke, err)
		}
		if k.To.Unwraps() {
			return Subject{}, fmt.Errorf("%w: a key that is %s releases", ErrRevoke, k.To)
		}
		s = Subject{Kind: SubjectKeyState, Name: k.Key.String()}
	case KindKeyDestroy:
		k, err := ParseKeyDestroy(c)
		if err != nil {
			return Subject{}, fmt.Errorf("%w: %w", ErrRevoke, err)
		}
		s = Subject{Kind: SubjectKeyState, Name: k.Key.String()}
	default:
		return Subject{}, fmt.Errorf("%w: a change of the kind %q denies nothing", ErrRevoke, c.Kind)
	}
	if !c.Base.IsZero() {
		return Subject{}, fmt.Errorf("%w: a %s replaces nothing", ErrRevoke, c.Kind)
	}
	if sealed := s.Kind == SubjectNode || s.Kind == SubjectCluster; sealed != (c.Kind == KindSeal) {
		return Subject{}, fmt.Errorf("%w: a %s of the kind %.20q", ErrRevoke, c.Kind, s.Kind)
	}
	if stops := s.Kind == SubjectKeyState; stops != (c.Kind == KindKeyState || c.Kind == KindKeyDestroy) {
		return Subject{}, fmt.Errorf("%w: a %s of the kind %.20q", ErrRevoke, c.Kind, s.Kind)
	}
	return s, s.Check()
}

// Check says whether the subject's name is one that its kind can have.
func (s Subject) Check() error {
	var err error
	switch s.Kind {
	case SubjectPrincipal:
		err = api.CheckPrincipal(s.Name)
	case SubjectCertificate, SubjectKey, SubjectGrant, SubjectKeyState:
		_, err = api.ParseDigest(s.Name)
	case SubjectCA, SubjectNode:
		err = api.CheckName(s.Name)
	case SubjectCluster:
		if s.Name != "" {
			err = fmt.Errorf("the cluster has no name: %.20q", s.Name)
		}
	default:
		err = fmt.Errorf("there are no subjects of the kind %.20q", s.Kind)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRevoke, err)
	}
	return nil
}

// ParseLift reads which change a change of the kind [KindLift] lifts. Failures
// wrap [ErrRevoke].
func ParseLift(c *Change) (api.Digest, error) {
	var l Lift
	if err := wire.Decode(c.Body, &l); err != nil {
		return api.Digest{}, fmt.Errorf("%w: %w", ErrRevoke, err)
	}
	switch {
	case c.Kind != KindLift:
		return api.Digest{}, fmt.Errorf("%w: a change of the kind %q lifts nothing", ErrRevoke, c.Kind)
	case !c.Base.IsZero():
		return api.Digest{}, fmt.Errorf("%w: a lift replaces nothing", ErrRevoke)
	case l.Lifts.IsZero():
		return api.Digest{}, fmt.Errorf("%w: it names no id", ErrRevoke)
	}
	return l.Lifts, nil
}
