package dkg

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// The birth of a symmetric key: a threshold pseudo-random function with replicated keys
// (Naor, Pinkas, Reingold 1999; see package tprf). For every set S of h-t+1 holders each
// member deals 32 random bytes to the other members, and
//
//	k_S = HKDF-SHA256(the contributions of QUAL∩S, in index order;
//	                  info = tag, cluster, key id, version, h, t, S)
//
// Of an import the only contribution is its owner's: see [SeedCommitment].
//
// What a member learns of k_S it may know; who is no member sees hashes of 32 random
// bytes each, and boxes that are not its own. Of t qualified dealers at least one is in
// every S, and of a set without a bad member all contributions are honest.

// ContributionSize is the length of what one member gives to the key of one set, and of
// its hash.
const ContributionSize = 32

// ErrSets means that a deal or a receipt does not speak of each of its author's sets, or
// that one speaks of sets where there are none.
var ErrSets = errors.New("dkg: not one for each set of the author")

// SymmetricKey names the symmetric key that is born in a session, or imported.
type SymmetricKey struct {
	Key     [32]byte
	Version uint32
	// Seed is what the order of an import says of the seed, [SeedCommitment]; zeros at a
	// birth.
	Seed [32]byte
}

// imported reports whether the key follows from its owner's seed.
func (k *SymmetricKey) imported() bool { return k != nil && k.Seed != [32]byte{} }

func (k *SymmetricKey) equal(o *SymmetricKey) bool {
	if k == nil || o == nil {
		return k == o
	}
	return *k == *o
}

// validateSymmetric holds what a symmetric birth demands beyond t, h and f: at most 9
// holders, one key, and no old epoch, since shares of a symmetric key are never made
// anew.
func (s Session) validateSymmetric() error {
	if err := tprf.CheckShape(s.params()); err != nil {
		return fmt.Errorf("check the session's shape: %w", err)
	}
	if s.N != 1 {
		return fmt.Errorf("check the session's shape: %d symmetric keys: %w", s.N, ErrBatch)
	}
	if s.Old != nil {
		return fmt.Errorf("check the session's shape: of a symmetric key: %w", ErrOld)
	}
	return nil
}

// PublicKeys is how many public keys come of the session: one for each key of its batch,
// and none of a symmetric key.
func (s Session) PublicKeys() int {
	if s.Symmetric != nil {
		return 0
	}
	return s.N
}

func (s Session) held(i sharing.Index) []tprf.Set { return tprf.Held(s.params(), i) }

// given lists the sets that a dealer contributes to, ascending: its own, and the owner of
// an import to all.
func (s Session) given(dealer sharing.Index) []tprf.Set {
	if s.Symmetric.imported() && s.Deals(dealer) {
		return tprf.Sets(s.params())
	}
	return s.held(dealer)
}

// gives reports whether the key of a set has a contribution of dealer.
func (s Session) gives(dealer sharing.Index, set tprf.Set) bool {
	return s.Symmetric.imported() || set.Has(dealer)
}

// sent lists the sets of which dealer sends its contributions to recipient, ascending:
// those that recipient is a member of.
func (s Session) sent(dealer, recipient sharing.Index) []tprf.Set {
	return slices.DeleteFunc(s.given(dealer), func(set tprf.Set) bool { return !set.Has(recipient) })
}

// contributionHash is what a dealer commits to: it names session, dealer and set. That of
// the owner of an import names no session, since the order was signed before.
func contributionHash(s Session, dealer sharing.Index, set tprf.Set, contribution []byte) [32]byte {
	if s.Symmetric.imported() {
		return seedPartHash(s.Cluster, s.params(), set, contribution)
	}
	return tag.Hash(tag.Contribution, s.bind(indexBytes(dealer), tag.Uint64(uint64(set)), contribution)...)
}

