package auditor

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
)

// export takes an export of w and returns it, opened.
func (w *world) export(dir string, since int64, keys ...*authority.SignedRecord) (*Folder, *Manifest) {
	w.t.Helper()
	var anchors []*authority.VerifiedAnchor
	for _, id := range w.ids() {
		anchors = append(anchors, w.anchor(id))
	}
	m, err := Take(context.Background(), Request{Dir: dir, Genesis: w.genesis, Chain: w.chain, Left: w.left, Source: w, Since: since, Now: w.clock, Anchors: anchors, Keys: keys})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.open(dir), m
}

func (w *world) open(dir string) *Folder {
	w.t.Helper()
	f, err := Open(dir, w.genesis.Hash())
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func mustVerify(t testing.TB, f *Folder, given Given) *Report {
	t.Helper()
	r, err := f.Verify(given, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sound says why an export is not whole and good, or nothing.
func sound(r *Report) string {
	for _, n := range r.Nodes {
		if n.Damage != nil || n.Absent != "" {
			return fmt.Sprintf("%s: %v%s", n.Node, n.Damage, n.Absent)
		}
	}
	return strings.Join(slices.Concat(r.Notes, r.History.Doubts), "; ")
}

// busy is a world with a policy, a CA, a key and some releases.
func busy(t testing.TB) (*world, *authority.SignedRecord) {
	w := newWorld(t)
	w.put(authority.KindPolicy, document(allOfClerks+byDay), api.Digest{})
	w.put(authority.KindCA, w.ca("trial"), api.Digest{})
	key := w.key("payroll")
	w.tick(time.Hour)
	for i := range 20 {
		w.release(byte(i+1), alice, "payroll", key.Record.Key, "ticket", w.ids()[i%3:][:3]...)
		w.tick(time.Second)
	}
	return w, key
}

// An export is whole, goes on where it broke off, and later with what has come since.
func TestAnExportGoesOnWhereItBrokeOff(t *testing.T) {
	w, key := busy(t)
	dir := filepath.Join(t.TempDir(), "export")
	for w.breaksOff = 1; w.breaksOff < 5; w.breaksOff++ {
		w.answered = 0
		_, m := w.export(dir, 0, key)
		if lacking := m.Incomplete(); len(lacking) == 0 || !strings.Contains(lacking[0].State, errDown.Error()) {
			t.Fatalf("broken off after %d pages: %+v", w.breaksOff, m)
		}
		if r := mustVerify(t, w.open(dir), Given{}); len(r.Lacking()) == 0 {
			t.Fatal("an export that broke off has all nodes")
		}
	}
	w.breaksOff = 0
	f, m := w.export(dir, 0, key)
	if r := mustVerify(t, f, Given{}); len(m.Incomplete()) != 0 || sound(r) != "" || r.Nodes[0].Held != w.logs["n1"].Size() || r.Nodes[0].Anchored != r.Nodes[0].Size || r.Nodes[0].Checked {
		t.Fatalf("%+v, %s, %+v", m, sound(r), r.Nodes[0])
	}
	before, anchors := mustVerify(t, f, Given{}).Nodes[0].Size, len(f.anchors)
	w.release(99, alice, "payroll", key.Record.Key, "later", w.ids()...)
	f, _ = w.export(dir, 0, key)
	if r := mustVerify(t, f, Given{}); sound(r) != "" || r.Nodes[0].Size != before+1 || len(f.anchors) != anchors+5 {
		t.Errorf("gone on with: %s, %d records after %d", sound(r), r.Nodes[0].Size, before)
	}
	if _, err := Take(context.Background(), Request{Dir: dir, Genesis: w.genesis, Source: w, Since: 1}); !errors.Is(err, ErrOtherExport) {
		t.Errorf("another --since: %v", err)
	}
	if _, err := Take(context.Background(), Request{Dir: dir, Genesis: newWorld(t).genesis, Source: w}); !errors.Is(err, ErrOtherExport) {
		t.Errorf("another cluster: %v", err)
	}
	w.denies = api.Refuse(api.CodeDenied, "no")
	var refused *api.Error
	if _, err := Take(context.Background(), Request{Dir: dir, Genesis: w.genesis, Source: w}); !errors.As(err, &refused) || refused.Code != api.CodeDenied {
		t.Errorf("denied by all: %v", err)
	}
	if _, err := Open(dir, api.Digest{1}); !errors.Is(err, ErrGenesis) {
		t.Errorf("another hash: %v", err)
	}
	if _, err := Open(t.TempDir(), w.genesis.Hash()); !errors.Is(err, ErrNoExport) {
		t.Errorf("an empty folder: %v", err)
	}
}

// A node that is down is named, and so is one whose log was taken out of the folder.
func TestAMissingNodeIsNamed(t *testing.T) {
	w, key := busy(t)
	dir := filepath.Join(t.TempDir(), "export")
	w.down["n4"] = true
	f, m := w.export(dir, 0, key)
	if lacking := m.Incomplete(); len(lacking) != 1 || lacking[0].Node != "n4" {
		t.Fatalf("%+v", m)
	}
	r := mustVerify(t, f, Given{})
	if lacking := r.Lacking(); len(lacking) != 1 || lacking[0].Node != "n4" || !strings.Contains(lacking[0].Absent, errDown.Error()) {
		t.Errorf("down: %+v", lacking)
	}
	if r := mustVerify(t, f, Given{Without: []string{"n4"}}); len(r.Lacking()) != 0 {
		t.Errorf("known to be missing: %+v", r.Lacking())
	}
	if _, err := f.Verify(Given{Without: []string{"n9"}}, nil); err == nil {
		t.Error("a node that there is not was left out")
	}
	w.down["n4"] = false
	f, _ = w.export(dir, 0, key)
	if r := mustVerify(t, f, Given{}); sound(r) != "" {
		t.Error(sound(r))
	}
	if err := os.RemoveAll(nodeDir(dir, "n2")); err != nil {
		t.Fatal(err)
	}
	if lacking := mustVerify(t, f, Given{}).Lacking(); len(lacking) != 1 || lacking[0].Node != "n2" {
		t.Errorf("taken out: %+v", lacking)
	}
	if err := os.Rename(nodeDir(dir, "n3"), nodeDir(dir, "n2")); err != nil {
		t.Fatal(err)
	}
	if bad := mustVerify(t, f, Given{}).Damaged(); len(bad) != 1 || bad[0].Node != "n2" || !errors.Is(bad[0].Damage, audit.ErrBadCheckpoint) {
		t.Errorf("another's in its place: %+v", bad)
	}
}

// Of a node whose log was cut, with a checkpoint and anchors of that time, only what
// was kept elsewhere tells; without it the end is not checked. One that was rewritten
// and signed anew is named with the record from which on it is another.
func TestTheEndIsCheckedAgainstWhatWasKept(t *testing.T) {
	w, key := busy(t)
	older := filepath.Join(t.TempDir(), "older")
	of, _ := w.export(older, 0, key)
	kept := mustVerify(t, of, Given{}).Nodes[0].Size
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.CopyFS(cut, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	w.release(99, alice, "payroll", key.Record.Key, "later", w.ids()...)
	dir := filepath.Join(t.TempDir(), "export")
	f, _ := w.export(dir, 0, key)
	r := mustVerify(t, f, Given{Older: of})
	if sound(r) != "" || !r.Nodes[0].Checked || r.Nodes[0].Kept != kept || r.Nodes[0].Size != kept+1 {
		t.Errorf("%s, %+v", sound(r), r.Nodes[0])
	}
	signed, err := w.logs["n1"].Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	r = mustVerify(t, f, Given{Checkpoints: [][]byte{signed}, Anchors: [][]byte{w.anchor("n2").Entry()}})
	if !r.Nodes[0].Checked || r.Nodes[0].Kept != kept+1 || !r.Nodes[1].Checked || r.Nodes[2].Checked {
		t.Errorf("%+v", r.Nodes)
	}
	// What is in cut is whole in itself.
	whole := w.open(cut)
	if r := mustVerify(t, whole, Given{}); sound(r) != "" || r.Nodes[0].Checked {
		t.Errorf("%s, %+v", sound(r), r.Nodes[0])
	}
	var damage *audit.DamagedError
	for what, given := range map[string]Given{
		"a checkpoint": {Checkpoints: [][]byte{signed}}, "an anchor": {Anchors: [][]byte{w.anchor("n1").Entry()}}, "a newer export": {Older: f},
	} {
		bad := mustVerify(t, whole, given).Damaged()
		if len(bad) == 0 || bad[0].Node != "n1" || !errors.As(bad[0].Damage, &damage) || damage.Index != kept {
			t.Errorf("cut, against %s: %+v", what, bad)
		}
	}
	for what, given := range map[string]Given{
		"a checkpoint of nobody": {Checkpoints: [][]byte{[]byte("warifu/x/n1\n1\nAA==\n\n")}},
		"no anchor":              {Anchors: [][]byte{{1, 2, 3}}},
		"another cluster's":      {Anchors: [][]byte{newWorld(t).anchor("n1").Entry()}},
	} {
		if _, err := f.Verify(given, nil); err == nil {
			t.Errorf("%s was taken", what)
		}
	}

	// n1 keeps another log from its sixth record on, and signs it.
	other := w.openLog("n1", filepath.Join(t.TempDir(), "n1"))
	for i := range w.logs["n1"].Size() {
		record, err := w.logs["n1"].Read(i)
		if err != nil {
			t.Fatal(err)
		}
		if i == 5 {
			record.Reason = "another"
		}
		if _, err := other.Append(context.Background(), record); err != nil {
			t.Fatal(err)
		}
	}
	true1 := w.logs["n1"]
	w.logs["n1"] = other
	forged := filepath.Join(t.TempDir(), "forged")
	ff, _ := w.export(forged, 0, key)
	if r := mustVerify(t, ff, Given{}); sound(r) != "" {
		t.Errorf("by itself it is whole: %s", sound(r))
	}
	bad := mustVerify(t, ff, Given{Older: of}).Damaged()
	if len(bad) != 1 || bad[0].Node != "n1" || !errors.As(bad[0].Damage, &damage) || damage.Unplaced || damage.Index != 5 || !strings.Contains(bad[0].Damage.Error(), "n1 signed two logs") {
		t.Errorf("a log that was rewritten: %+v", bad)
	}
	bad = mustVerify(t, ff, Given{Checkpoints: [][]byte{signed}}).Damaged()
	if len(bad) != 1 || !strings.Contains(bad[0].Damage.Error(), "n1 signed two logs") {
		t.Errorf("against a checkpoint: %+v", bad)
	}
	w.logs["n1"] = true1
}

// Damage of one log is named by node and record, and nothing that it says is in an
// answer; the others still answer.
func TestADamagedLogAnswersNothing(t *testing.T) {
	w, key := busy(t)
	dir := filepath.Join(t.TempDir(), "export")
	f, _ := w.export(dir, 0, key)
	name := filepath.Join(nodeDir(dir, "n3"), "records")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-60] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	found, r, err := f.Query(Given{}, Question{})
	if err != nil {
		t.Fatal(err)
	}
	var damage *audit.DamagedError
	if bad := r.Damaged(); len(bad) != 1 || bad[0].Node != "n3" || !errors.As(bad[0].Damage, &damage) || damage.Index != w.logs["n3"].Size()-1 {
		t.Errorf("%+v", bad)
	}
	if len(found) != 20 {
		t.Errorf("%d answers", len(found))
	}
	for _, a := range found {
		if slices.Contains(a.By(Released), "n3") {
			t.Fatal("a damaged log answers")
		}
	}
	// A node that signs an entry which custodians did not is a liar, and named.
	forged := w.sign(authority.KindRevoke, wire.Encode(authority.Revoke{Subject: authority.Subject{Kind: authority.SubjectPrincipal, Name: bob}}), api.Digest{})
	forged.Signatures = forged.Signatures[:1]
	for what, record := range map[string]audit.Record{
		"too few signatures": w.taken(forged),
		"no entry":           {Kind: audit.Change, Entry: []byte("WE1 and nothing")},
		"another's record":   {Kind: audit.Stop},
	} {
		w, key := busy(t)
		node := "n2"
		if what == "another's record" {
			record.Time, record.Node = w.clock, "n1"
			if _, err := w.logs[node].Append(context.Background(), record); err != nil {
				t.Fatal(err)
			}
		} else {
			w.record(record, node)
		}
		f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key)
		if bad := mustVerify(t, f, Given{}).Damaged(); len(bad) != 1 || bad[0].Node != node || !errors.As(bad[0].Damage, &damage) || damage.Index != w.logs[node].Size()-1 {
			t.Errorf("%s: %+v", what, bad)
		}
	}
}

// What a damaged log tells of the ledger counts for nothing either: whoever can write in
// the folder has no need of a node to put something there.
func TestADamagedLogTellsNothingOfTheLedger(t *testing.T) {
	w, key := busy(t)
	before, _ := w.export(filepath.Join(t.TempDir(), "before"), 0, key)
	was, _, err := before.WhoCould(Given{}, "payroll", w.clock)
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{"n1", "n2", "n3"}
	w.index++
	w.record(w.taken(w.sign(authority.KindPolicy, document(byDay), was.Change)), bad...)
	w.release(99, alice, "payroll", key.Record.Key, "ticket", bad...)
	dir := filepath.Join(t.TempDir(), "after")
	f, _ := w.export(dir, 0, key)
	for _, n := range bad {
		name := filepath.Join(nodeDir(dir, n), "records")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-60] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	could, r, err := f.WhoCould(Given{}, "payroll", w.clock)
	if err != nil || len(r.Damaged()) != len(bad) || could.Change != was.Change || says(could) != says(was) {
		t.Errorf("%s by the policy %s; before it was %s by %s; damaged are %+v, %v", says(could), could.Change, says(was), was.Change, r.Damaged(), err)
	}
}

// A node that fills its log with what looks like entries uses up its own room.
func TestEachNodeHasRoomForItsEntries(t *testing.T) {
	w := newWorld(t)
	junk := func(i int) *audit.Indexed {
		e := w.sign(authority.KindPolicy, []byte{byte(i)}, api.Digest{})
		return &audit.Indexed{Index: uint64(i), Record: w.taken(e)}
	}
	for what, c := range map[string]*chronicle{
		"entries": {genesis: w.genesis, told: map[api.Digest]*told{}, checked: map[[32]byte]error{}, room: map[string]*room{"n1": {entries: 3, bytes: 1 << 20}}},
		"bytes":   {genesis: w.genesis, told: map[api.Digest]*told{}, checked: map[[32]byte]error{}, room: map[string]*room{"n1": {entries: 9, bytes: 1500}}},
	} {
		refused := false
		for i := range 9 {
			refused = refused || c.take("n1", junk(i)) != nil
		}
		if !refused {
			t.Errorf("%s: nothing is too many", what)
		}
		if err := c.take("n2", junk(100)); err != nil {
			t.Errorf("%s: another node has no room left: %v", what, err)
		}
	}
}

// Of 10,000 records in five logs, one that is altered, dropped, moved, there twice or
// cut off is named by its node and its index, and no other node is.
func TestDamageIsNamedByNodeAndIndex(t *testing.T) {
	w := newWorld(t)
	const each = 2_000
	for _, id := range w.ids() {
		for n := 0; n < each; n += 100 {
			var records []audit.Record
			for i := range 100 {
				records = append(records, audit.Record{Time: w.clock + int64(n+i), Node: id, Kind: audit.Release, RequestID: [16]byte{byte(n), byte(i)}, KeyName: "payroll"})
			}
			if _, err := w.logs[id].Append(context.Background(), records...); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "export")
	f, _ := w.export(dir, 0)
	if r := mustVerify(t, f, Given{}); sound(r) != "" || r.Nodes[4].Held != each {
		t.Fatal(sound(r))
	}
	const header, hash = 20, 32
	for what, alter := range map[string]func(frames [][]byte, i int) [][]byte{
		"altered": func(frames [][]byte, i int) [][]byte { frames[i][header+9] ^= 1; return frames },
		"dropped": func(frames [][]byte, i int) [][]byte { return slices.Delete(frames, i, i+1) },
		"swapped": func(frames [][]byte, i int) [][]byte {
			frames[i], frames[i+400] = frames[i+400], frames[i]
			return frames
		},
		"doubled": func(frames [][]byte, i int) [][]byte { return slices.Insert(frames, i, frames[i-1]) },
		"cut off": func(frames [][]byte, i int) [][]byte { return frames[:i] },
		"another's": func(frames [][]byte, i int) [][]byte {
			b, err := os.ReadFile(filepath.Join(nodeDir(dir, "n1"), "records"))
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for range i {
				at += header + int(binary.BigEndian.Uint32(b[at:])) + hash
			}
			frames[i] = b[at : at+len(frames[i])]
			return frames
		},
	} {
		for node, i := range map[string]int{"n2": 1, "n3": 999, "n5": 1_599} {
			name := filepath.Join(nodeDir(dir, node), "records")
			whole, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var frames [][]byte
			for b := slices.Clone(whole); len(b) > 0; {
				n := header + int(binary.BigEndian.Uint32(b)) + hash
				frames, b = append(frames, b[:n:n]), b[n:]
			}
			if err := os.WriteFile(name, slices.Concat(alter(frames, i)...), 0o600); err != nil {
				t.Fatal(err)
			}
			bad := mustVerify(t, f, Given{}).Damaged()
			var damage *audit.DamagedError
			if len(bad) != 1 || bad[0].Node != node || !errors.As(bad[0].Damage, &damage) || damage.Unplaced || damage.Index != uint64(i) {
				t.Errorf("record %d of %s %s: %+v", i, node, what, bad)
			}
			if err := os.WriteFile(name, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// With a time given, only records from then on are taken, and of those before it the
// entries that the ledger took: who could have unwrapped is known all the same.
func TestSinceKeepsTheEntries(t *testing.T) {
	w, key := busy(t)
	since := w.clock
	w.release(99, alice, "payroll", key.Record.Key, "later", w.ids()...)
	dir := filepath.Join(t.TempDir(), "export")
	f, m := w.export(dir, since, key)
	r := mustVerify(t, f, Given{})
	n1 := r.Nodes[0]
	if sound(r) != "" || m.Nodes[0].From != n1.Size-1 || n1.Held != 6 || len(n1.Notes) != 1 || len(r.History.Entries) != 4 {
		t.Fatalf("%s, %+v, %+v, %d entries", sound(r), m.Nodes[0], n1, len(r.History.Entries))
	}
	found, _, err := f.Query(Given{}, Question{})
	if err != nil || len(found) != 1 || found[0].Reason != "later" {
		t.Errorf("%+v, %v", found, err)
	}
	if could, _, err := f.WhoCould(Given{}, "payroll", since); err != nil || len(could.Who) != 2 || len(could.Nobody) != 0 {
		t.Errorf("%+v, %v", could, err)
	}
	// A manifest that says less was asked for is believed by nobody: the record before
	// the place shows of when it is.
	f.Manifest.Since = since - 3600_000
	if n := mustVerify(t, f, Given{}).Nodes[0]; len(n.Notes) != 1 || !strings.Contains(n.Notes[0], "not of before the time") {
		t.Errorf("%+v", n.Notes)
	}
}

// Who, which key, when, from where, why, by which rule: one answer for each envelope
// of a request, with what every node decided.
func TestAQuestionIsAnsweredOnceForAllNodes(t *testing.T) {
	w, key := busy(t)
	id := key.Record.Key
	start := w.clock
	w.tick(time.Minute)
	w.release(50, alice, "payroll", id, "by hand", "n1", "n2", "n3")
	refusal := audit.Record{
		Kind: audit.Refusal, RequestID: [16]byte{51}, Principal: bob, Source: "10.0.0.9", Action: policy.Unwrap, Key: id, KeyName: "payroll",
		Reason: "at night", Code: "denied", Why: "policy", Envelope: [32]byte{51},
	}
	w.tick(time.Minute)
	w.record(refusal, w.ids()...)
	w.tick(time.Minute)
	held := w.release(52, alice, "payroll", id, "too late", "n1", "n2")
	held.Kind, held.Code = audit.Withheld, "denied"
	w.record(held, "n2")
	f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key)
	for what, tt := range map[string]struct {
		q    Question
		want []byte // first bytes of the request ids
	}{
		"since":               {Question{Since: start + 1}, []byte{50, 51, 52}},
		"until":               {Question{Since: start + 1, Until: start + 130_000}, []byte{50, 51}},
		"a principal":         {Question{Principal: bob}, []byte{51}},
		"part of a principal": {Question{Principal: "/bo"}, []byte{51}},
		"nobody":              {Question{Principal: carol}, nil},
		"a reason":            {Question{Reason: "hand"}, []byte{50}},
		"a key":               {Question{Key: "payroll", Since: start + 1}, []byte{50, 51, 52}},
		"a key's id":          {Question{Key: strings.ToUpper(id.String()), Since: start + 1}, []byte{50, 51, 52}},
		"another key":         {Question{Key: "other"}, nil},
		"refusals":            {Question{Decision: Refused}, []byte{51}},
		"withheld":            {Question{Decision: Withheld}, []byte{52}},
		"releases":            {Question{Decision: Released, Since: start + 1}, []byte{50, 52}},
		"a request":           {Question{Request: hex.EncodeToString(held.RequestID[:])}, []byte{52}},
	} {
		found, _, err := f.Query(Given{}, tt.q)
		var got []byte
		for _, a := range found {
			got = append(got, a.RequestID[0])
		}
		if err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v, %v", what, got, tt.want, err)
		}
	}
	found, _, err := f.Query(Given{}, Question{Since: start + 1})
	if err != nil || len(found) != 3 {
		t.Fatal(found, err)
	}
	if a := found[0]; !slices.Equal(a.By(Released), []string{"n1", "n2", "n3"}) || !slices.Equal(a.Rules(), []string{"clerks"}) || a.Source != "10.0.0.1" || a.Reason != "by hand" || a.Time() != start+60_000 {
		t.Errorf("%+v", a)
	}
	if a := found[1]; len(a.By(Refused)) != 5 || a.Nodes[0].Code != "denied" || a.Nodes[0].Why != "policy" {
		t.Errorf("%+v", a)
	}
	if a := found[2]; !slices.Equal(a.By(Released), []string{"n1"}) || !slices.Equal(a.By(Withheld), []string{"n2"}) {
		t.Errorf("%+v", a)
	}
}

// A branch key is told of as one answer of all nodes, with the interval that it opens.
func TestABranchKeyIsToldWithItsInterval(t *testing.T) {
	w, key := busy(t)
	start := w.clock
	w.tick(time.Minute)
	w.record(audit.Record{
		Kind: audit.Release, RequestID: [16]byte{60}, Principal: alice, Source: "10.0.0.1", Action: policy.UnwrapBranch, Key: key.Record.Key, KeyName: "payroll",
		Version: 1, Epoch: 1, Context: [32]byte{1}, Envelope: [32]byte{60}, BranchFrom: 3600, Branch: 900, Writer: bob, LedgerIndex: w.index,
	}, "n1", "n2", "n3")
	w.release(61, alice, "payroll", key.Record.Key, "an envelope", "n1", "n2", "n3")
	f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key)
	found, _, err := f.Query(Given{}, Question{Since: start + 1})
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	if a := found[0]; a.BranchFrom != 3600 || a.Branch != 900 || a.Writer != bob || a.Action != policy.UnwrapBranch || len(a.By(Released)) != 3 {
		t.Errorf("%+v", a)
	}
	if a := found[1]; a.BranchFrom != 0 || a.Branch != 0 {
		t.Errorf("%+v", a)
	}
}

// What all nodes tell of one request id is held together, and what should not be is
// flagged.
func TestReleasesAreHeldAgainstEachOther(t *testing.T) {
	w, key := busy(t)
	id := key.Record.Key
	start := w.clock
	w.tick(time.Minute)
	w.release(50, alice, "payroll", id, "good", "n1", "n2", "n3")
	w.release(51, alice, "payroll", id, "two tell", "n1", "n2")
	w.release(52, alice, "payroll", id, "two principals", "n1", "n2", "n3")
	w.release(52, bob, "payroll", id, "two principals", "n1", "n2", "n3")
	batch := w.release(53, alice, "payroll", id, "a batch", "n1", "n2", "n3")
	batch.Envelope[5] = 9
	w.record(batch, "n1", "n2", "n3")
	w.release(54, alice, "unknown", id, "no order", "n1", "n2", "n3")
	other := w.release(55, alice, "payroll", id, "two policies", "n1", "n2")
	other.PolicyDigest = [32]byte{9}
	w.record(other, "n3")
	held := w.release(56, alice, "payroll", id, "withheld", "n1", "n2", "n3")
	held.Kind = audit.Withheld
	w.record(held, "n3")
	w.release(57, alice, "payroll", id, "one node twice", "n1", "n1", "n2")
	f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key)
	found, _, err := f.Releases(Given{}, Question{Since: start + 1})
	if err != nil || len(found) != 8 {
		t.Fatalf("%d, %v", len(found), err)
	}
	want := map[byte]string{
		50: "", 51: "only 2 of the 3", 52: "2 principals", 53: "2 envelopes", 54: "threshold is not known", 55: "2 policies", 56: "only 2 of the 3", 57: "only 2 of the 3",
	}
	for _, o := range found {
		flags := strings.Join(o.Flags, "; ")
		if expected := want[o.RequestID[0]]; !strings.Contains(flags, expected) || expected == "" && flags != "" || len(o.Flags) > 1 {
			t.Errorf("request %d: %q, want %q", o.RequestID[0], flags, expected)
		}
	}
	found, _, err = f.Releases(Given{Without: []string{"n1"}}, Question{Request: hex.EncodeToString(append([]byte{50}, make([]byte, 15)...))})
	if err != nil || len(found) != 1 || !strings.Contains(strings.Join(found[0].Flags, ""), "1 of the logs are not in this answer") {
		t.Errorf("%+v, %v", found, err)
	}
}

// Who could have unwrapped, from signed entries alone: it changes with each of them,
// at the ledger time at which it was taken.
func TestWhoCouldFollowsTheSignedEntries(t *testing.T) {
	w := newWorld(t)
	id := func(name string) authority.Subject {
		return authority.Subject{Kind: authority.SubjectPrincipal, Name: name}
	}
	var times []int64
	var want []string
	moment := func(says string) {
		w.tick(time.Minute)
		times, want = append(times, w.clock), append(want, says)
		w.tick(time.Minute)
	}
	moment("nobody: no key of this name was ordered by then; no authority for applications was in force; no policy was in force")
	first := w.put(authority.KindPolicy, document(allOfClerks+byDay), api.Digest{})
	ca := w.ca("trial")
	w.put(authority.KindCA, ca, api.Digest{})
	moment("nobody: no key of this name was ordered by then; alice yes, bob under condition; never 1")
	key := w.key("payroll")
	moment("alice yes, bob under condition; never 1")
	revoke := w.put(authority.KindRevoke, authority.Revoke{Subject: id(alice)}, api.Digest{})
	moment("alice no, revoked, bob under condition; never 1")
	w.put(authority.KindLift, authority.Lift{Lifts: revoke}, api.Digest{})
	moment("alice yes, bob under condition; never 1")
	byDayAlone := w.put(authority.KindPolicy, document(byDay), first)
	moment("bob under condition; never 2")
	seal := w.put(authority.KindSeal, authority.Seal{Subject: authority.Subject{Kind: authority.SubjectCluster}}, api.Digest{})
	moment("nobody: the cluster was sealed by ; bob under condition; never 2")
	w.put(authority.KindLift, authority.Lift{Lifts: seal}, api.Digest{})
	var seals []api.Digest
	for _, n := range []string{"n1", "n2"} {
		seals = append(seals, w.put(authority.KindSeal, authority.Seal{Subject: authority.Subject{Kind: authority.SubjectNode, Name: n}}, api.Digest{}))
	}
	moment("bob under condition; never 2; n1, n2 were sealed; enough holders were left")
	seals = append(seals, w.put(authority.KindSeal, authority.Seal{Subject: authority.Subject{Kind: authority.SubjectNode, Name: "n3"}}, api.Digest{}))
	moment("nobody: n1, n2, n3 were sealed: 2 holders were left, and it takes 3; bob no, too few; never 2")
	for _, s := range seals {
		w.put(authority.KindLift, authority.Lift{Lifts: s}, api.Digest{})
	}
	at := key.Record.Key
	prod := w.put(authority.KindPolicy, document(byDay+`@id("prod") permit (principal == Warifu::Principal::"spiffe://trial/alice", action, resource) when { resource.hasTag("env") && resource.getTag("env") == "prod" };`), byDayAlone)
	moment("bob under condition; never 2")
	said := w.put(authority.KindKeyLabels, authority.KeyLabels{Key: at, Labels: map[string]string{"env": "prod"}}, api.Digest{})
	moment("alice yes, bob under condition; never 1")
	w.put(authority.KindKeyLabels, authority.KeyLabels{Key: at}, said)
	w.put(authority.KindPolicy, document(byDay), prod)
	stop := w.put(authority.KindKeyState, authority.KeyStateChange{Key: at, To: authority.Suspended}, api.Digest{})
	moment("nobody: the key was suspended, by ; bob under condition; never 2")
	w.put(authority.KindKeyState, authority.KeyStateChange{Key: at, To: authority.Deactivated}, stop)
	moment("bob under condition; never 2")
	revoke = w.put(authority.KindRevoke, authority.Revoke{Subject: authority.Subject{Kind: authority.SubjectCA, Name: "trial"}}, api.Digest{})
	moment("nobody: no authority for applications was in force; bob under condition; never 2")
	w.put(authority.KindLift, authority.Lift{Lifts: revoke}, api.Digest{})
	w.put(authority.KindRevoke, authority.Revoke{Subject: authority.Subject{Kind: authority.SubjectKey, Name: key.Record.Key.String()}}, api.Digest{})
	moment("nobody: the key was revoked by ; bob under condition; never 2")

	f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key)
	if r := mustVerify(t, f, Given{}); sound(r) != "" {
		t.Fatal(sound(r))
	}
	for i, at := range times {
		for _, name := range []string{"payroll", key.Record.Key.String()} {
			could, _, err := f.WhoCould(Given{}, name, at)
			if err != nil {
				t.Fatal(err)
			}
			if got := says(could); !fits(got, want[i]) {
				t.Errorf("at %d, of %s:\n%s, want\n%s", i, name, got, want[i])
			}
		}
	}
	// Where nodes are counts: here all are in one region.
	for _, tt := range []struct{ region, want string }{{"jp-east", "bob under condition"}, {"sg", "bob no, too few"}} {
		w, key := newWorld(t), (*authority.SignedRecord)(nil)
		w.put(authority.KindPolicy, document(strings.Replace(byDay, "context.time", fmt.Sprintf("context.nodeRegion == %q && context.time", tt.region), 1)), api.Digest{})
		w.put(authority.KindCA, w.ca("trial"), api.Digest{})
		key = w.key("payroll")
		f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key)
		if could, _, err := f.WhoCould(Given{}, "payroll", w.clock); err != nil || !strings.HasPrefix(says(could), tt.want) {
			t.Errorf("nodes in %s: %s, %v", tt.region, says(could), err)
		}
	}
	// What the order of a key says of it holds until the first change that replaces it.
	{
		w := newWorld(t)
		w.put(authority.KindCA, w.ca("trial"), api.Digest{})
		w.put(authority.KindPolicy, document(`@id("prod") permit (principal == Warifu::Principal::"spiffe://trial/alice", action, resource) when { resource.hasTag("env") && resource.getTag("env") == "prod" };`), api.Digest{})
		key := w.key("payroll", func(o *authority.Order) { o.Labels = map[string]string{"env": "prod"} })
		born := w.clock
		e, err := authority.ParseEntry(key.Record.Order)
		if err != nil {
			t.Fatal(err)
		}
		w.tick(time.Minute)
		w.put(authority.KindKeyLabels, authority.KeyLabels{Key: key.Record.Key}, e.ID())
		f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key)
		for at, want := range map[int64]bool{born: true, w.clock: false} {
			could, _, err := f.WhoCould(Given{}, "payroll", at)
			if err != nil || strings.Contains(says(could), "alice yes") != want || strings.Contains(strings.Join(could.NotKnown, ";"), "missing") {
				t.Errorf("labels of the order, at %d: %s, %v, %v", at-born, says(could), could.NotKnown, err)
			}
		}
	}
	could, _, err := f.WhoCould(Given{}, "payroll", times[2])
	if err != nil {
		t.Fatal(err)
	}
	clauses := []policy.Clause{{Rule: "by-day", Effect: "permit", Conditions: []string{`when context.time.hour < 18`}}}
	if bob := could.Who[1]; !reflect.DeepEqual(bob.Clauses, clauses) || could.Policy != api.Digest(policy.Document{Text: allOfClerks + byDay, Entities: entities}.Digest()) || could.Change != first {
		t.Errorf("%+v, %+v", bob.Clauses, could)
	}
	if could, _, err := f.WhoCould(Given{}, "other", times[2]); err != nil || !strings.Contains(says(could), "no key of this name") || !strings.Contains(strings.Join(could.NotKnown, ";"), "no record of this key") && len(could.Nobody) == 0 {
		t.Errorf("another key: %s, %v", says(could), err)
	}
}

