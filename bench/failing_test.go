package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
)

const sec = time.Second

// The times of two failures, of which the second is over when it has struck.
func TestFailuresComeOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var did []string
		heals := func(ctx context.Context) error {
			did = append(did, "heal")
			time.Sleep(sec)
			return nil
		}
		strikes := func(whom string, takes time.Duration) func(context.Context) (string, error) {
			return func(context.Context) (string, error) {
				did = append(did, "strike")
				time.Sleep(takes)
				return whom, nil
			}
		}
		conf := FailingConfig{For: 3 * sec, Quiet: 2 * sec, Progress: func(string) {}, Failures: []Failure{
			{Name: "is struck", Strike: strikes("one", sec), Heal: heals},
			{Name: "two", Strike: strikes("", 4*sec), Lies: true},
		}}
		f := &Failing{}
		if err := f.direct(t.Context(), time.Now(), conf); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range f.Spells {
			got = append(got, fmt.Sprintf("%s %v-%v %v", s.Name, s.From, s.To, s.Fails))
		}
		if want := "before 0s-2s false, one is struck 2s-7s true, between 7s-9s false, two 9s-13s true, after 13s-15s false"; strings.Join(got, ", ") != want {
			t.Errorf("%q, want %q", got, want)
		}
		if strings.Join(did, ", ") != "strike, heal, strike" || !f.Lies {
			t.Errorf("did %q, lies: %v", did, f.Lies)
		}
	})
}

func TestWhatCannotFailOrHealEndsTheRun(t *testing.T) {
	bad := func(context.Context) error { return errors.New("no") }
	good := func(context.Context) error { return nil }
	strikes := func(do func(context.Context) error) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) { return "", do(ctx) }
	}
	for says, failure := range map[string]Failure{
		"x: no": {Name: "x", Strike: strikes(bad), Heal: good}, "x, and is to be well again: no": {Name: "x", Strike: strikes(good), Heal: bad},
	} {
		conf := FailingConfig{For: 1, Quiet: 1, Failures: []Failure{failure}, Progress: func(string) {}}
		if err := (&Failing{}).direct(t.Context(), time.Now(), conf); err == nil || err.Error() != says {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// What was under way while something failed belongs to that, what was refused is not what
// failed, and nothing is counted twice.
func TestEachRequestBelongsToOneSpell(t *testing.T) {
	began := time.Now()
	refused := &client.QuorumError{Reasons: []client.NodeReason{{Code: api.CodeOverloaded}}}
	unreachable := &client.QuorumError{Reasons: []client.NodeReason{{Code: api.CodeUnreachable}}}
	f := &Failing{Spells: []Spell{
		{Name: "before", To: 2 * sec}, {Name: "one", Fails: true, From: 2 * sec, To: 4 * sec}, {Name: "after", From: 4 * sec, To: 6 * sec},
	}}
	var all []event
	for _, e := range []struct {
		due, took time.Duration
		err       error
	}{
		{0, sec, nil},
		{sec, sec, nil},         // ends as it begins
		{sec, sec + 1, nil},     // is met by it
		{3 * sec, 2 * sec, nil}, // began meanwhile
		{3 * sec, sec, refused},
		{3 * sec, sec, unreachable},
		{3 * sec, sec, context.DeadlineExceeded},
		{4 * sec, sec, ErrWrong}, // due as it is over
		{7 * sec, sec, nil},      // later than all
	} {
		all = append(all, event{began.Add(e.due), e.took, e.err})
	}
	f.count(all)
	for i, want := range []Spell{
		{Asked: 2, P50: sec, Longest: sec}, {Asked: 5, P50: sec + 1, Longest: 2 * sec, Refused: 1, Failed: 2}, {Asked: 2, P50: sec, Longest: sec, Failed: 1},
	} {
		s := f.Spells[i]
		if s.Asked != want.Asked || s.P50 != want.P50 || s.Longest != want.Longest || s.Refused != want.Refused || s.Failed != want.Failed {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	opened, failed := 0, 0
	for _, s := range f.Slots {
		opened, failed = opened+s.Opened, failed+s.Failed
	}
	if opened != 5 || failed != 4 {
		t.Errorf("of nine requests %d were opened, and %d were not", opened, failed)
	}
}

// A load that is followed ends when it is told to, and says how much was put in.
func TestALoadEndsWhenItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := newWatch(t.Context())
		time.AfterFunc(10*sec+sec/2, stop)
		l := Load{N: maxOperations, InFlight: 4, Rate: 1, wait: sleeping, watch: w}
		taken, err := l.Run(t.Context(), func(context.Context, int) error { return nil })
		if err != nil || taken.N != 11 || len(w.all) != taken.N {
			t.Errorf("%+v, %d seen, %v", taken, len(w.all), err)
		}
		if began := <-w.begun; !w.all[0].due.Equal(began) {
			t.Errorf("it began at %v, and the first was due at %v", began, w.all[0].due)
		}
	})
}

func TestFailuresOutOfBoundsAreRefused(t *testing.T) {
	shape := Shape{Load: Load{N: 1, InFlight: 1, Rate: 1}, Batch: 1, Clients: 1, Envelopes: 1}
	good := FailingConfig{Failures: []Failure{{}}, For: sec, Quiet: sec}
	if err := good.Check(shape); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*FailingConfig, *Shape){
		"nothing fails":    func(c *FailingConfig, _ *Shape) { c.Failures = nil },
		"too much fails":   func(c *FailingConfig, _ *Shape) { c.Failures = make([]Failure, maxFailures+1) },
		"for no time":      func(c *FailingConfig, _ *Shape) { c.For = 0 },
		"no rest":          func(c *FailingConfig, _ *Shape) { c.Quiet = 0 },
		"a closed loop":    func(_ *FailingConfig, s *Shape) { s.Rate = 0 },
		"each envelope":    func(_ *FailingConfig, s *Shape) { s.Envelopes = 0 },
		"it is encryption": func(_ *FailingConfig, s *Shape) { s.Encrypts = true },
	} {
		c, s := good, shape
		if change(&c, &s); c.Check(s) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A run in which a node was to lie is no good if nobody noticed.
func TestALieIsToBeNoticed(t *testing.T) {
	for name, row := range map[string]struct {
		run  Run
		says string
	}{
		"noticed":          {Run{Failing: &Failing{Lies: true}, Warnings: 1}, ""},
		"not noticed":      {Run{Failing: &Failing{Lies: true}}, "no client has noticed"},
		"nobody was to":    {Run{Failing: &Failing{}, Warnings: 1, Warned: []string{"false"}}, "warn 1 times: false"},
		"nothing happened": {Run{Failing: &Failing{}}, ""},
	} {
		if err := row.run.Err(); (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