// checkSetDeal is [CheckDeal] at the birth of a symmetric key.
func checkSetDeal(s Session, dealer sharing.Index, commit *Commit, joins []*Join, d *Deal) (*Dealing, error) {
	given := s.given(dealer)
	if len(d.Commitments) != 1 || len(d.Commitments[0]) != len(given) || len(d.Proofs) != 0 { // R3
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, ErrSets)
	}
	out := &Dealing{sets: make(map[tprf.Set][]byte, len(given)), boxes: d.Boxes}
	for k, hash := range d.Commitments[0] {
		if len(hash) != ContributionSize {
			return nil, fmt.Errorf("check the deal of holder %d: a hash of %d bytes: %w", dealer, len(hash), ErrSets)
		}
		out.sets[given[k]] = hash
	}
	if CommitmentHash(s, dealer, d.Commitments) != commit.Hash {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, ErrCommitment)
	}
	if s.Symmetric.imported() && commitSeed(d.Commitments[0]) != s.Symmetric.Seed {
		return nil, fmt.Errorf("check the deal of an owner: %w", ErrKeyChanged)
	}
	if err := checkBoxes(s, dealer, joins, d.Boxes); err != nil {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, err)
	}
	return out, nil
}

// openContributions opens what dealer sent to recipient, and holds each contribution
// against the dealer's hash of it. ok is false, and the map nil, if anything is wrong.
func (d *Dealing) openContributions(s Session, dealer, recipient sharing.Index, sk hpke.PrivateKey) (list map[tprf.Set][]byte, ok bool) {
	plain, err := openBytes(s, dealer, recipient, sk, d.boxes[recipient-1])
	if err != nil {
		return nil, false
	}
	list = map[tprf.Set][]byte{}
	for k, set := range s.sent(dealer, recipient) {
		list[set] = plain[k*ContributionSize : (k+1)*ContributionSize]
		if hash := contributionHash(s, dealer, set, list[set]); !bytes.Equal(hash[:], d.sets[set]) {
			clear(plain)
			return nil, false
		}
	}
	return list, true
}

func wipeContributions(list map[tprf.Set][]byte) {
	for _, b := range list {
		clear(b)
	}
}

// setKey is k_S, of the contributions in the order of their dealers' indices (RFC 5869).
func setKey(s Session, set tprf.Set, contributions []byte) []byte {
	k := s.Symmetric
	info := tag.List(tag.SetKeyDerived, s.Cluster[:], k.Key[:], tag.Uint64(uint64(k.Version)), tag.Uint64(uint64(s.H)), tag.Uint64(uint64(s.T)), tag.Uint64(uint64(set)))
	key, err := hkdf.Key(sha256.New, contributions, nil, string(info), tprf.SetKeySize)
	if err != nil {
		panic("dkg: derive a set key: " + err.Error())
	}
	return key
}

// checkSets holds that a receipt has one hash for each of its author's sets. What they
// must be only the other members know: the board holds them against each other.
func (r *Receipt) checkSets(s Session, author sharing.Index) error {
	if len(r.Sets) != len(s.held(author)) || len(r.Proofs) != 0 { // R3
		return ErrSets
	}
	for _, hash := range r.Sets {
		if len(hash) != ContributionSize {
			return fmt.Errorf("a hash of %d bytes: %w", len(hash), ErrSets)
		}
	}
	return nil
}

// SetHashes returns what a receipt that passed [CheckReceipt] says of each of its
// author's sets.
func (r *Receipt) SetHashes(s Session, author sharing.Index) map[tprf.Set][32]byte {
	out := make(map[tprf.Set][32]byte, len(r.Sets))
	for k, set := range s.held(author) {
		out[set] = [32]byte(r.Sets[k])
	}
	return out
}

// givenSets lists the sets that we contribute to; none of an import that is not ours.
func (p *Participant) givenSets() []tprf.Set {
	if !p.session.Deals(p.me) {
		return nil
	}
	return p.session.given(p.me)
}

// own is our contribution to a set.
func (p *Participant) own(set tprf.Set) []byte {
	k := slices.Index(p.session.given(p.me), set)
	return p.sets.Reveal()[k*ContributionSize : (k+1)*ContributionSize]
}