// Who could have encrypted is another question than who could have unwrapped, and of a
// symmetric key whoever could could open that. Under an asymmetric key nobody asks.
func TestWhoCouldEncrypt(t *testing.T) {
	w := newWorld(t)
	w.put(authority.KindPolicy, document(`@id("reads") permit (principal == Warifu::Principal::"spiffe://trial/alice", action == Warifu::Action::"unwrap", resource);
@id("writes") permit (principal == Warifu::Principal::"spiffe://trial/bob", action == Warifu::Action::"encrypt", resource) when { context.reason != "" };
@id("branches") permit (principal == Warifu::Principal::"spiffe://trial/bob", action == Warifu::Action::"unwrapBranch", resource) when { context.branchSeconds <= 900 };`), api.Digest{})
	w.put(authority.KindCA, w.ca("trial"), api.Digest{})
	key, other := w.key("sessions", func(o *authority.Order) { o.Purpose = authority.PurposeEncrypt }), w.key("payroll")
	active := w.clock
	w.tick(time.Minute)
	w.put(authority.KindKeyState, authority.KeyStateChange{Key: key.Record.Key, To: authority.Deactivated}, api.Digest{})
	f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key, other)
	if r := mustVerify(t, f, Given{}); sound(r) != "" {
		t.Fatal(sound(r))
	}
	for _, tt := range []struct {
		action, key string
		at          int64
		want        string
	}{
		{policy.Unwrap, "sessions", active, "alice yes; never 2"},
		{policy.Encrypt, "sessions", active, "bob under condition; never 2"},
		{policy.Unwrap, "sessions", w.clock, "alice yes; never 2"},
		{policy.Encrypt, "sessions", w.clock, "nobody: the key was deactivated, by ; bob under condition; never 2"},
		{policy.UnwrapBranch, "sessions", active, "bob under condition; never 2"},
		{policy.UnwrapBranch, "sessions", w.clock, "bob under condition; never 2"}, // deactivated, it opens
		{policy.UnwrapBranch, "payroll", active, "nobody: the key is asymmetric: it has no branches; bob under condition; never 2"},
		{policy.Unwrap, "payroll", active, "alice yes; never 2"},
		{policy.Encrypt, "payroll", active, "nobody: the key is asymmetric: whoever has its public half wraps under it offline, and no policy is asked; bob under condition; never 2"},
	} {
		could, _, err := f.WhoCouldDo(Given{}, tt.action, tt.key, tt.at)
		if err != nil || !fits(says(could), tt.want) || could.Action != tt.action {
			t.Errorf("%s with %s: %q, want %q, %v", tt.action, tt.key, says(could), tt.want, err)
		}
		hint := strings.Contains(strings.Join(could.NotKnown, ";"), "ask who could encrypt")
		if want := tt.action == policy.Unwrap && tt.key == "sessions"; hint != want {
			t.Errorf("%s with %s: %q", tt.action, tt.key, could.NotKnown)
		}
		hint = strings.Contains(strings.Join(could.NotKnown, ";"), "ask at the time when its interval began, too")
		if want := tt.action == policy.UnwrapBranch && tt.key == "sessions"; hint != want {
			t.Errorf("%s with %s: %q", tt.action, tt.key, could.NotKnown)
		}
	}
}

