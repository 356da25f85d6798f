package node

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing/unseal"
)

// Where custodians open seals, a restore asks them. There are up to two: the one of the
// backup, whose custodians the lost cluster had, and that of the node which takes the
// shares, which does not run. What there is to open goes to custodians as one offer, which
// both nodes sign; what they hand over comes back encrypted to keys that live in this
// process alone.
//
//	backup, both tokens, adoptions ──▶ offer ──▶ custodians
//	            shares ◀── both seals open ◀── pieces
//
// Nothing is written or destroyed before both seals are open. A process that ends takes
// its keys with it: the next one makes another offer.

var (
	// ErrNoLock means that the lock of a seal is not beside it.
	ErrNoLock = errors.New("the lock of this seal was not kept beside it, by the older program that wrote it: custodians cannot be asked; a seal that was written since has it")
	// errPiece means that what a custodian handed over is of no use; the rest says why.
	errPiece = errors.New("of no use here")
)

// Handing carries an offer to custodians, and back what they hand over.
type Handing interface {
	// Offer shows custodians what there is to open. What an earlier offer was is void.
	Offer(offer []byte) error
	// Next waits for what one of them hands over, and says where it is from. An error
	// ends the restore.
	Next() (pieces []byte, from string, err error)
	// Took says what became of it: whom it still takes, or why it is of no use.
	Took(from, waits string, err error)
}

// opening is a seal that custodians are opening for a restore.
type opening struct {
	seal   unseal.Seal
	lock   unseal.Lock
	kept   authority.KeptLock
	door   *unseal.Door
	pieces map[int]secret.Bytes
}

// locked reads what a seal waits for: nil where the token alone opens it, or where nothing
// opens it any more, which whoever opens it says.
func locked(at keyring.Config) (*opening, error) {
	ring, err := keyring.Peek(at)
	switch {
	case errors.Is(err, keyring.ErrLocked):
	case errors.Is(err, keyring.ErrNone):
		return nil, ErrUnborn
	case errors.Is(err, hsm.ErrNoKey):
		return nil, nil
	case err != nil:
		return nil, err
	default:
		ring.Wipe()
		return nil, nil
	}
	g, _, public, err := keyring.LockOf(at.Dir)
	if err != nil {
		return nil, err
	}
	if len(public) == 0 {
		return nil, fmt.Errorf("%w (generation %d of %s)", ErrNoLock, g, at.Node)
	}
	kept, err := authority.ParseKeptLock(public)
	if err != nil {
		return nil, err
	}
	p := &opening{seal: unseal.Seal{Cluster: at.Cluster, Node: at.Node, Generation: g}, kept: *kept, pieces: map[int]secret.Bytes{}}
	if err := wire.Decode(kept.Lock, &p.lock); err != nil {
		return nil, fmt.Errorf("the lock of %s: %w", at.Node, err)
	}
	if err := p.lock.Check(len(kept.Keepers), int(p.lock.Threshold)); err != nil {
		return nil, fmt.Errorf("the lock of %s: %w", at.Node, err)
	}
	return p, nil
}

// unseal has custodians open what is locked of the two seals, and returns the
// configurations with what opens them, for the caller to wipe. from signs as the node of
// the lost cluster.
func (o *RestoreOptions) unseal(g, lost *authority.VerifiedGenesis, here, there keyring.Config, from *authority.Signer) (_, _ keyring.Config, err error) {
	mine, err := locked(here)
	if err != nil {
		return here, there, err
	}
	theirs, err := locked(there)
	if err != nil {
		return here, there, err
	}
	var asked []*opening
	for _, p := range []*opening{theirs, mine} {
		if p != nil {
			asked = append(asked, p)
			defer p.wipe()
		}
	}
	if len(asked) == 0 {
		return here, there, nil
	}
	if o.Custodians == nil {
		return here, there, fmt.Errorf("%w (%s)", ErrPieces, asked[0].seal.Node)
	}
	offer, id, err := o.offer(g, lost, here, there, from, asked)
	if err != nil {
		return here, there, err
	}
	if err := failpoint.Step("node/offer-restore", func() error { return o.Custodians.Offer(offer) }); err != nil {
		return here, there, fmt.Errorf("offer the seals to custodians: %w", err)
	}
	for waits(asked) != "" {
		b, whence, err := o.Custodians.Next()
		if err != nil {
			return here, there, fmt.Errorf("wait for custodians' pieces: %w", err)
		}
		err = take(id, asked, b)
		o.Custodians.Took(whence, waits(asked), err)
	}
	for _, p := range asked {
		u, err := p.lock.Combine(p.seal, p.pieces)
		if err != nil {
			here.Unseal.Wipe()
			there.Unseal.Wipe()
			return here, there, fmt.Errorf("open the seal of %s: %w", p.seal.Node, err)
		}
		if p == mine {
			here.Unseal = u
		} else {
			there.Unseal = u
		}
	}
	return here, there, nil
}

