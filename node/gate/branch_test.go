package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/node/internal/trial"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// hour is the interval of an hour that the trial's clock stands in.
const hour = trial.Created / 1000 / 3600 * 3600

// branchOf is the branch of an hour of somebody's items of one file; of nobody's, it is to
// encrypt.
func (y *tallied) branchOf(principal string) api.BranchItem {
	return api.BranchItem{Key: y.key.ID, Version: 1, Context: fileA, From: hour, Seconds: 3600, Principal: principal}
}

// branch asks n1 for its part of a branch key.
func (y *tallied) branch(ctx context.Context, principal string, b api.BranchItem, each bool) (*api.UnwrapAnswer, error) {
	sets := wired(y.part(1))
	if each {
		sets = wired(tprf.Held(y.params, 1))
	}
	return y.gate.Branch(ctx, y.caller(principal), &api.BranchRequest{
		RequestID: api.RequestID{9}, Reason: "a test", Sets: sets, Each: each, Items: []api.BranchItem{b},
	})
}

// of is the branch that a request comes to when this principal asks.
func (y *tallied) of(b api.BranchItem, asks string) tprf.Branch {
	who := b.Principal
	if who == "" {
		who = asks
	}
	return tprf.Branch{Key: y.key, Context: b.Context.Canonical(), Interval: tprf.Interval{From: b.From, Seconds: b.Seconds}, Principal: who}
}

// lent is the branch key of which n1 has given its part, with that of the holder 3.
func (y *tallied) lent(t *testing.T, of tprf.Branch, partial []byte) *tprf.BranchKey {
	t.Helper()
	other, err := y.all[3].Sum(y.part(3), of.Input())
	if err != nil {
		t.Fatal(err)
	}
	f, err := tprf.Combine(y.params, map[sharing.Index]tprf.Value{1: tprf.Value(partial), 3: other})
	if err != nil {
		t.Fatal(err)
	}
	return tprf.NewBranchKey(of, f)
}