// Where the policy asks for a grant, who could is who had one that those approved whom
// the policy in force names, for this key and in its time.
func TestWhoCouldAsksForGrants(t *testing.T) {
	w := newWorld(t)
	doctor, stranger := signerOf(t, newKey(t)), signerOf(t, newKey(t))
	limits := fmt.Sprintf("[[approver]]\nname = \"sato\"\nkey = %q\n[[approval]]\nname = \"one\"\ncount = 1\nof = [\"sato\"]\n", base64.RawURLEncoding.EncodeToString(doctor.PublicKey()))
	rule := `@id("granted") permit (principal, action, resource) when { context.grants.contains("one") };`
	w.put(authority.KindPolicy, policy.Document{Text: rule, Entities: entities, Limits: limits}.Encode(), api.Digest{})
	w.put(authority.KindCA, w.ca("trial"), api.Digest{})
	key, other := w.key("payroll"), w.key("other")
	start := w.clock
	grant := func(principal string, key api.KeyID, by *authority.Signer, nodes ...string) api.Digest {
		e := authority.NewGrant(authority.Grant{
			Cluster: w.genesis.Cluster, Key: key, Principal: principal, Action: authority.ActionUnwrap, Reason: "study 12",
			NotBefore: start + 600_000, NotAfter: start + 1200_000, Uses: 2, Nonce: [16]byte{byte(w.index)},
		})
		if err := authority.SignGrant(rand.Reader, e, by); err != nil {
			t.Fatal(err)
		}
		for _, node := range nodes {
			s, err := authority.SignStatement(rand.Reader, signerOf(t, w.keys[node]), w.genesis.Cluster, node, authority.KindGrant, authority.GrantPost{Entry: e.Encode()})
			if err != nil {
				t.Fatal(err)
			}
			w.take(s)
		}
		return e.ID()
	}
	id := grant(alice, key.Record.Key, doctor, "n1", "n2")
	grant(bob, key.Record.Key, stranger, "n1")
	grant(bob, other.Record.Key, doctor, "n1")
	w.tick(15 * time.Minute)
	during := w.clock
	w.put(authority.KindRevoke, authority.Revoke{Subject: authority.Subject{Kind: authority.SubjectGrant, Name: id.String()}}, api.Digest{})
	named := w.release(60, alice, "payroll", key.Record.Key, "granted", "n1", "n2", "n3")
	named.Grant, named.Slot, named.RequestID = id, 1, [16]byte{61}
	w.record(named, "n1", "n2", "n3")
	f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, key, other)
	if r := mustVerify(t, f, Given{}); sound(r) != "" {
		t.Fatal(sound(r))
	}
	for what, tt := range map[string]struct {
		at   int64
		want string
	}{
		"before its time": {start + 300_000, "alice no, ungranted, bob no, ungranted; never 1"},
		"in its time":     {during - 1, "alice with a grant, bob no, ungranted; never 1"},
		"revoked":         {during + 1, "alice no, ungranted, bob no, ungranted; never 1"},
	} {
		could, _, err := f.WhoCould(Given{}, "payroll", tt.at)
		if err != nil || says(could) != tt.want {
			t.Errorf("%s: %q, want %q, %v", what, says(could), tt.want, err)
		}
		if want := []string{"one"}; what == "in its time" && (len(could.Who[0].Grants) != 1 || could.Who[0].Grants[0].ID != id || could.Who[0].Grants[0].Uses != 2 || !slices.Equal(could.Who[0].Grants[0].Meets, want)) {
			t.Errorf("%+v", could.Who[0])
		}
	}
	found, _, err := f.Query(Given{}, Question{Reason: "granted"})
	if err != nil || len(found) != 2 || len(found[0].Grants()) != 0 || !slices.Equal(found[1].Grants(), []string{id.String()}) || found[1].Nodes[0].Slot != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

