package ledger

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/tag"
)

// MaxDenialsOfOne bounds the revokes, or seals, of one subject that are in force
// at once: each has to be lifted, and the first already denies everything.
const MaxDenialsOfOne = 16

// Reasons for which a revoke, a seal or a lift is a no-op.
var (
	// ErrLifted means a lift named the id before: it is never taken any more.
	ErrLifted = errors.New("this id was lifted, and is never taken again")
	// ErrTooMany means that as many denials of the subject as there may be are in force.
	ErrTooMany = errors.New("the subject is denied as often as it may be")
	// ErrNoDenial means that the change a lift names is taken, and denies nothing.
	ErrNoDenial = errors.New("the change is neither a revoke nor a seal")
)

// Denial is a revoke or a seal that was taken.
type Denial struct {
	Change  api.Digest        `cbor:"1,keyasint"`
	Subject authority.Subject `cbor:"2,keyasint"`
	Index   uint64            `cbor:"3,keyasint"`
}

// Lifted remembers the id that a lift named, for ever.
type Lifted struct {
	Lift  api.Digest `cbor:"1,keyasint"` // the change that carries the lift
	Index uint64     `cbor:"2,keyasint"`
}

// revoked lists what denies a subject: ids of changes, in the order in which they
// were taken.
type revoked struct {
	By []api.Digest `cbor:"1,keyasint,omitempty"`
}

func (v *Denial) digest() api.Digest  { return digestOf(v) }
func (v *Lifted) digest() api.Digest  { return digestOf(v) }
func (v *revoked) digest() api.Digest { return digestOf(v) }

func revokedPath(s authority.Subject) string { return pathRevoked + s.Kind + "/" + s.Name }

func appendRevokedPath(b []byte, s *authority.Subject) []byte {
	return append(append(append(append(b, pathRevoked...), s.Kind...), '/'), s.Name...)
}

// Revoked returns the id of a change that denies one of these subjects, if there
// is one.
func (s *State) Revoked(subjects ...authority.Subject) (by api.Digest, is bool) {
	var few [pathRoom]byte
	for i := range subjects {
		sub := &subjects[i]
		if r := find[*revoked](s, appendRevokedPath(few[:0], sub)); r != nil && len(r.By) > 0 {
			return r.By[0], true
		}
		if s.beside != nil {
			if by, is := s.beside.denies[*sub]; is {
				return by, true
			}
		}
	}
	return api.Digest{}, false
}

// beside is what [State.Denying] adds.
type beside struct {
	denies map[authority.Subject]api.Digest
	trust  api.Digest // identifies the set of CAs that is left
}

// DenialBy returns the revoke or the seal that a change carries, lifted or not,
// or nil when it was not taken.
func (s *State) DenialBy(id api.Digest) *Denial { return get[*Denial](s, pathDenial+id.String()) }

// LiftOf returns what lifted an id, or nil.
func (s *State) LiftOf(id api.Digest) *Lifted { return get[*Lifted](s, pathLifted+id.String()) }

// Denies says which change an entry carries if it is one that denies: signed by
// those who may, usable, not expired, and of a key that can be stopped so. It does not ask whether it was taken, or
// lifted.
func (s *State) Denies(entry []byte) (id api.Digest, sub authority.Subject, err error) {
	e, err := authority.ParseEntry(entry)
	if err != nil {
		return api.Digest{}, authority.Subject{}, err
	}
	if e.Kind != authority.KindRevoke && e.Kind != authority.KindSeal && e.Kind != authority.KindKeyState && e.Kind != authority.KindKeyDestroy {
		return api.Digest{}, authority.Subject{}, fmt.Errorf("%w: %w", authority.ErrRevoke, ErrNoDenial)
	}
	c, err := authority.VerifyChange(s.Custody(), e)
	if err != nil {
		return api.Digest{}, authority.Subject{}, err
	}
	if sub, err = s.parseDenial(c); err != nil {
		return api.Digest{}, authority.Subject{}, err
	}
	if sub.Kind == authority.SubjectKeyState && s.DenialBy(e.ID()) == nil {
		if err := s.mayStop(c); err != nil {
			return api.Digest{}, authority.Subject{}, err
		}
	}
	if s.Time() > c.NotAfter {
		return api.Digest{}, authority.Subject{}, fmt.Errorf("%w: not after %d, ledger time is %d", ErrExpired, c.NotAfter, s.Time())
	}
	if p := s.Proposal(e.ID()); p != nil && p.State == ProposalCancelled {
		return api.Digest{}, authority.Subject{}, ErrCancelled
	}
	return e.ID(), sub, nil
}

