package gate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
)

// SlotsName is the file of bound slots, in the node's directory.
const SlotsName = "slots"

// MaxSlots bounds the slots that a node keeps bound at a time, over all grants that
// have not expired. At 40 bytes each their file is written anew in a few milliseconds.
const MaxSlots = 16_384

// MaxSlotsOfPrincipal bounds those of one principal among them, so that whoever has
// grants without end does not use up the room of everybody else's.
const MaxSlotsOfPrincipal = MaxSlots / 8

// ErrSlots means that the file of bound slots is missing or damaged. A node that does
// not know which uses it gave would give them again, so it does not start.
var ErrSlots = errors.New("the bound uses of grants cannot be read")

var (
	// errNoRoom means that MaxSlots are bound.
	errNoRoom = errors.New("as many uses of grants are bound as may be")
	// errNoPart means that MaxSlotsOfPrincipal are bound for one principal.
	errNoPart = errors.New("as many uses of grants are bound for this principal as may be for one")
)

// Slots are the uses of grants that this node has bound: (grant, slot) to the digest
// of one request, for as long as the grant lasts. It is durable before anything
// leaves because of it, and the whole file is replaced at a time: uses that people
// approve are few. It is safe for concurrent use.
type Slots struct {
	write func(content []byte) error // replaces the file, durably
	turn  chan struct{}              // of room 1: who holds it writes

	mu    sync.Mutex
	bound map[api.Digest]*bound // by grant, also what is being written; guarded by mu
	count int                   // of slots; guarded by mu
}

// bound are the slots of one grant.
type bound struct {
	principal string // whose grant it is
	notAfter  int64
	by        map[uint32]api.Digest
}

// use is one use of a grant by one request.
type use struct {
	grant     api.Digest
	principal string // whose grant it is, and who asks
	notAfter  int64
	slot      uint32
	uses      uint32     // of the grant in all
	request   api.Digest // what is asked for
}

// OpenSlots reads the bound slots of a node's directory. Only a node that has never
// recorded anything may have none: then they are made.
func OpenSlots(hook disk.Hook, dir string, fresh bool) (*Slots, error) {
	s := &Slots{
		write: func(content []byte) error { return keyring.WriteFile(hook, dir, SlotsName, content) },
		turn:  make(chan struct{}, 1),
		bound: map[api.Digest]*bound{},
	}
	b, err := keyring.ReadFile(dir, SlotsName)
	switch {
	case errors.Is(err, os.ErrNotExist) && fresh:
		err = failpoint.Step("gate/make-slots", func() error { return s.write(encodeSlots(s.bound)) })
	case err == nil:
		s.bound, err = decodeSlots(b)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSlots, err)
	}
	for _, of := range s.bound {
		s.count += len(of.by)
	}
	return s, nil
}

// free says whether a use may be bound: its slot is free, or bound to this very
// request. If not, next is the slot that this request has, or else the first free
// one of the grant, or 0.
func (s *Slots) free(u use) (ok bool, next uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isFree(u)
}

func (s *Slots) isFree(u use) (ok bool, next uint32) {
	of := s.bound[u.grant]
	if of == nil {
		return true, 0
	}
	if by, taken := of.by[u.slot]; !taken || by == u.request {
		return true, 0
	}
	for slot := uint32(1); slot <= u.uses; slot++ {
		by, taken := of.by[slot]
		if taken && by == u.request {
			return false, slot
		}
		if !taken && next == 0 {
			next = slot
		}
	}
	return false, next
}

// slotOf is the slot that a request has, or 0.
func (b *bound) slotOf(request api.Digest) uint32 {
	for slot, by := range b.by {
		if by == request {
			return slot
		}
	}
	return 0
}

// boundTo is the slot that the request of a use has, or 0.
func (s *Slots) boundTo(u use) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.bound[u.grant]; of != nil {
		return of.slotOf(u.request)
	}
	return 0
}

// Used is how many slots of a grant are bound.
func (s *Slots) Used(grant api.Digest) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.bound[grant]; of != nil {
		return len(of.by)
	}
	return 0
}