// says is an answer in one line.
func says(w *WhoCould) string {
	var parts []string
	if len(w.Nobody) > 0 {
		parts = append(parts, "nobody: "+strings.Join(w.Nobody, "; "))
	}
	var who []string
	for _, c := range w.Who {
		who = append(who, strings.TrimPrefix(c.Principal, "spiffe://trial/")+" "+c.Verdict)
	}
	if len(who) > 0 {
		parts = append(parts, strings.Join(who, ", "))
	}
	if w.Never > 0 {
		parts = append(parts, fmt.Sprintf("never %d", w.Never))
	}
	for _, u := range w.NotKnown {
		if strings.Contains(u, "enough holders were left") {
			parts = append(parts, u)
		}
	}
	return strings.Join(parts, "; ")
}

// fits compares, with the ids that follow "by " left out.
func fits(got, want string) bool {
	words := strings.Split(want, "by ;")
	for i, part := range words {
		at := strings.Index(got, part)
		if at < 0 || i == 0 && at != 0 {
			return false
		}
		got = got[at+len(part):]
	}
	return got == ""
}

// What nodes tell differently of the ledger, what too few tell, and a gap that the
// entries themselves show, is said.
func TestDoubtsAboutTheLedgerAreSaid(t *testing.T) {
	w, key := busy(t)
	e := w.sign(authority.KindRevoke, wire.Encode(authority.Revoke{Subject: authority.Subject{Kind: authority.SubjectPrincipal, Name: alice}}), api.Digest{})
	w.index++
	w.record(w.taken(e), "n1", "n2")
	f, _ := w.export(filepath.Join(t.TempDir(), "few"), 0, key)
	if r := mustVerify(t, f, Given{}); len(r.History.Doubts) != 1 || !strings.Contains(r.History.Doubts[0], "in too few logs") || !strings.Contains(r.History.Doubts[0], "n1, n2") {
		t.Errorf("two tell: %q", r.History.Doubts)
	}
	// What denies counts only if enough tell of it: it says too many rather than too few.
	could, _, err := f.WhoCould(Given{}, "payroll", w.clock)
	if err != nil || says(could) != "alice yes, bob under condition; never 1" || !strings.Contains(strings.Join(could.NotKnown, "; "), "too few logs have it") {
		t.Errorf("a revoke of which two tell: %s, %q, %v", says(could), could.NotKnown, err)
	}
	could, _, err = f.WhoCould(Given{Without: []string{"n3", "n4", "n5"}}, "payroll", w.clock)
	if err != nil || says(could) != "alice no, revoked, bob under condition; never 1" {
		t.Errorf("where there are no other logs: %s, %v", says(could), err)
	}
	w.record(w.taken(e), "n3")
	w.index += 5
	w.record(w.taken(e), "n4")
	f, _ = w.export(filepath.Join(t.TempDir(), "differ"), 0, key)
	r := mustVerify(t, f, Given{})
	if len(r.History.Doubts) != 1 || !strings.Contains(r.History.Doubts[0], "nodes differ") {
		t.Errorf("one tells otherwise: %q", r.History.Doubts)
	}
	if last := r.History.Entries[len(r.History.Entries)-1]; last.Index != w.index-5 || len(last.Nodes) != 4 {
		t.Errorf("%+v", last)
	}
	untimed := w.taken(w.sign(authority.KindCA, wire.Encode(w.ca("other")), api.Digest{}))
	untimed.LedgerTime = 0
	w.record(untimed, w.ids()...)
	f, _ = w.export(filepath.Join(t.TempDir(), "untimed"), 0, key)
	if r := mustVerify(t, f, Given{}); !strings.Contains(strings.Join(r.History.Doubts, "; "), "no log says at which ledger time the ca") {
		t.Errorf("none tells when: %q", r.History.Doubts)
	}
	w.put(authority.KindPolicy, document(byDay), api.Digest{42})
	f, _ = w.export(filepath.Join(t.TempDir(), "gap"), 0, key)
	could, _, err = f.WhoCould(Given{}, "payroll", w.clock)
	if err != nil || !strings.Contains(strings.Join(could.NotKnown, "; "), "an entry between them is missing") {
		t.Errorf("%q, %v", could.NotKnown, err)
	}
}

