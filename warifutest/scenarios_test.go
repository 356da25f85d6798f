package warifutest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/transport"
	"warifu.dev/warifutest"
	"warifu.dev/warifutest/schedule"
)

// Times of the daemon, as docs/operations.md states them.
const (
	lease        = 1500 * time.Millisecond
	maxStaleness = 10 * time.Second
)

// stage is a cluster with whoever a scenario needs.
type stage struct {
	*testing.T
	*warifutest.Cluster
	load      *warifutest.Load
	custodian *client.Client
	carrier   *warifutest.Direct // asks single nodes as a custodian
	a, b      *warifutest.Direct
	envelope  []byte
}

// scenario runs f on a cluster that serves.
func scenario(t *testing.T, f func(s *stage)) {
	t.Helper()
	scenarioWith(t, warifutest.Options{}, f)
}

func scenarioWith(t *testing.T, o warifutest.Options, f func(s *stage)) {
	t.Helper()
	o.Seed, o.Verbose = 1, *verbose
	warifutest.Run(t, o, func(t *testing.T, c *warifutest.Cluster) {
		s := &stage{T: t, Cluster: c}
		load, done, err := c.Load(1)
		s.must(err)
		defer done()
		s.load = load
		s.custodian, err = c.Custodian()
		s.must(err)
		for uri, d := range map[string]**warifutest.Direct{warifutest.AppA: &s.a, warifutest.AppB: &s.b} {
			cert, err := c.Desk().Application(uri)
			s.must(err)
			*d = warifutest.NewDirect(c.Genesis(), cert, c.Open)
			defer (*d).Close()
		}
		cert, err := c.Desk().Custodian(0)
		s.must(err)
		s.carrier = warifutest.NewDirect(c.Genesis(), cert, c.Open)
		defer s.carrier.Close()
		_, key, err := c.Application(warifutest.AppA)
		s.must(err)
		s.envelope, err = key.Wrap(rand.Reader, nil, secret.New(make([]byte, 32)))
		s.must(err)
		f(s)
	})
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// status asks one node; nil means that it did not answer.
func (s *stage) status(id string) *api.StatusAnswer {
	for _, st := range s.custodian.Status(s.Context()) {
		if st.Node == id {
			return st.Answer
		}
	}
	return nil
}

// leader is the node that a majority follows.
func (s *stage) leader(among []string) string {
	s.Helper()
	for range 100 {
		count := map[string]int{}
		for _, st := range s.custodian.Status(s.Context()) {
			if st.Err == nil {
				count[st.Answer.Leader]++
			}
		}
		for _, id := range among {
			if count[id] >= 3 {
				return id
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	s.Fatal("there is no leader")
	return ""
}

// others are the nodes that are not named.
func (s *stage) others(than ...string) (ids []string) {
	for _, id := range s.IDs() {
		named := false
		for _, n := range than {
			named = named || n == id
		}
		if !named {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *stage) inflict(f schedule.Fault) schedule.Inflicted {
	s.Helper()
	in, err := s.Inflict(f)
	s.must(err)
	return in
}

// deny hands in a change after which A may not, and waits until it is acknowledged.
func (s *stage) deny() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), warifutest.Patience)
	defer cancel()
	ack, err := s.load.Change(ctx)
	s.must(err)
	if ack.PermitA {
		s.Fatalf("change %d denies nothing", ack.Number)
	}
}

// asked is what a node answers an application that asks it alone: the empty code
// means a partial.
func (s *stage) asked(d *warifutest.Direct, id string) api.Code {
	_, err := d.Unwrap(s.Context(), id, s.envelope, "a scenario")
	return codeOf(err)
}

func codeOf(err error) api.Code {
	var e *api.Error
	var r *transport.Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	case errors.As(err, &r):
		return api.Code(r.Code)
	}
	return api.CodeUnreachable
}

// eventually waits for what must come true within some simulated time.
func (s *stage) eventually(within time.Duration, what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("not within %v: %s", within, what)
		}
	}
}

