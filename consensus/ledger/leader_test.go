package ledger_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"warifu.dev/api"
	"warifu.dev/consensus"
	"warifu.dev/consensus/internal/mesh"
	"warifu.dev/consensus/ledger"
)

// applied is what one node has committed of a kind of entry, by its index.
type applied struct {
	mu   sync.Mutex
	refs map[uint64]error
}

func (a *applied) take(index uint64, _ []byte, r ledger.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refs[index] = r.Err
}

func (a *applied) at(index uint64) (error, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	err, ok := a.refs[index]
	return err, ok
}

// A Raft leader that appends what nobody signed for changes the state root of no
// honest node. The leader here is a bad one: what it appends has passed no check.
// All else is real: three nodes, Raft, the log on disk.
func TestABadLeaderChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).eventful()
		nodes := map[string]*consensus.Consensus[*ledger.State, ledger.Result]{}
		told := map[string]*applied{}
		network := mesh.New()
		voters := []string{"n1", "n2", "n3", "n4", "n5"}
		for _, id := range voters {
			told[id] = &applied{refs: map[uint64]error{}}
			n, err := consensus.Open(consensus.Config[*ledger.State, ledger.Result]{
				Dir: t.TempDir(), Node: id, Voters: voters, Streams: network.Join(id), Log: slog.New(slog.DiscardHandler),
				Machine: consensus.Machine[*ledger.State, ledger.Result]{
					Genesis: w.s, // what came before is part of the story
					Apply:   func(s *ledger.State, i uint64, e []byte) (*ledger.State, ledger.Result) { return s.Apply(i, e) },
					Link:    func(s *ledger.State) api.Digest { return s.Position().Link },
				},
				Applied: told[id].take,
			})
			if err != nil {
				t.Fatal(err)
			}
			nodes[id] = n
		}
		defer func() {
			for _, n := range nodes {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Minute)
		}()
		time.Sleep(time.Minute)
		leader := nodes[nodes["n1"].Leader()]
		if leader == nil {
			t.Fatal("no leader was elected")
		}
		// settled waits until all nodes have applied one log, and returns its state.
		settled := func() *ledger.State {
			time.Sleep(5 * time.Second)
			s := leader.Committed()
			for _, id := range voters {
				n := nodes[id]
				if got := n.Committed(); got.Root() != s.Root() || got.Position() != s.Position() {
					t.Errorf("%s is at %+v with the root %s, the leader at %+v with %s", id, got.Position(), got.Root(), s.Position(), s.Root())
				}
				if tail := n.Tail().State; tail.Root() != s.Root() || tail.Position() != s.Position() {
					t.Errorf("the tail of %s is not what is committed", id)
				}
			}
			return s
		}
		root := w.s.Root()
		links := map[api.Digest]bool{settled().Position().Link: true}
		list := w.hostiles()
		for _, h := range list {
			r, err := leader.Submit(t.Context(), h.entry)
			if err != nil {
				t.Fatalf("%s: Raft did not take it: %v", h.name, err)
			}
			for _, want := range h.want {
				if !errors.Is(r.Err, want) {
					t.Errorf("%s: got %v, want %v", h.name, r.Err, want)
				}
			}
			s := settled()
			if s.Root() != root {
				t.Fatalf("%s: the root has moved", h.name)
			}
			if link := s.Position().Link; links[link] {
				t.Errorf("%s: it was not chained", h.name)
			} else {
				links[link] = true
			}
			for _, id := range voters {
				if err, ok := told[id].at(s.Position().Index); !ok || fmt.Sprint(err) != fmt.Sprint(r.Err) && !errors.Is(err, ledger.ErrTaken) {
					t.Errorf("%s: %s says %v, the leader %v", h.name, id, err, r.Err)
				}
			}
		}
		good := w.sign(w.change(), 0, 1)
		if r, err := leader.Submit(t.Context(), good.Encode()); err != nil || r.Err != nil {
			t.Fatalf("a good entry: %v, %v", r.Err, err)
		}
		if s := settled(); s.Root() == root || s.Policy().Change != good.ID() {
			t.Error("the good entry is not in force")
		}
	})
}