// A node that answers something else than was asked for is caught on arrival.
func TestWhatWasNotAskedForIsNotTaken(t *testing.T) {
	w, key := busy(t)
	for what, lie := range map[string]func(*liar){
		"other records":       func(l *liar) { l.shift = 1 },
		"no records":          func(l *liar) { l.empty = true },
		"too many hashes":     func(l *liar) { l.more = true },
		"another's log":       func(l *liar) { l.as = "n2" },
		"an altered record":   func(l *liar) { l.alter = true },
		"an older checkpoint": func(l *liar) { l.short = true },
	} {
		l := &liar{world: w}
		dir := filepath.Join(t.TempDir(), "export")
		if what == "an older checkpoint" {
			w.export(dir, 0, key)
		}
		lie(l)
		m, err := Take(context.Background(), Request{Dir: dir, Genesis: w.genesis, Source: l, Now: w.clock})
		if err != nil {
			t.Fatal(err)
		}
		if lacking := m.Incomplete(); len(lacking) != 1 || lacking[0].Node != "n1" {
			t.Errorf("%s: %+v", what, m)
		}
		if r := mustVerify(t, w.open(dir), Given{}); len(r.Lacking()) != 1 {
			t.Errorf("%s: %+v", what, r.Nodes[0])
		}
	}
}

