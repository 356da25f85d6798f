package auditor

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// node makes a node that may come to the roster, with a log of its own.
func (w *world) node(id string) authority.Node {
	w.t.Helper()
	w.keys[id] = newKey(w.t)
	s := signerOf(w.t, w.keys[id])
	claim, err := authority.SignClaim(rand.Reader, s, authority.AddressClaim{Node: id, Counter: 1, Client: "a.example:7101", Peer: "a.example:7102"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.logs[id] = w.openLog(id, filepath.Join(w.dir, id))
	return authority.Node{ID: id, Region: "sg", Key: s.PublicKey(), Claim: claim}
}

// enroll has the ledger take a change of the roster, which an auditor is shown.
func (w *world) enroll(kind string, m authority.Membership) {
	w.t.Helper()
	if w.chain == nil {
		w.chain = authority.Begin(w.genesis)
	}
	e := w.sign(kind, wire.Encode(m), w.chain.Roll.Change)
	w.index++
	w.record(w.taken(e), slices.DeleteFunc(slices.Clone(w.ids()), func(id string) bool { return w.down[id] })...)
	var err error
	if w.chain, err = w.chain.Next(e.Encode()); err != nil {
		w.t.Fatal(err)
	}
}

// An export has the logs of those who are members now, however they came. Of a node that
// has left it keeps the log that an earlier one took, verified as ever; a log that none
// took is named as missing, and is no reason to run the export again.
func TestAnExportFollowsTheRoster(t *testing.T) {
	w, key := busy(t)
	taken, late := filepath.Join(t.TempDir(), "export"), filepath.Join(t.TempDir(), "export")
	w.export(taken, 0, key)
	n6, n7 := w.node("n6"), w.node("n7")
	w.enroll(authority.KindNodeReplace, authority.Membership{Newcomer: &n6, Leaver: "n5"})
	w.tick(time.Second)
	w.release(77, alice, "payroll", key.Record.Key, "after", "n1", "n2", "n6")
	if _, m := w.export(taken, 0, key); len(m.Incomplete()) != 0 || m.node("n5").Left {
		t.Fatalf("while n5 is leaving: %+v", m)
	}
	w.left, w.down["n5"] = "n5", true
	for _, further := range []bool{false, true} {
		if further { // the leaver is not in the chain's last change any more
			w.enroll(authority.KindNodeAdd, authority.Membership{Newcomer: &n7})
			w.left = ""
		}
		f, m := w.export(taken, 0, key)
		r := mustVerify(t, f, Given{})
		if len(m.Incomplete()) != 0 || len(m.Lost()) != 0 || !m.node("n5").Left || sound(r) != "" {
			t.Fatalf("with what was taken before: %+v, %s", m, sound(r))
		}
		if r.Nodes[4].Node != "n5" || r.Nodes[4].Held == 0 || r.Nodes[5].Node != "n6" || r.Nodes[5].Held == 0 {
			t.Errorf("%+v", r.Nodes)
		}
		asked, _, err := f.Query(Given{}, Question{Principal: alice, Reason: "after"})
		if err != nil || len(asked) != 1 || len(asked[0].By(Released)) != 3 {
			t.Errorf("the release with the newcomer: %+v, %v", asked, err)
		}

		f, m = w.export(late, 0, key)
		if lost := m.Lost(); len(m.Incomplete()) != 0 || len(lost) != 1 || lost[0].Node != "n5" || lost[0].State != hasLeft {
			t.Fatalf("nobody took its log: %+v", m)
		}
		lacking := mustVerify(t, f, Given{}).Lacking()
		if len(lacking) != 1 || lacking[0].Node != "n5" || !strings.Contains(lacking[0].Absent, hasLeft) {
			t.Errorf("nobody took its log: %+v", lacking)
		}
		if r := mustVerify(t, f, Given{Without: []string{"n5"}}); len(r.Lacking()) != 0 || len(r.Damaged()) != 0 {
			t.Errorf("which is known: %+v, %+v", r.Lacking(), r.Damaged())
		}
	}
}

// A node that leaves goes on recording until it is off the roster. What nobody took of
// that is named, by the last anchor that the ledger has of it, and is no damage.
func TestTheEndOfALeaversLogIsMissed(t *testing.T) {
	w, key := busy(t)
	dir := filepath.Join(t.TempDir(), "export")
	w.export(dir, 0, key)
	w.enroll(authority.KindNodeRemove, authority.Membership{Leaver: "n5"})
	w.left, w.down["n5"] = "n5", true
	f, m := w.export(dir, 0, key)
	if lost := m.Lost(); len(m.Incomplete()) != 0 || len(lost) != 1 || lost[0].Node != "n5" || !strings.HasSuffix(lost[0].State, "were not taken") {
		t.Errorf("%+v", m)
	}
	r := mustVerify(t, f, Given{})
	if lacking := r.Lacking(); len(r.Damaged()) != 0 || len(lacking) != 1 || lacking[0].Held == 0 || !strings.Contains(lacking[0].Absent, "records from") {
		t.Errorf("damaged: %+v, lacking: %+v", r.Damaged(), lacking)
	}
}

// Whoever has the folder can leave out who came to the roster, and the logs with it: the
// logs of the others tell.
func TestANewcomerThatIsLeftOutOfAnExportIsNamed(t *testing.T) {
	w, key := busy(t)
	dir := filepath.Join(t.TempDir(), "export")
	n6 := w.node("n6")
	w.enroll(authority.KindNodeAdd, authority.Membership{Newcomer: &n6})
	if f, _ := w.export(dir, 0, key); sound(mustVerify(t, f, Given{})) != "" {
		t.Fatal(sound(mustVerify(t, f, Given{})))
	}
	for _, name := range []string{chainFile, filepath.Join(nodesDir, "n6")} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	lacking := mustVerify(t, w.open(dir), Given{}).Lacking()
	if len(lacking) != 1 || lacking[0].Node != "n6" || !strings.Contains(lacking[0].Absent, "the logs tell that it came") {
		t.Errorf("%+v", lacking)
	}
	// A chain that nobody signed is none.
	if err := write(dir, chainFile, FormatLines([][]byte{w.sign(authority.KindPolicy, document(allOfClerks), w.chain.Roll.Change).Encode()})); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, w.genesis.Hash()); err == nil {
		t.Error("a chain of changes that are none is believed")
	}
}