// denies waits until a node that missed the deny refuses A. It may serve a moment
// before it does: two that lag and one of the majority make a round of three whose
// median is what the two still know. Meanwhile A's envelope opens for nobody.
func (s *stage) denies(id string) {
	s.Helper()
	s.eventually(warifutest.Patience, id+" denies A", func() bool {
		if s.load.Unwrap(s.Context(), warifutest.AppA) == nil {
			s.Fatal("A's envelope opens after the deny")
		}
		return s.asked(s.a, id) == api.CodeDenied
	})
}

// A leader that is cut off with a minority is no leader when its lease is over. It
// and its follower go on releasing to whom they know to be permitted until they are
// stale, which is fewer than t, and refuse then; what the majority denies meanwhile
// opens for nobody.
func TestALeaderCutOffWithAMinority(t *testing.T) {
	scenario(t, func(s *stage) {
		old := s.leader(s.IDs())
		minority := []string{old, s.others(old)[0]}
		majority := s.others(minority...)
		cut := s.inflict(schedule.Fault{Kind: schedule.CutBoth, Nodes: minority, To: majority})
		began := time.Now()
		// Raft looks at its lease when half of it has passed.
		s.eventually(2*lease+time.Second, "the old leader gives up", func() bool {
			st := s.status(old)
			return st != nil && st.Leader != old
		})
		s.leader(majority)
		s.deny()
		for time.Since(began) < maxStaleness+2*time.Second {
			if err := s.load.Unwrap(s.Context(), warifutest.AppA); err == nil {
				s.Fatal("A's envelope opens after the deny")
			}
			time.Sleep(500 * time.Millisecond)
		}
		for _, id := range minority {
			if got := s.asked(s.b, id); got != api.CodeStale {
				s.Errorf("%s was cut off for longer than it may be, and answers %q", id, got)
			}
		}
		s.must(s.load.Unwrap(s.Context(), warifutest.AppB))
		if cut.Fired() == 0 {
			s.Error("the cut dropped nothing")
		}
		s.must(cut.Heal())
		s.eventually(warifutest.Patience, "the minority serves again", func() bool {
			return s.asked(s.b, minority[0]) == "" && s.asked(s.b, minority[1]) == ""
		})
		for _, id := range s.IDs() {
			s.denies(id)
		}
	})
}

// R26: a node whose disk is full says so and releases nothing; the others serve.
func TestAFullDiskIsANamedState(t *testing.T) {
	scenario(t, func(s *stage) {
		victim := s.others(s.leader(s.IDs()))[0]
		full := s.inflict(schedule.Fault{Kind: schedule.FullDisk, Nodes: []string{victim}})
		s.eventually(warifutest.Patience, "the node says that its audit is full", func() bool {
			if got := s.asked(s.b, victim); got == "" {
				s.Fatal("it released with a full disk")
			}
			st := s.status(victim)
			return st != nil && strings.HasPrefix(st.State, "audit full")
		})
		s.must(s.load.Unwrap(s.Context(), warifutest.AppB))
		s.deny()
		if err := s.load.Unwrap(s.Context(), warifutest.AppA); err == nil {
			s.Error("A's envelope opens after the deny")
		}
		if full.Fired() == 0 {
			s.Error("the full disk refused nothing")
		}
		s.must(full.Heal())
		s.eventually(warifutest.Patience, "the node serves again", func() bool { return s.asked(s.b, victim) == "" })
		s.denies(victim)
	})
}

// Ledger time is the t-th largest of the anchors': fewer than t clocks that are
// ahead do not move it, and t do.
func TestAClockAheadDoesNotMoveLedgerTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ahead int
		moves bool
	}{{1, false}, {warifutest.Threshold - 1, false}, {warifutest.Threshold, true}} {
		scenario(t, func(s *stage) {
			off := s.inflict(schedule.Fault{Kind: schedule.ClockOffset, Nodes: s.IDs()[:tt.ahead], Time: time.Hour})
			time.Sleep(3 * time.Minute) // two rounds of anchors
			moved := time.UnixMilli(int64(s.status(s.IDs()[4]).LedgerTime)).After(time.Now())
			if moved != tt.moves {
				s.Errorf("%d clocks are an hour ahead, and ledger time is ahead: %v", tt.ahead, moved)
			}
			if off.Fired() == 0 {
				s.Error("nobody asked the clocks")
			}
		})
	}
}