// setCommitments are the hashes of our contributions, as a deal carries them.
func (p *Participant) setCommitments() [][][]byte {
	var list [][]byte
	for _, set := range p.session.given(p.me) {
		hash := contributionHash(p.session, p.me, set, p.own(set))
		list = append(list, hash[:])
	}
	return [][][]byte{list}
}

// setBox seals all that we give to the sets that recipient is in: in one box, so that a
// complaint settles it together (R43).
func (p *Participant) setBox(recipient sharing.Index, receiveKey []byte) ([]byte, error) {
	var plain []byte
	defer func() { clear(plain) }()
	sets := p.session.sent(p.me, recipient)
	plain = make([]byte, 0, len(sets)*ContributionSize)
	for _, set := range sets {
		plain = append(plain, p.own(set)...)
	}
	return sealBytes(p.session, p.me, recipient, receiveKey, plain)
}

// contributions opens what dealer sent us. ok is false if anything is wrong.
func (p *Participant) contributions(v View, dealer sharing.Index) (list map[tprf.Set][]byte, ok bool, err error) {
	sk, err := decodeReceiveSecret(p.keys[dealer-1].Reveal())
	if err != nil {
		return nil, false, err
	}
	list, ok = v.Deals[dealer-1].openContributions(p.session, dealer, p.me, sk)
	return list, ok, nil
}

// setReceipt derives the keys of our sets of what the qualified dealt to us, and says
// their hashes.
func (p *Participant) setReceipt(v View) (any, error) {
	s, o := p.session, v.Outcome
	dealt := map[sharing.Index]map[tprf.Set][]byte{} // by dealer, then by set
	defer func() {
		for _, list := range dealt {
			wipeContributions(list)
		}
	}()
	for _, dealer := range o.Qual {
		if !s.sendsBox(dealer, p.me) {
			continue
		}
		list, ok, err := p.contributions(v, dealer)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("dealer %d: %w", dealer, ErrNoShare)
		}
		dealt[dealer] = list
	}
	held := s.held(p.me)
	keys := make([]byte, 0, len(held)*tprf.SetKeySize)
	defer func() { clear(keys) }()
	for _, set := range held {
		var all []byte
		for _, dealer := range o.Qual {
			switch {
			case !s.gives(dealer, set):
			case dealer == p.me:
				all = append(all, p.own(set)...)
			default:
				all = append(all, dealt[dealer][set]...)
			}
		}
		key := setKey(s, set, all)
		keys = append(keys, key...)
		clear(all)
		clear(key)
	}
	share, err := tprf.NewShare(s.params(), p.me, secret.New(keys))
	if err != nil {
		return nil, err
	}
	p.setKeys = share
	receipt := Receipt{Session: s.ID, Transcript: o.Transcript}
	for _, hash := range share.Hashes(s.ID) {
		receipt.Sets = append(receipt.Sets, hash[:])
	}
	return receipt, nil
}

// symmetric names the key of a stored state, or is nil.
func (st *state) symmetric() *SymmetricKey {
	if len(st.Key) != 32 {
		return nil
	}
	k := &SymmetricKey{Key: [32]byte(st.Key), Version: st.Version}
	if len(st.Seed) != 0 && copy(k.Seed[:], st.Seed) != len(st.Seed) {
		return nil
	}
	return k
}

// restoreSets takes up what a stored state has of a symmetric key.
func (p *Participant) restoreSets(st *state) error {
	s := p.session
	if s.Symmetric == nil {
		if len(st.Contributions)+len(st.SetKeys) != 0 {
			return ErrSets
		}
		return nil
	}
	if len(st.Contributions) != len(p.givenSets())*ContributionSize || len(st.Shares) != 0 {
		return ErrSets
	}
	p.sets = secret.Clone(st.Contributions)
	if len(st.SetKeys) == 0 {
		return nil
	}
	var err error
	p.setKeys, err = tprf.NewShare(s.params(), p.me, secret.New(st.SetKeys))
	return err
}