// bind binds uses and returns when they are durable. Those whose slot is bound to
// another request, since before or by an earlier one of the list, are left out: ok
// says of each whether it is bound. With an error nothing may leave by them. What over
// says is past for good makes room. When ctx ends, a write that hangs is left alone,
// and those that come after it wait in vain.
func (s *Slots) bind(ctx context.Context, list []use, over func(notAfter int64) bool) (ok []bool, err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	type outcome struct {
		ok  []bool
		err error
	}
	done := make(chan outcome, 1)
	go func() { // ends with its write; Close waits for it
		defer func() { <-s.turn }()
		ok, err := s.bindInTurn(list, over)
		done <- outcome{ok, err}
	}()
	select {
	case o := <-done:
		return o.ok, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Slots) bindInTurn(list []use, over func(notAfter int64) bool) (ok []bool, err error) {
	ok, added, content, err := s.add(list, over)
	if err == nil && len(added) > 0 {
		err = failpoint.Step("gate/bind-slot", func() error { return s.write(content) })
	}
	if err == nil {
		return ok, nil
	}
	// What is on disk may have them or not; nobody has acted on them, and the next
	// write says what holds.
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range added {
		if of := s.bound[u.grant]; of != nil {
			delete(of.by, u.slot)
			s.count--
			if len(of.by) == 0 {
				delete(s.bound, u.grant)
			}
		}
	}
	return nil, fmt.Errorf("bind a use of a grant: %w", err)
}

// add binds uses in memory, and returns those that are new, and what the file has to
// be for them.
func (s *Slots) add(list []use, over func(notAfter int64) bool) (ok []bool, added []use, content []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok = make([]bool, len(list))
	for i, u := range list {
		if ok[i], _ = s.isFree(u); !ok[i] {
			continue
		}
		of := s.bound[u.grant]
		if of == nil {
			of = &bound{principal: u.principal, notAfter: u.notAfter, by: map[uint32]api.Digest{}}
			s.bound[u.grant] = of
		}
		if of.slotOf(u.request) == 0 { // a request that names another free one keeps the one it has
			of.by[u.slot] = u.request
			added = append(added, u)
		}
	}
	s.count += len(added)
	for id, of := range s.bound {
		if len(added) > 0 && over(of.notAfter) {
			s.count -= len(of.by)
			delete(s.bound, id)
		}
	}
	for i, u := range added { // of one request, and so of one principal
		if (i == 0 || u.principal != added[i-1].principal) && s.countOf(u.principal) > MaxSlotsOfPrincipal {
			return nil, added, nil, errNoPart
		}
	}
	if s.count > MaxSlots {
		return nil, added, nil, errNoRoom
	}
	return ok, added, encodeSlots(s.bound), nil
}

// countOf is how many slots are bound for a principal.
func (s *Slots) countOf(principal string) int {
	n := 0
	for _, of := range s.bound {
		if of.principal == principal {
			n += len(of.by)
		}
	}
	return n
}

// Close returns when no write is under way, and lets no other begin.
func (s *Slots) Close() { s.turn <- struct{}{} }

// slotsFile is the file's content, before its sum: grants by id, slots by number.
type slotsFile struct {
	Grants []slotsOf `cbor:"1,keyasint,omitempty"`
}

type slotsOf struct {
	Grant     api.Digest `cbor:"1,keyasint"`
	NotAfter  int64      `cbor:"2,keyasint"`
	Slots     []slotOf   `cbor:"3,keyasint"`
	Principal string     `cbor:"4,keyasint,omitempty"`
}

type slotOf struct {
	Slot    uint32     `cbor:"1,keyasint"`
	Request api.Digest `cbor:"2,keyasint"`
}

// encodeSlots is the content of the file: CBOR, then the tagged hash of it.
func encodeSlots(all map[api.Digest]*bound) []byte {
	var f slotsFile
	for id, of := range all {
		g := slotsOf{Grant: id, NotAfter: of.notAfter, Principal: of.principal}
		for slot, request := range of.by {
			g.Slots = append(g.Slots, slotOf{slot, request})
		}
		slices.SortFunc(g.Slots, func(a, b slotOf) int { return cmp.Compare(a.Slot, b.Slot) })
		f.Grants = append(f.Grants, g)
	}
	slices.SortFunc(f.Grants, func(a, b slotsOf) int { return bytes.Compare(a.Grant[:], b.Grant[:]) })
	body := wire.Encode(f)
	sum := tag.Hash(tag.GrantSlots, body)
	return append(body, sum[:]...)
}

func decodeSlots(b []byte) (map[api.Digest]*bound, error) {
	if len(b) < 32 {
		return nil, fmt.Errorf("%s has %d bytes", SlotsName, len(b))
	}
	body, sum := b[:len(b)-32], b[len(b)-32:]
	if want := tag.Hash(tag.GrantSlots, body); !bytes.Equal(sum, want[:]) {
		return nil, fmt.Errorf("%s is damaged: its sum is another", SlotsName)
	}
	var f slotsFile
	if err := wire.Decode(body, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", SlotsName, err)
	}
	all := map[api.Digest]*bound{}
	for _, g := range f.Grants {
		of := &bound{principal: g.Principal, notAfter: g.NotAfter, by: map[uint32]api.Digest{}}
		for _, slot := range g.Slots {
			of.by[slot.Slot] = slot.Request
		}
		if len(of.by) != len(g.Slots) || len(of.by) == 0 || all[g.Grant] != nil {
			return nil, fmt.Errorf("%s: a grant or a slot stands twice", SlotsName)
		}
		all[g.Grant] = of
	}
	return all, nil
}