// liar is a world whose n1 lies.
type liar struct {
	*world
	shift              uint64
	empty, more, alter bool
	short              bool
	as                 string
}

func (l *liar) AuditHead(ctx context.Context, node string) (*api.AuditHeadAnswer, error) {
	if node == "n1" && l.as != "" {
		node = l.as
	}
	if node == "n1" && l.short {
		return l.emptied().AuditHead(ctx, node)
	}
	return l.world.AuditHead(ctx, node)
}

// emptied is n1 with a log of nothing.
func (l *liar) emptied() *world {
	return &world{t: l.t, logs: map[string]*audit.Log{"n1": l.openLog("n1", filepath.Join(l.t.TempDir(), "n1"))}}
}

func (l *liar) AuditPage(ctx context.Context, node string, q api.AuditPageRequest) (*api.AuditPageAnswer, error) {
	if node != "n1" {
		return l.world.AuditPage(ctx, node, q)
	}
	q.From += l.shift
	a, err := l.world.AuditPage(ctx, node, q)
	if err == nil && l.empty {
		a.Records = nil
	}
	if err == nil && l.alter {
		a.Records[0].Body[len(a.Records[0].Body)-1] ^= 1
	}
	return a, err
}

func (l *liar) AuditHashes(ctx context.Context, node string, q api.AuditHashesRequest) (*api.AuditHashesAnswer, error) {
	a, err := l.world.AuditHashes(ctx, node, q)
	if err == nil && l.more && node == "n1" {
		a.Hashes = append(a.Hashes, make([]byte, 32*20000)...)
	}
	return a, err
}

