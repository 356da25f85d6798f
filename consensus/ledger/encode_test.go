package ledger_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"warifu.dev/api"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/dkg"
)

func encode(tb testing.TB, s *ledger.State) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// same holds that two states are one, as far as anybody can see.
func same(t *testing.T, what string, a, b *ledger.State) {
	t.Helper()
	if a.Root() != b.Root() || a.Position() != b.Position() || a.LastMilestone() != b.LastMilestone() || a.CAsAt() != b.CAsAt() || a.Time() != b.Time() {
		t.Fatalf("%s: %v %v, decoded %v %v", what, a.Position(), a.LastMilestone(), b.Position(), b.LastMilestone())
	}
}

// decodedAnywhere replays a log, and at each entry encodes and decodes the state:
// the original and the decoded one must go the same way to the log's end.
func decodedAnywhere(t *testing.T, w *world, after int) {
	t.Helper()
	s := ledger.New(w.genesis)
	states := []*ledger.State{s}
	for i, e := range w.log {
		s, _ = s.Apply(uint64(i+1), e)
		states = append(states, s)
	}
	for i, s := range states {
		b := encode(t, s)
		d, err := ledger.Decode(w.genesis, bytes.NewReader(b))
		if i == 0 {
			// No command has led here: nothing gives the link of genesis.
			if err != nil || d.Root() != s.Root() || d.Position() == s.Position() {
				t.Fatalf("genesis: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("after %d entries: %v", i, err)
		}
		same(t, fmt.Sprintf("after %d entries", i), s, d)
		if again := encode(t, d); !bytes.Equal(again, b) {
			t.Fatalf("after %d entries: encoded again, it is other bytes", i)
		}
		for k := i; k < min(i+after, len(w.log)); k++ {
			var want, got ledger.Result
			s, want = s.Apply(uint64(k+1), w.log[k])
			d, got = d.Apply(uint64(k+1), w.log[k])
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Fatalf("entry %d on the state after %d: %v, decoded %v", k+1, i, want, got)
			}
			same(t, fmt.Sprintf("entry %d on the state after %d", k+1, i), s, d)
		}
	}
}

// Every state of two births, in the middle of them too, comes back exactly:
// sessions with their boards, and what they will say next.
func TestAStateComesBackAsItWas(t *testing.T) {
	w := newWorld(t)
	order := w.sign(w.orderChange(w.order("payroll")), 0, 1)
	w.accept(order)
	w.birth(w.rootOrder(), "n3")
	w.birth(order.ID())
	w.refuse([]byte("noise"))
	decodedAnywhere(t, w, 5)
	decodedAnywhere(t, newWorld(t).eventful(), 5)
}

// A run that is abandoned, and one whose verdicts accuse, come back too.
func TestAnAbandonedRunComesBack(t *testing.T) {
	w := newWorld(t)
	first := w.open(w.rootOrder())
	w.run(first.ID, dkg.PhaseCommit)
	w.accept(w.post(first.ID, "n1"))
	w.accept(w.post(first.ID, "n2"))
	w.late(first.ID, dkg.PhaseCommit)
	second := w.open(w.rootOrder())
	w.run(second.ID, dkg.PhaseDeal)
	decodedAnywhere(t, w, 5)
}

// The milestone is part of the content, so that a snapshot cannot lie about it.
func TestAMilestoneComesBack(t *testing.T) {
	w := newWorld(t)
	s := ledger.New(w.genesis)
	for _, i := range []uint64{1, 999, 1000, 1001, 1500, 2000, 2003, 4999} {
		s, _ = s.Apply(i, []byte("noise"))
		d, err := ledger.Decode(w.genesis, bytes.NewReader(encode(t, s)))
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprint("at ", i), s, d)
	}
}

// pieces cuts an encoding at its seams: format, head, items, end.
func pieces(b []byte) (format byte, list [][]byte) {
	format, b = b[0], b[1:]
	for {
		n := binary.BigEndian.Uint32(b)
		if n == 0 {
			return format, list
		}
		list, b = append(list, b[4:4+n]), b[4+n:]
	}
}