// DeniedBy says what an entry that Denies once accepted denies. Signatures and
// expiry are not looked at again.
func (s *State) DeniedBy(entry []byte) (authority.Subject, error) {
	e, err := authority.ParseEntry(entry)
	if err != nil {
		return authority.Subject{}, err
	}
	c, err := authority.ParseChange(e)
	if err != nil {
		return authority.Subject{}, err
	}
	return s.parseDenial(c)
}

// parseDenial also refuses to seal a node that is not there.
func (s *State) parseDenial(c *authority.Change) (authority.Subject, error) {
	sub, err := authority.ParseDenial(c)
	if err != nil {
		return authority.Subject{}, err
	}
	if sub.Kind == authority.SubjectNode && s.NodeByID(sub.Name) == nil {
		return authority.Subject{}, fmt.Errorf("%w: %s is not on the roster", authority.ErrRevoke, sub.Name)
	}
	return sub, nil
}

// Denying is the state with what these entries deny beside it: refusals that are
// no part of its content, its root or its chain, and that Apply does not carry on.
// It denies also what is lifted in this state, which may be a tail: a lift counts
// when it is committed, and then nobody keeps the entry any more. With no entries
// it is s itself.
func (s *State) Denying(entries map[api.Digest]authority.Subject) *State {
	if len(entries) == 0 {
		return s
	}
	denies := map[authority.Subject]api.Digest{}
	var trust [][]byte
	for id, sub := range entries {
		denies[sub] = id
		if movesTrust(sub) {
			trust = append(trust, id[:])
		}
	}
	next := *s
	next.beside = &beside{denies: denies, trust: s.lastCA}
	if len(trust) > 0 {
		slices.SortFunc(trust, bytes.Compare)
		next.beside.trust = tag.Hash(tag.TrustAt, append([][]byte{s.lastCA[:]}, trust...)...)
	}
	return &next
}

// movesTrust says whether a denial changes which certificates lead to a CA in force.
func movesTrust(sub authority.Subject) bool {
	return sub.Kind == authority.SubjectCA || sub.Kind == authority.SubjectCertificate
}

// TrustedCAs lists the certificates of the authorities in force that are not
// revoked, by name or by key.
func (s *State) TrustedCAs() []*x509.Certificate {
	var out []*x509.Certificate
	for _, ca := range s.CAs() {
		cert, err := x509.ParseCertificate(ca.CA.Certificate)
		if err != nil {
			continue // the ledger does not parse certificates
		}
		if _, is := s.Revoked(authority.Subject{Kind: authority.SubjectCA, Name: ca.CA.Name}, CertificateSubject(cert)); !is {
			out = append(out, cert)
		}
	}
	return out
}

// CertificateSubject is the subject of a revoke that a certificate's key would be.
func CertificateSubject(c *x509.Certificate) authority.Subject {
	return authority.Subject{Kind: authority.SubjectCertificate, Name: authority.SPKIHash(c.RawSubjectPublicKeyInfo).String()}
}

// takeDenial puts a revoke or a seal in force.
func (s *State) takeDenial(d *draft, index uint64, c *authority.Change, id api.Digest) error {
	sub, err := s.parseDenial(c)
	if err != nil {
		return err
	}
	if s.LiftOf(id) != nil {
		return ErrLifted
	}
	var by []api.Digest
	if r := get[*revoked](s, revokedPath(sub)); r != nil {
		by = r.By
	}
	if len(by) >= MaxDenialsOfOne {
		return fmt.Errorf("%w: %s, by %d changes", ErrTooMany, sub, len(by))
	}
	d.put(revokedPath(sub), &revoked{By: append(slices.Clone(by), id)})
	d.put(pathDenial+id.String(), &Denial{Change: id, Subject: sub, Index: index})
	if movesTrust(sub) {
		d.s.lastCA = id
	}
	return nil
}

// takeLift ends what an id denies, also when the id was not taken yet: nodes may
// keep what was handed to them and never ordered.
func (s *State) takeLift(d *draft, index uint64, c *authority.Change, id api.Digest) error {
	lifts, err := authority.ParseLift(c)
	if err != nil {
		return err
	}
	if s.LiftOf(lifts) != nil {
		return ErrLifted
	}
	denial := s.DenialBy(lifts)
	if denial == nil && s.Taken(lifts) != nil {
		return fmt.Errorf("%w: %s", ErrNoDenial, lifts)
	}
	switch {
	case denial == nil:
		d.put(pathLifted+lifts.String(), &Lifted{Lift: id, Index: index})
		return nil
	case denial.Subject.Kind == authority.SubjectKeyState:
		return ErrByState
	case movesTrust(denial.Subject):
		d.s.lastCA = id
	}
	s.endDenial(d, index, denial, id)
	return nil
}
