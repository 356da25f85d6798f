package gate

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/policy"
)

var ten = []policy.Rate{{Name: "ten", Count: 10, Per: time.Minute}}

// tally counts what rates let through.
func tally(r *Rates, rates []policy.Rate, principal, key string, times int) (through int) {
	for range times {
		if by, _ := r.take(rates, principal, key, false); by == nil {
			through++
		}
	}
	return through
}

func TestRates(t *testing.T) {
	now := time.Hour
	r := NewRates(func() time.Duration { return now })
	if got := tally(r, ten, "a", "k", 20); got != 0 {
		t.Fatalf("at the start %d", got)
	}
	now += 6 * time.Second
	if got := tally(r, ten, "a", "k", 20); got != 1 {
		t.Fatalf("after a tenth of it %d", got)
	}
	now += time.Minute
	if got := tally(r, ten, "a", "k", 20); got != 10 {
		t.Fatalf("full, %d", got)
	}
	by, wait := r.take(ten, "a", "k", false)
	if by == nil || wait != 6*time.Second {
		t.Fatalf("empty: %v", wait)
	}
	for range 100 { // looking takes nothing, and being refused neither
		r.take(ten, "a", "k", true)
	}
	now += wait - 1
	if got := tally(r, ten, "a", "k", 1); got != 0 {
		t.Fatal("too early")
	}
	now++
	if got := tally(r, ten, "a", "k", 3); got != 1 {
		t.Fatalf("when it was said, %d", got)
	}
	if got := tally(r, ten, "b", "k", 20); got != 10 {
		t.Errorf("another principal: %d", got)
	}
	if got := tally(r, ten, "a", "other", 20); got != 10 {
		t.Errorf("another key: %d", got)
	}
	now += 24 * time.Hour
	if got := tally(r, ten, "a", "k", 20); got != 10 {
		t.Errorf("after a day %d: what was not used is not kept", got)
	}
}

// In any stretch of time no more goes through than was there at its beginning and came
// since; a restart in the middle of it adds nothing.
func TestARestartAddsNothingToARate(t *testing.T) {
	now := time.Hour
	clock := func() time.Duration { return now }
	r := NewRates(clock)
	now += time.Minute
	through := tally(r, ten, "a", "k", 20)
	for range 10 {
		r = NewRates(clock)
		now += 6 * time.Second
		through += tally(r, ten, "a", "k", 20)
	}
	if through > 10+10 {
		t.Errorf("%d in a minute with ten restarts", through)
	}
}

// Every rate that applies must let it through, and none is charged when one does not.
func TestEveryRateThatAppliesCounts(t *testing.T) {
	now := time.Hour
	r := NewRates(func() time.Duration { return now })
	now += time.Hour
	both := []policy.Rate{
		{Name: "slow", Principal: "a", Key: "k", Count: 2, Per: time.Minute},
		{Name: "fast", Count: 10, Per: time.Minute},
		{Name: "another's", Principal: "b", Count: 1, Per: time.Minute},
		{Name: "for another key", Key: "other", Count: 1, Per: time.Minute},
	}
	if got := tally(r, both, "a", "k", 20); got != 2 {
		t.Fatalf("got %d", got)
	}
	if got := tally(r, both[1:2], "a", "k", 20); got != 8 {
		t.Errorf("of the fast one %d are left", got)
	}
}

func TestRatesAreBoundedInMemory(t *testing.T) {
	now := time.Hour
	r := NewRates(func() time.Duration { return now })
	r.most = 100
	now += time.Hour
	for i := range 1000 {
		r.take(ten, fmt.Sprint(i), "k", false)
	}
	if len(r.full) != 100 {
		t.Fatalf("%d are remembered", len(r.full))
	}
	if got := tally(r, ten, "0", "k", 20); got != 9 {
		t.Errorf("who is remembered has %d left", got)
	}
	if by, wait := r.take(ten, "new", "k", false); by == nil || wait != sweepPause {
		t.Errorf("who is not has to wait %v", wait)
	}
	now += time.Minute // all are full again, and forgotten
	if got := tally(r, ten, "new", "k", 20); got != 10 {
		t.Errorf("with room %d", got)
	}
	if len(r.full) != 1 {
		t.Errorf("%d are remembered", len(r.full))
	}
}

