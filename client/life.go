package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// ErrKeyState: where the key stands in its life, nothing is wrapped under it, or
// nothing is released.
var ErrKeyState = errors.New("the key's state does not allow it")

// life is where a key stands, as far as this client knows.
type life struct {
	verified *authority.VerifiedLife
	signed   []byte // for [Key.With]; nil: as its order says
}

// With is the key with what custodians have said of its state, its owner and its
// labels, as nodes serve it and as [Key.Life] gives it: an [authority.ErrKeyLife] when
// that is not to be believed. k is unchanged.
func (k *Key) With(signed []byte) (*Key, error) {
	next := *k
	if len(signed) == 0 {
		return &next, nil
	}
	s, err := authority.ParseSignedLife(signed)
	if err != nil {
		return nil, err
	}
	v, err := s.Verify(k.genesis, k.ID(), k.record.Order())
	if err != nil {
		return nil, err
	}
	next.life = life{v, append([]byte(nil), signed...)}
	return &next, nil
}

// Following is the key with the state that is known of before, which is the same key,
// where the newer one says nothing, or what cannot have come after it: a client never
// goes back.
func (k *Key) Following(before *Key) *Key {
	was, is := before.life.verified, k.life.verified
	if was == nil || is != nil && authority.MayFollow(was.Put, is.Put) {
		return k
	}
	next := *k
	next.life = before.life
	return &next
}

// Life is what [Key.With] takes, or nil when nothing is known but the order.
func (k *Key) Life() []byte { return append([]byte(nil), k.life.signed...) }

// Said is what custodians have said of the key, as far as this client knows.
func (k *Key) Said() authority.KeyLabels {
	if k.life.verified == nil {
		if said := k.record.Order().Says(k.ID()); said != nil {
			return *said
		}
		return authority.KeyLabels{Key: k.ID()}
	}
	return k.life.verified.KeyLabels
}

// State is where the key stands at a time, as far as this client knows: what nodes
// served last, and the dates that the custodians signed.
func (k *Key) State(at time.Time) authority.KeyState {
	l := authority.BornAs(k.record.Order())
	if k.life.verified != nil {
		l = k.life.verified.Life
	}
	return l.At(at.UnixMilli(), at.UnixMilli())
}

// mayWrap refuses with [ErrKeyState] where the state is known to forbid it.
func (k *Key) mayWrap() error {
	if l := k.life.verified; l != nil && l.Dying {
		return fmt.Errorf("%w: nothing new is wrapped under the key %s, which is to be destroyed, or is", ErrKeyState, k.Name())
	}
	if s := k.State(time.Now()); !s.Wraps() {
		return fmt.Errorf("%w: nothing new is wrapped under the key %s, which is %s", ErrKeyState, k.Name(), s)
	}
	return nil
}

// Refresh is [Client.Record] that always asks: what is known of the key's state is then
// as new as the node that answers.
func (c *Client) Refresh(ctx context.Context, nameOrID string) (*Key, error) {
	k, err := c.Record(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	return c.fetchByID(ctx, k.ID())
}

// NodeKey is what one node has of a key, by its own signature, or why it says nothing.
type NodeKey struct {
	Node   string
	Has    *authority.KeyAt
	Signed []byte // for others to verify, with the nonce in it
	Err    error  // a *[NodesError] with one reason
}

// KeyAt asks all nodes what they have of a version of a key, or of its newest if version
// is 0, in parallel, in the roster's order.
func (c *Client) KeyAt(ctx context.Context, nameOrID string, version uint32) ([]NodeKey, error) {
	q := api.KeyAtRequest{Name: nameOrID, Version: version}
	if id, err := api.ParseDigest(nameOrID); err == nil {
		q = api.KeyAtRequest{ID: api.KeyID(id), Version: version}
	} else if err := api.CheckName(nameOrID); err != nil {
		return nil, fmt.Errorf("ask where a key is: %w", err)
	}
	if _, err := rand.Read(q.Nonce[:]); err != nil {
		return nil, fmt.Errorf("ask where a key is: %w", err)
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	body := wire.Encode(q)
	links := c.links()
	list := make([]NodeKey, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() {
			list[i] = NodeKey{Node: l.node.ID}
			err := func() error {
				answer, err := ask[api.KeyAtAnswer](ctx, l, api.MethodKeyAt, body)
				if err != nil {
					return err
				}
				s, err := authority.ParseSignedKeyAt(answer.Signed)
				if err == nil {
					list[i].Has, err = s.Verify(c.conf.Genesis.Cluster, &l.node, q.Nonce)
				}
				if err == nil && version != 0 && list[i].Has.Version != version {
					err = fmt.Errorf("it speaks of version %d", list[i].Has.Version)
				}
				if err != nil {
					return fmt.Errorf("%w: %w", ErrAnswer, err)
				}
				list[i].Signed = answer.Signed
				return nil
			}()
			if err != nil {
				list[i].Err = &NodesError{Doing: "ask " + l.node.ID + " what it has of the key", Reasons: []NodeReason{reasonOf(l.node.ID, err)}}
			}
		})
	}
	all.Wait()
	return list, nil
}