func FuzzParseManifest(f *testing.F) {
	f.Add(wire.Encode(&Manifest{Format: manifestFormat, Since: 5, Nodes: []ManifestNode{{Node: "n1", From: 3, State: "down"}}}))
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			if !errors.Is(err, ErrNoExport) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if !bytes.Equal(wire.Encode(m), b) {
			t.Fatalf("%x is read as %+v", b, m)
		}
	})
}

func FuzzParseLines(f *testing.F) {
	f.Add(FormatLines([][]byte{{1}, {2, 3}}))
	f.Add([]byte("AA==\n\n"))
	f.Add([]byte("0\r\r\r000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, err := ParseLines(b)
		if err != nil {
			if !errors.Is(err, ErrNoExport) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if again := FormatLines(lines); !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), bytes.TrimSuffix(b, []byte("\n"))) && len(lines) > 0 {
			t.Fatalf("%q is read as %q", b, again)
		}
	})
}

// Custodians may have signed what the ledger then refused: a policy that came too late,
// a second order of a name. One node that records it as taken puts nothing in the
// place of what the others tell; and where there are no others, it is told.
func TestOneNodeAlonePutsNothingInThePlaceOfWhatOthersTell(t *testing.T) {
	w, key := busy(t)
	before, _ := w.export(filepath.Join(t.TempDir(), "before"), 0, key)
	was, _, err := before.WhoCould(Given{}, "payroll", w.clock)
	if err != nil {
		t.Fatal(err)
	}
	w.index++
	w.record(w.taken(w.sign(authority.KindPolicy, document(byDay), was.Change)), "n1")
	w.index++
	w.record(w.taken(w.sign(authority.KindCA, wire.Encode(w.ca("forged")), api.Digest{})), "n1")
	w.index++
	w.record(w.taken(w.sign(authority.KindKey, wire.Encode(authority.Order{
		Cluster: w.genesis.Cluster, Purpose: authority.PurposeUnwrap, Name: "payroll", T: 2, F: 1, Holders: w.ids(), PhaseSeconds: 60,
	}), api.Digest{})), "n1")
	f, _ := w.export(filepath.Join(t.TempDir(), "after"), 0, key)
	could, r, err := f.WhoCould(Given{}, "payroll", w.clock)
	if err != nil || could.Change != was.Change || says(could) != says(was) || could.Order.T != was.Order.T {
		t.Errorf("%s by the policy %s and the order of %d; before it was %s by %s of %d, %v",
			says(could), could.Change, could.Order.T, says(was), was.Change, was.Order.T, err)
	}
	if n := strings.Count(strings.Join(could.NotKnown, "; "), "it counts for nothing here"); n != 2 {
		t.Errorf("%d doubts say so: %q", n, could.NotKnown)
	}
	if t := r.History.threshold("payroll"); t != was.Order.T {
		w.t.Errorf("the threshold is %d", t)
	}
	could, _, err = f.WhoCould(Given{Without: []string{"n2", "n3", "n4", "n5"}}, "payroll", w.clock)
	if err != nil || could.Change == was.Change {
		t.Errorf("where there are no other logs: %s, %v", could.Change, err)
	}
}

