package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/tag"
)

func notOver(int64) bool { return false }

// inMemory are slots that rest nowhere.
func inMemory() *Slots {
	return &Slots{write: func([]byte) error { return nil }, turn: make(chan struct{}, 1), bound: map[api.Digest]*bound{}}
}

// holders are the honest ones, each with its own slots of one grant of u uses.
type holders struct {
	u     int
	nodes []*Slots
	gave  map[int]map[int]bool // request, node
}

func newHolders(honest, u int) *holders {
	h := &holders{u: u, gave: map[int]map[int]bool{}}
	for range honest {
		h.nodes = append(h.nodes, inMemory())
	}
	return h
}

// ask asks one holder for a request in a slot.
func (h *holders) ask(node, request, slot int) bool {
	u := use{grant: api.Digest{1}, notAfter: 1, slot: uint32(slot), uses: uint32(h.u), request: api.Digest{byte(request), byte(request >> 8)}}
	ok, err := h.nodes[node].bind(context.Background(), []use{u}, notOver)
	if err != nil || !ok[0] {
		return false
	}
	if h.gave[request] == nil {
		h.gave[request] = map[int]bool{}
	}
	h.gave[request][node] = true
	return true
}

// released counts the requests that so many honest holders gave partials for.
func (h *holders) released(need int) int {
	n := 0
	for _, by := range h.gave {
		if len(by) >= need {
			n++
		}
	}
	return n
}

// Whatever a principal asks of whom, in whichever slots and in whatever order, and
// with f holders that give everything: no more than floor(u(h-f)/(t-f)) requests are
// released. One that names the same slot to all of them gets no more than
// u·floor((h-f)/(t-f)), which with 2t > h+f is u.
func TestNoMoreThanTheBoundIsReleased(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := rapid.IntRange(2, 9).Draw(t, "h")
		k := rapid.IntRange(2, h).Draw(t, "t")
		f := rapid.IntRange(0, k-1).Draw(t, "f")
		u := rapid.IntRange(1, 4).Draw(t, "u")
		aligned := rapid.Bool().Draw(t, "aligned")
		world := newHolders(h-f, u)
		for range rapid.IntRange(0, 200).Draw(t, "asked") {
			request := rapid.IntRange(0, 11).Draw(t, "request")
			slot := rapid.IntRange(1, u).Draw(t, "slot")
			if aligned {
				slot = 1 + request%u
			}
			world.ask(rapid.IntRange(0, h-f-1).Draw(t, "node"), request, slot)
		}
		got, most := world.released(k-f), authority.UsesBound(u, h, k, f)
		if aligned {
			most = u * ((h - f) / (k - f))
		}
		if got > most {
			t.Fatalf("%d requests are released, at most %d may be", got, most)
		}
	})
}

// The bound is reached: who spreads its requests over the slots gets exactly that
// many, and with three of five and no liar three for two uses.
func TestTheBoundIsReached(t *testing.T) {
	for h := 2; h <= 9; h++ {
		for k := 2; k <= h; k++ {
			for f := range k {
				for u := 1; u <= 4; u++ {
					world := newHolders(h-f, u)
					next := make([]int, h-f) // each node's first free slot
					for request := 0; ; request++ {
						nodes := make([]int, h-f)
						for i := range nodes {
							nodes[i] = i
						}
						slices.SortStableFunc(nodes, func(a, b int) int { return next[a] - next[b] })
						if next[nodes[k-f-1]] >= u {
							break
						}
						for _, n := range nodes[:k-f] {
							if next[n]++; !world.ask(n, request, next[n]) {
								t.Fatal("a free slot is refused")
							}
						}
					}
					if got, want := world.released(k-f), authority.UsesBound(u, h, k, f); got != want {
						t.Errorf("h=%d t=%d f=%d u=%d: %d, the bound is %d", h, k, f, u, got, want)
					}
				}
			}
		}
	}
}

// An honest client that tries slots from the first on has every use.
func TestAnHonestClientHasEveryUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.IntRange(1, 6).Draw(t, "u")
		world := newHolders(5, u)
		for request := range u {
			done := false
			for slot := 1; slot <= u && !done; slot++ {
				given := 0
				for _, n := range rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "order") {
					if given < 3 && world.ask(n, request, slot) {
						given++
					}
				}
				done = given == 3
			}
			if !done {
				t.Fatalf("request %d of %d is refused", request+1, u)
			}
		}
	})
}