func (p *opening) wipe() {
	for _, piece := range p.pieces {
		piece.Wipe()
	}
}

// offer makes the offer, with a door for each seal, and signs it as both nodes. It is
// verified here as it is by custodians: what they would not believe is refused at once.
func (o *RestoreOptions) offer(g, lost *authority.VerifiedGenesis, here, there keyring.Config, from *authority.Signer, asked []*opening) ([]byte, api.Digest, error) {
	none := api.Digest{}
	key, err := openIdentity(o.Dir, here.Node, o.Device)
	if err != nil {
		return nil, none, err
	}
	to, err := authority.NewSigner(key)
	if err != nil {
		return nil, none, err
	}
	said := &authority.RestoreOffer{
		Genesis: g.Signed().Encode(), Lost: lost.Hash(), From: there.Node, Token: there.Device.Serial(), To: here.Node,
		Adoptions: o.Adoptions, Leave: o.Leave, Nonce: make([]byte, unseal.AttemptSize),
	}
	if _, err := io.ReadFull(o.Rand, said.Nonce); err != nil {
		return nil, none, fmt.Errorf("draw an attempt: %w", err)
	}
	for _, p := range asked {
		said.Seals = append(said.Seals, authority.RestoreSeal{Cluster: p.seal.Cluster, Node: p.seal.Node, Generation: p.seal.Generation, Kept: p.kept})
	}
	for i, p := range asked {
		if p.door, err = unseal.NewDoorOf(p.seal, said.Attempt()); err != nil {
			return nil, none, err
		}
		said.Seals[i].Door = p.door.PublicKey()
	}
	signed, err := authority.SignRestoreOffer(o.Rand, said, from, to)
	if err != nil {
		return nil, none, err
	}
	v, err := authority.ParseRestoreOffer(signed, g.Hash())
	if err != nil {
		return nil, none, err
	}
	return signed, v.ID, nil
}

// take takes what a custodian handed over. What is of use of it counts, whatever the rest
// is.
func take(offer api.Digest, asked []*opening, b []byte) (failures error) {
	h, err := authority.ParseRestorePieces(b)
	if err != nil {
		return err
	}
	if h.Offer != offer {
		return fmt.Errorf("%w: it is for another offer, of an earlier run or another restore", errPiece)
	}
	for _, piece := range h.Pieces {
		if int64(piece.Seal) >= int64(len(asked)) {
			failures = errors.Join(failures, fmt.Errorf("%w: the offer has no seal %d", errPiece, piece.Seal))
			continue
		}
		if err := asked[piece.Seal].take(int(piece.Place), piece.Handed); err != nil {
			failures = errors.Join(failures, fmt.Errorf("%w: the seal of %s: %w", errPiece, asked[piece.Seal].seal.Node, err))
		}
	}
	return failures
}

func (p *opening) take(place int, handed []byte) error {
	if _, twice := p.pieces[place]; twice {
		return errors.New("this custodian's piece is here already")
	}
	piece, err := p.door.Receive(place, handed)
	if err != nil {
		return err
	}
	if err := p.lock.CheckPiece(p.seal, place, piece); err != nil {
		piece.Wipe()
		return err
	}
	p.pieces[place] = piece
	return nil
}

// waits is whom the seals still wait for; nothing when all can be opened.
func waits(asked []*opening) string {
	var out []string
	for _, p := range asked {
		if len(p.pieces) >= int(p.lock.Threshold) {
			continue
		}
		var missing []string
		for place, k := range p.kept.Keepers {
			if _, here := p.pieces[place]; !here {
				missing = append(missing, k.Name)
			}
		}
		out = append(out, fmt.Sprintf("the seal of %s needs %d more of %s", p.seal.Node, int(p.lock.Threshold)-len(p.pieces), strings.Join(missing, ", ")))
	}
	return strings.Join(out, "; ")
}