func join(format byte, list [][]byte, after ...byte) []byte {
	b := []byte{format}
	for _, p := range list {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return append(append(b, 0, 0, 0, 0), after...)
}

type testItem struct {
	Path  string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint"`
}

func TestAFalseEncodingIsRefused(t *testing.T) {
	w := newWorld(t).eventful()
	good := encode(t, w.s)
	format, list := pieces(good)
	with := func(i int, b []byte) [][]byte {
		out := append([][]byte(nil), list...)
		out[i] = b
		return out
	}
	extra := func(path string, value any) []byte {
		return join(format, append(append([][]byte{}, list...), wire.Encode(testItem{path, wire.Encode(value)})))
	}
	var first testItem
	if err := wire.Decode(list[1], &first); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sentence string
		b        []byte
		want     error
	}{
		{"it is as it was", join(format, list), nil},
		{"nothing", nil, ledger.ErrEncoding},
		{"another format", join(format+1, list), ledger.ErrEncoding},
		{"bytes after the end", join(format, list, 0), ledger.ErrEncoding},
		{"no head", join(format, nil), ledger.ErrEncoding},
		{"an item is left out", join(format, append(list[:1:1], list[2:]...)), ledger.ErrRoot},
		{"nothing but a head", join(format, list[:1]), ledger.ErrRoot},
		{"two items are swapped", join(format, append([][]byte{list[0], list[2], list[1]}, list[3:]...)), ledger.ErrEncoding},
		{"an item stands twice", join(format, append(list[:2:2], list[1:]...)), ledger.ErrEncoding},
		{"a path that is none", extra("zzz", "x"), ledger.ErrEncoding},
		{"a path that is none below one", extra("zzz/a", "x"), ledger.ErrEncoding},
		{"a path with a zero byte", extra("trust\x00", "x"), ledger.ErrEncoding},
		{"a value of another kind", join(format, with(1, wire.Encode(testItem{first.Path, wire.Encode("x")}))), ledger.ErrEncoding},
		{"an item too long", append([]byte{format}, 0xff, 0, 0, 0), ledger.ErrEncoding},
	} {
		if _, err := ledger.Decode(w.genesis, bytes.NewReader(tt.b)); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", tt.sentence, err, tt.want)
		}
	}
	for i := 0; i < len(good); i += 1 + len(good)/200 {
		if _, err := ledger.Decode(w.genesis, io.LimitReader(bytes.NewReader(good), int64(i))); err == nil {
			t.Fatalf("cut after %d of %d bytes, it decodes", i, len(good))
		}
	}
}

// Whatever byte is altered: it does not decode, or its link is another one, which
// nobody has signed.
func TestEveryByteOfAnEncodingCounts(t *testing.T) {
	w := newWorld(t)
	order := w.sign(w.orderChange(w.order("payroll")), 0, 1)
	w.accept(order)
	w.birth(w.rootOrder(), "n3")
	ses := w.open(order.ID())
	w.run(ses.ID, dkg.PhaseDeal)
	good := encode(t, w.s)
	step := 1 + len(good)/400
	for i := 0; i < len(good); i += step {
		b := bytes.Clone(good)
		b[i] ^= 1
		if d, err := ledger.Decode(w.genesis, bytes.NewReader(b)); err == nil && d.Position() == w.s.Position() {
			t.Fatalf("byte %d of %d does not count", i, len(good))
		}
	}
}

func FuzzDecode(f *testing.F) {
	w := newWorld(f).eventful()
	f.Add(encode(f, w.s))
	f.Add(encode(f, ledger.New(w.genesis)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ledger.Decode(w.genesis, bytes.NewReader(b))
		if err != nil {
			return
		}
		if !bytes.Equal(encode(t, s), b) {
			t.Error("encoded again, it is other bytes")
		}
		if s.Position().Link == (api.Digest{}) {
			t.Error("it has no link")
		}
	})
}