// What has expired by every clock makes room, and nothing else does.
func TestSlotsAreBounded(t *testing.T) {
	s := inMemory()
	fill := func(grant byte, notAfter int64) error {
		var list []use
		for i := range uint32(authority.MaxUses) {
			list = append(list, use{grant: api.Digest{grant}, principal: fmt.Sprint(grant), notAfter: notAfter, slot: i + 1, uses: authority.MaxUses, request: api.Digest{1, byte(i), byte(i >> 8)}})
		}
		_, err := s.bind(context.Background(), list, func(notAfter int64) bool { return notAfter < 100 })
		return err
	}
	for i := range byte(MaxSlots / authority.MaxUses) {
		if err := fill(i, 200); err != nil {
			t.Fatal(err)
		}
	}
	before := s.count
	if err := fill(100, 200); !errors.Is(err, errNoRoom) {
		t.Fatalf("got %v", err)
	}
	if s.count != before || s.Used(api.Digest{100}) != 0 {
		t.Fatalf("%d are counted, %d were", s.count, before)
	}
	for _, of := range s.bound {
		of.notAfter = 50
		break
	}
	if err := fill(100, 200); err != nil {
		t.Fatalf("with room: %v", err)
	}
	if s.count != before || s.Used(api.Digest{100}) != authority.MaxUses {
		t.Fatalf("%d are counted", s.count)
	}
	if b := encodeSlots(s.bound); len(b) > 1<<20 {
		t.Errorf("the file has %d bytes", len(b))
	}
}

// One principal has its part of the room, also after a restart, and leaves the rest to
// others.
func TestOnePrincipalHasItsPartOfTheSlots(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSlots(nil, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	take := func(principal string, count int, notAfter int64) error {
		n++
		var list []use
		for i := range uint32(count) {
			list = append(list, use{
				grant: api.Digest{byte(n), byte(n >> 8)}, principal: principal, notAfter: notAfter, slot: i + 1, uses: authority.MaxUses,
				request: api.Digest{1, byte(i), byte(i >> 8)},
			})
		}
		_, err := s.bind(context.Background(), list, func(notAfter int64) bool { return notAfter < 100 })
		return err
	}
	for taken := 0; taken < MaxSlotsOfPrincipal; taken += 512 {
		if err := take("greedy", 512, 200); err != nil {
			t.Fatal(err)
		}
	}
	before := s.count
	if err := take("greedy", 1, 200); !errors.Is(err, errNoPart) || s.count != before {
		t.Fatalf("one too many: %v, %d are counted, %d were", err, s.count, before)
	}
	if err := take("modest", 1, 200); err != nil {
		t.Errorf("another's: %v", err)
	}
	if s, err = OpenSlots(nil, dir, false); err != nil {
		t.Fatal(err)
	}
	if err := take("greedy", 1, 200); !errors.Is(err, errNoPart) {
		t.Errorf("after a restart: %v", err)
	}
	for _, of := range s.bound {
		if of.principal == "greedy" {
			of.notAfter = 50
			break
		}
	}
	if err := take("greedy", 512, 200); err != nil {
		t.Errorf("when some have expired: %v", err)
	}
}

// A node that has been running and has no slots, or damaged ones, does not start.
func TestSlotsThatAreGone(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenSlots(nil, dir, false); !errors.Is(err, ErrSlots) {
		t.Fatalf("missing: %v", err)
	}
	s, err := OpenSlots(nil, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.bind(context.Background(), []use{{grant: api.Digest{1}, slot: 1, uses: 1, request: api.Digest{2}}}, notOver); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, SlotsName)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 { // R27
		t.Fatalf("%v, %v", info, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSlots(nil, dir, true); !errors.Is(err, ErrSlots) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenSlots(nil, dir, true); err != nil || s.Used(api.Digest{1}) != 1 {
		t.Fatalf("as it was: %v", err)
	}
}

func FuzzDecodeSlots(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeSlots(nil))
	f.Add(encodeSlots(map[api.Digest]*bound{{1}: {notAfter: 5, by: map[uint32]api.Digest{1: {2}, 7: {3}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, content := range [][]byte{b, summed(b)} {
			all, err := decodeSlots(content)
			if err != nil {
				continue
			}
			if again, err := decodeSlots(encodeSlots(all)); err != nil || len(again) != len(all) {
				t.Fatalf("written again it is another: %v", err)
			}
		}
	})
}

// summed is a content with the sum that belongs to it.
func summed(b []byte) []byte {
	sum := tag.Hash(tag.GrantSlots, b)
	return append(bytes.Clone(b), sum[:]...)
}