func TestABranchKeyIsLent(t *testing.T) {
	y := newTally(t)
	// To encrypt: whose it is the connection says, and each set's value is told.
	a, err := y.branch(t.Context(), writer, y.branchOf(""), true)
	values := split(t, tprf.Held(y.params, 1), value(t, a, err).Values)
	var sum tprf.Value
	for _, s := range y.part(1) {
		sum = sum.XOR(values[s])
	}
	makes := y.lent(t, y.of(y.branchOf(""), writer), sum[:])
	// To open, by somebody else, who names whose it is.
	a, err = y.branch(t.Context(), reader, y.branchOf(writer), false)
	opens := y.lent(t, y.of(y.branchOf(writer), reader), value(t, a, err).Partial)
	if !makes.Same(opens) {
		t.Fatal("who encrypts and who opens have two keys")
	}
	whole := api.Context{"file": "a", "row": "7"}.Canonical()
	raw, err := makes.Seal(rand.Reader, []string{"file"}, whole, dek)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tprf.ParseBranched(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := opens.Open(c, whole); err != nil || !got.Equal(dek) {
		t.Fatal(err)
	}
	// What another encrypts in is another branch.
	a, err = y.branch(t.Context(), reader, y.branchOf(""), false)
	if y.lent(t, y.of(y.branchOf(""), reader), value(t, a, err).Partial).Same(makes) {
		t.Error("two principals encrypt into one branch")
	}
	for i, r := range y.recorder.records {
		of := y.of(y.branchOf([]string{"", writer, ""}[i]), []string{writer, reader, reader}[i])
		if r.Kind != audit.Release || r.Action != policy.UnwrapBranch || r.BranchFrom != hour || r.Branch != 3600 || r.Envelope != of.Input().Hash() ||
			r.Writer != of.Principal || r.KeyName != "tally" || r.Principal != []string{writer, reader, reader}[i] {
			t.Errorf("recorded %+v", r)
		}
	}
	// The envelope itself is none that a node opens.
	if a, err := y.decrypt(writer, fileA, raw, false); err != nil || a.Items[0].Refusal == nil || a.Items[0].Refusal.Code != api.CodeEnvelope {
		t.Errorf("an item of a branch is opened by itself: %+v, %v", a, err)
	}
}

// No branch key is lent for an interval that has not begun by this node's clock, or the
// interval would bound no revocation; and none to encrypt in one that is over.
func TestAnIntervalMustHaveBegun(t *testing.T) {
	begin, end := time.Unix(hour, 0), time.Unix(hour+3600, 0)
	for _, tt := range []struct {
		sentence    string
		now         time.Time
		make, opens bool
	}{
		{"long before", begin.Add(-48 * time.Hour), false, false},
		{"a moment before", begin.Add(-time.Millisecond), false, false},
		{"when it begins", begin, true, true},
		{"in its last moment", end.Add(-time.Millisecond), true, true},
		{"a moment later, by a clock that is ahead", end.Add(api.BranchSkew - time.Millisecond), true, true},
		{"when it is over", end.Add(api.BranchSkew), false, true},
		{"long after", end.Add(1000 * time.Hour), false, true},
	} {
		y := newTally(t)
		y.now = tt.now
		for principal, want := range map[string]bool{"": tt.make, writer: tt.opens} {
			a, err := y.branch(t.Context(), writer, y.branchOf(principal), false)
			if err != nil {
				t.Fatal(err)
			}
			r := a.Items[0].Refusal
			if (r == nil) != want || r != nil && (r.Code != api.CodeInterval || !r.Retryable || a.Items[0].Partial != nil) {
				t.Errorf("%s, of %q: %+v", tt.sentence, principal, a.Items[0])
			}
		}
		// Who may not use the key does not hear of intervals.
		a, err := y.branch(t.Context(), visitor, y.branchOf(writer), false)
		if err != nil || a.Items[0].Refusal == nil || a.Items[0].Refusal.Code != api.CodeDenied {
			t.Errorf("%s, a visitor: %+v, %v", tt.sentence, a, err)
		}
	}
	// It is over while the record is written.
	y := newTally(t)
	y.now = end
	y.recorder.during = func() { y.recorder.during = nil; y.now = end.Add(api.BranchSkew) }
	a, err := y.branch(t.Context(), writer, y.branchOf(""), false)
	if err != nil || a.Items[0].Refusal == nil || a.Items[0].Refusal.Code != api.CodeInterval || y.recorder.records[1].Kind != audit.Withheld {
		t.Errorf("%+v, %v", a, err)
	}
}

// The policy decides about the pairs that the branch names, about how long it is, and, for
// who encrypts, about encrypting as well.
func TestThePolicyDecidesAboutABranch(t *testing.T) {
	only := func(actions string, when string) string {
		return strings.Replace(strings.TrimSuffix(tallyPermit, ";"), "action,", "action in ["+actions+"],", 1) + when + ";"
	}
	const encrypt, branch, unwrap = `Warifu::Action::"encrypt"`, `Warifu::Action::"unwrapBranch"`, `Warifu::Action::"unwrap"`
	writes := strings.Replace(only(encrypt, ""), `@id("apps")`, `@id("writes")`, 1)
	minute := func(b *api.BranchItem) { b.From, b.Seconds = trial.Created/1000/60*60, 60 }
	fileB := func(b *api.BranchItem) { b.Context = api.Context{"file": "b"} }
	for _, tt := range []struct {
		sentence    string
		policy      string
		change      func(*api.BranchItem)
		make, opens bool
	}{
		{"both actions", only(encrypt+","+branch, ""), nil, true, true},
		{"that of branches alone", only(branch, ""), nil, false, true},
		{"that of encrypting alone", only(encrypt, ""), nil, false, false},
		{"those of items", only(encrypt+","+unwrap, ""), nil, false, false},
		{"any", tallyPermit, nil, true, true},
		{"minutes, and it is an hour", only(branch, " when { context.branchSeconds <= 300 }") + writes, nil, false, false},
		{"minutes, and it is one", only(branch, " when { context.branchSeconds <= 300 }") + writes, minute, true, true},
		{"one file", only(branch+","+encrypt, ` when { context.envelope.file == "a" }`), nil, true, true},
		{"one file, and it is another", only(branch+","+encrypt, ` when { context.envelope.file == "a" }`), fileB, false, false},
		{"no encrypting of this file", tallyPermit + ` forbid (principal, action == ` + encrypt + `, resource) when { context.envelope.file == "a" };`, nil, false, true},
	} {
		for _, in := range []string{"committed", "the tail"} {
			y := newTally(t)
			under := y.rules(y.committed, tt.policy)
			if y.tail = under; in == "committed" {
				y.tail, y.committed = y.committed, under
			}
			for principal, want := range map[string]bool{"": tt.make, writer: tt.opens} {
				b := y.branchOf(principal)
				if tt.change != nil {
					tt.change(&b)
				}
				a, err := y.branch(t.Context(), writer, b, false)
				if err != nil {
					t.Fatal(err)
				}
				if r := a.Items[0].Refusal; (r == nil) != want || r != nil && r.Code != api.CodeDenied {
					t.Errorf("%s in %s, of %q: %v", tt.sentence, in, principal, r)
				}
			}
		}
	}
	// A key that is deactivated opens, and nothing is encrypted in a branch of it.
	y := newTally(t)
	y.tail = y.moved(y.committed, authority.Deactivated)
	for principal, want := range map[string]api.Code{"": api.CodeKeyState, writer: ""} {
		a, err := y.branch(t.Context(), writer, y.branchOf(principal), false)
		if err != nil {
			t.Fatal(err)
		}
		if r := a.Items[0].Refusal; (r == nil) != (want == "") || r != nil && r.Code != want {
			t.Errorf("deactivated, of %q: %v", principal, r)
		}
	}
}

// Of one request each branch is decided by itself: that one of an interval which has begun,
// is short, and is only opened, passes says nothing of the others.
func TestBranchesOfOneRequestAreDecidedOneByOne(t *testing.T) {
	y := newTally(t)
	text := strings.Replace(strings.TrimSuffix(tallyPermit, ";"), "action,", `action == Warifu::Action::"unwrapBranch",`, 1) + " when { context.branchSeconds <= 3600 };"
	y.committed = y.rules(y.committed, text)
	y.tail = y.committed
	good := y.branchOf(writer)
	next, day, makes := good, good, y.branchOf("")
	next.From += 3600
	day.From, day.Seconds = hour/86400*86400, 86400
	want := []api.Code{"", api.CodeInterval, api.CodeDenied, api.CodeDenied, ""}
	a, err := y.gate.Branch(t.Context(), y.caller(writer), &api.BranchRequest{
		Reason: "a test", Sets: wired(y.part(1)), Items: []api.BranchItem{good, next, day, makes, good},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range a.Items {
		if (it.Refusal == nil) != (want[i] == "") || it.Refusal != nil && (it.Refusal.Code != want[i] || it.Partial != nil) {
			t.Errorf("branch %d of the request: %+v", i, it.Refusal)
		}
	}
}

// A use of a grant is for one branch, however often its key is asked for.
func TestAGrantLendsOneBranchWithEachUse(t *testing.T) {
	y := newTally(t)
	d := doctorsOf(t, y.world, strings.Replace(byGrant, `"demo"`, `"tally"`, 1))
	g := d.grant()
	g.Action = authority.ActionUnwrapBranch
	var id api.Digest
	d.committed, id = d.put(t, d.committed, "n1", g, d.signers[0], d.signers[2])
	d.tail = d.committed
	ask := func(from int64, slot uint32) (api.Code, uint32) {
		t.Helper()
		b := y.branchOf(writer)
		if b.From = from; slot > 0 {
			b.Use = &api.Use{Grant: id, Slot: slot}
		}
		a, err := y.branch(t.Context(), app, b, false)
		if err != nil {
			t.Fatal(err)
		}
		if r := a.Items[0].Refusal; r != nil {
			return r.Code, a.Items[0].NextSlot
		}
		return "", 0
	}
	for _, tt := range []struct {
		sentence string
		from     int64
		slot     uint32
		code     api.Code
		next     uint32
	}{
		{"without a grant", hour, 0, api.CodeGrant, 0},
		{"the first branch", hour, 1, "", 0},
		{"the same again", hour, 1, "", 0},
		{"the hour before, in the same use", hour - 3600, 1, api.CodeSlot, 2},
		{"in the next use", hour - 3600, 2, "", 0},
		{"an hour too many", hour - 7200, 2, api.CodeGrant, 0},
	} {
		if code, next := ask(tt.from, tt.slot); code != tt.code || next != tt.next {
			t.Errorf("%s: %q, next %d", tt.sentence, code, next)
		}
	}
	// It is not for items, nor does it let anybody encrypt where that takes a grant.
	a, err := y.gate.Unwrap(t.Context(), y.caller(app), &api.UnwrapRequest{
		Sets: wired(y.part(1)), Items: []api.UnwrapItem{{Envelope: y.sealed(t), Context: fileA, Use: &api.Use{Grant: id, Slot: 1}}},
	})
	if err != nil || a.Items[0].Refusal == nil || a.Items[0].Refusal.Code != api.CodeGrant {
		t.Errorf("an item by a grant for branches: %+v, %v", a, err)
	}
	// Nor is one for items good for branches.
	var items api.Digest
	forItems := d.grant()
	forItems.Action = authority.ActionUnwrap
	d.committed, items = d.put(t, d.committed, "n1", forItems, d.signers[0], d.signers[2])
	d.tail = d.committed
	b := y.branchOf(writer)
	b.Use = &api.Use{Grant: items, Slot: 1}
	if a, err := y.branch(t.Context(), app, b, false); err != nil || a.Items[0].Refusal == nil || a.Items[0].Refusal.Code != api.CodeGrant {
		t.Errorf("a branch by a grant for items: %+v, %v", a, err)
	}
	b = y.branchOf("")
	b.Use = &api.Use{Grant: id, Slot: 1}
	if a, err := y.branch(t.Context(), app, b, false); err != nil || a.Items[0].Refusal == nil || a.Items[0].Partial != nil {
		t.Errorf("to encrypt by it: %+v, %v", a, err)
	}
}

// sealed is an item that no node has helped to make.
func (y *tallied) sealed(t *testing.T) []byte {
	t.Helper()
	s, err := tprf.Begin(rand.Reader, y.key, app, fileA.Canonical(), dek)
	if err != nil {
		t.Fatal(err)
	}
	return s.Finish(tprf.Value{})
}

func TestBranchesThatAreNone(t *testing.T) {
	y := newTally(t)
	for sentence, change := range map[string]func(*api.BranchItem){
		"a length there is not":    func(b *api.BranchItem) { b.Seconds = 7200 },
		"no length":                func(b *api.BranchItem) { b.Seconds = 0 },
		"between two intervals":    func(b *api.BranchItem) { b.From++ },
		"before all time":          func(b *api.BranchItem) { b.From = -3600 },
		"a principal that is none": func(b *api.BranchItem) { b.Principal = "somebody" },
		"a context that is none":   func(b *api.BranchItem) { b.Context = api.Context{"": "x"} },
	} {
		b := y.branchOf(writer)
		change(&b)
		a, err := y.branch(t.Context(), writer, b, false)
		if err != nil || a.Items[0].Refusal == nil || a.Items[0].Refusal.Code != api.CodeMalformed {
			t.Errorf("%s: %+v, %v", sentence, a, err)
		}
	}
	refusal := api.Refuse(api.CodeDenied, "no")
	y.recorder.records = nil
	err := y.gate.RefuseBranch(t.Context(), y.caller(visitor), &api.BranchRequest{Items: []api.BranchItem{y.branchOf(writer)}}, refusal, "the class operator")
	if !errors.Is(err, error(refusal)) {
		t.Error(err)
	}
	if r := y.recorder.records; len(r) != 1 || r[0].Kind != audit.Refusal || r[0].Action != policy.UnwrapBranch || r[0].KeyName != "tally" || r[0].Branch != 3600 {
		t.Errorf("recorded %+v", r)
	}
}