// A node that was stopped and wakes up refuses until it is fresh: what was denied
// while it slept it does not release.
func TestANodeThatWakesUpRefusesUntilItIsFresh(t *testing.T) {
	scenario(t, func(s *stage) {
		victim := s.others(s.leader(s.IDs()))[0]
		if got := s.asked(s.a, victim); got != "" {
			s.Fatalf("%s answers %q", victim, got)
		}
		pause := s.inflict(schedule.Fault{Kind: schedule.Pause, Nodes: []string{victim}})
		s.deny()
		time.Sleep(maxStaleness)
		s.must(pause.Heal())
		for range 100 {
			if got := s.asked(s.a, victim); got == "" {
				s.Fatal("the node woke up and released what was denied while it slept")
			}
			time.Sleep(50 * time.Millisecond)
		}
		s.eventually(warifutest.Patience, "the node serves again", func() bool { return s.asked(s.b, victim) == "" })
		if pause.Fired() == 0 {
			s.Error("the pause held nothing")
		}
	})
}

// R30: a node that restarts while it is cut off has applied nothing, and releases
// nothing until it has heard from a majority and applied the log as it stands now.
func TestANodeThatRestartsCutOffReleasesNothing(t *testing.T) {
	scenario(t, func(s *stage) {
		victim := s.others(s.leader(s.IDs()))[0]
		s.must(s.Crash(victim))
		s.deny()
		cut := s.inflict(schedule.Fault{Kind: schedule.CutBoth, Nodes: []string{victim}, To: s.others(victim)})
		s.must(s.Start(victim))
		answered := 0
		for began := time.Now(); time.Since(began) < 3*maxStaleness; time.Sleep(200 * time.Millisecond) {
			for _, d := range []*warifutest.Direct{s.a, s.b} {
				switch s.asked(d, victim) {
				case "":
					s.Fatal("the node is cut off since it started, and released")
				case api.CodeUnreachable:
				default:
					answered++
				}
			}
		}
		if answered == 0 || cut.Fired() == 0 {
			s.Errorf("the node refused %d times, the cut dropped %d packets", answered, cut.Fired())
		}
		s.must(cut.Heal())
		s.eventually(warifutest.Patience, "the node serves again", func() bool { return s.asked(s.b, victim) == "" })
		s.denies(victim)
	})
}

// A leader that withholds entries from one node cannot make it release what the
// others have denied for longer than it may be stale, though all others answer it.
func TestWithheldEntriesMakeANodeStale(t *testing.T) {
	scenario(t, func(s *stage) {
		leader := s.leader(s.IDs())
		victim := s.others(leader)[0]
		cut := s.inflict(schedule.Fault{Kind: schedule.CutBoth, Nodes: []string{leader}, To: []string{victim}})
		s.deny()
		if s.leader(s.others(victim)) != leader {
			s.Fatal("another leads, who withholds nothing")
		}
		time.Sleep(maxStaleness)
		for range 20 {
			if got := s.asked(s.a, victim); got == "" {
				s.Fatal("the node released what the others have denied")
			}
			time.Sleep(500 * time.Millisecond)
		}
		if got := s.asked(s.b, victim); got != api.CodeStale {
			s.Errorf("it has not applied what the others have stored, and answers %q", got)
		}
		if st := s.status(victim); st == nil || st.State != "stale" || cut.Fired() == 0 {
			s.Errorf("its status is %+v; the cut dropped %d packets", st, cut.Fired())
		}
		s.must(cut.Heal())
		s.eventually(warifutest.Patience, "the node serves again", func() bool { return s.asked(s.b, victim) == "" })
	})
}