func TestRatesTakeNoMemoryOnTheWay(t *testing.T) {
	now := time.Hour
	r := NewRates(func() time.Duration { return now })
	now += time.Hour
	many := make([]policy.Rate, policy.MaxRates)
	for i := range many {
		many[i] = policy.Rate{Name: fmt.Sprint(i), Principal: fmt.Sprint(i), Count: policy.MaxRateCount, Per: time.Second}
	}
	r.take(many, "7", "k", false)
	if n := testing.AllocsPerRun(100, func() { r.take(many, "7", "k", false) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRatesFromManySides(t *testing.T) {
	now := time.Hour
	r := NewRates(func() time.Duration { return now })
	now += time.Hour
	var mu sync.Mutex
	var all sync.WaitGroup
	through := 0
	for range 8 {
		all.Go(func() {
			n := tally(r, ten, "a", "k", 50)
			mu.Lock()
			defer mu.Unlock()
			through += n
		})
	}
	all.Wait()
	if through != 10 {
		t.Errorf("%d went through", through)
	}
}

const twoAMinute = "[[rate]]\nname = \"two\"\nprincipal = \"" + app + "\"\nkey = \"demo\"\ncount = 2\nper = \"1m\"\n"

// The gate counts what it lets through, by the policies of both states, and says when
// to ask again.
func TestTheGateCountsByTheRate(t *testing.T) {
	w := newWorld(t)
	free := w.committed
	w.committed = w.limited(w.committed, permit, twoAMinute)
	w.tail = w.committed
	bad := w.item(t)
	bad.Context = api.Context{"file": "b"}
	for range 5 {
		if a := w.one(t, app, bad); a.Refusal == nil || a.Refusal.Code != api.CodeEnvelope {
			t.Fatalf("got %+v", a)
		}
	}
	answer, err := w.ask(app, w.item(t), w.item(t), w.item(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range answer.Items {
		if (it.Refusal == nil) != (i < 2) {
			t.Fatalf("item %d: %v", i+1, it.Refusal)
		}
	}
	a := w.one(t, app, w.item(t))
	if r := a.Refusal; r == nil || r.Code != api.CodeRate || !r.Retryable || !strings.Contains(r.Sentence, "again in 30s") {
		t.Fatalf("got %+v", a.Refusal)
	}
	if r := w.recorder.records[len(w.recorder.records)-1]; r.Kind != audit.Refusal || r.Code != string(api.CodeRate) {
		t.Fatalf("recorded: %+v", r)
	}
	w.committed = free
	if a := w.one(t, app, w.item(t)); a.Refusal == nil || a.Refusal.Code != api.CodeRate {
		t.Fatalf("the tail's rate: %+v", a.Refusal)
	}
	w.tail = free
	if a := w.one(t, app, w.item(t)); a.Refusal != nil {
		t.Fatalf("no rate: %v", a.Refusal)
	}
}

// A policy that moves while the record is written does not count a request twice.
func TestARequestIsCountedOnce(t *testing.T) {
	w := newWorld(t)
	one := strings.Replace(twoAMinute, "count = 2", "count = 1", 1)
	w.committed = w.limited(w.committed, permit, one)
	w.tail = w.committed
	w.recorder.during = func() { w.tail = w.limited(w.tail, permit, one) }
	if a := w.one(t, app, w.item(t)); a.Refusal != nil {
		t.Fatal(a.Refusal)
	}
	if kinds := w.recorder.kinds(); len(kinds) != 1 || kinds[0] != audit.Release {
		t.Fatalf("recorded: %v", kinds)
	}
}