// What later custodians signed is verified under them, and they along what those
// before them signed; who was never one signs nothing.
func TestReplacedCustodiansAreFollowed(t *testing.T) {
	for sentence, tt := range map[string]struct {
		signs func(old, new []*authority.Signer) []*authority.Signer
		good  bool
	}{
		"the new ones": {func(_, new []*authority.Signer) []*authority.Signer { return new }, true},
		"two strangers": {func(_, _ []*authority.Signer) []*authority.Signer {
			return []*authority.Signer{signerOf(t, newKey(t)), signerOf(t, newKey(t))}
		}, false},
		"one old, one new": {func(old, new []*authority.Signer) []*authority.Signer { return []*authority.Signer{old[0], new[1]} }, false},
	} {
		w := newWorld(t)
		old := w.custodians
		new := []*authority.Signer{signerOf(t, newKey(t)), signerOf(t, newKey(t))}
		by := authority.Custody{Required: w.genesis.Required}
		for i, s := range new {
			by.Custodians = append(by.Custodians, authority.Custodian{Name: fmt.Sprintf("new%d", i+1), Sign: s.PublicKey(), Open: "age1test"})
		}
		w.put(authority.KindCustodians, by, api.Digest{})
		w.custodians = tt.signs(old, new)
		w.put(authority.KindPolicy, document(byDay), api.Digest{})
		f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0)
		if s := sound(mustVerify(t, f, Given{})); (s == "") != tt.good {
			t.Errorf("%s: %q", sentence, s)
		}
		if bad := mustVerify(t, f, Given{Without: []string{"n1", "n2", "n3"}}).Damaged(); (len(bad) == 0) != tt.good {
			t.Errorf("%s, of two logs: %+v", sentence, bad)
		}
		if could, _, err := f.WhoCould(Given{}, "payroll", w.clock); err != nil || strings.Contains(strings.Join(could.NotKnown, "; "), "does not know what it does") {
			t.Errorf("%s: %q, %v", sentence, could.NotKnown, err)
		}
	}
}
