package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/policy"
)

// well is a cluster of five in which nothing is wrong.
func well(t *testing.T) *vitals {
	t.Helper()
	v := &vitals{now: time.UnixMilli(1_800_000_000_000), t: 3, custodians: []heldView{{Name: "alice", Fingerprint: api.Digest{1}.String()}}}
	v.drills = []api.DrillSummary{{Custodian: api.Digest{1}, Time: v.now.Add(-89 * 24 * time.Hour).UnixMilli()}}
	for i := range 5 {
		v.nodes = append(v.nodes, vital{
			id: fmt.Sprintf("n%d", i+1),
			status: &api.StatusAnswer{
				State: serving, Leader: "n1", Index: 500, Link: api.Digest{9}, HSM: "pkcs11", TokenSerial: fmt.Sprint(i), Audit: "ok",
			},
			health: &api.HealthAnswer{
				Program: "abc", DiskKnown: true, DiskFree: 100 << 30, AuditPerDay: 1 << 30, AuditReserve: 64 << 20,
				MemoryLocked: true, ReceiveBuffer: 7_168_000,
			},
			ahead: time.Duration(i) * time.Second, // as far apart as may be
		})
	}
	v.policy = compiled(t, `@id("app") permit (principal == Warifu::Principal::"spiffe://demo/app", action, resource == Warifu::Key::"demo");`)
	return v
}

func compiled(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Document{Text: text, Entities: `[{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/app"},"parents":[],"attrs":{}}]`})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each ailment is found under its name, of whom it is, and with nothing else that it
// does not bring along; and nothing is found where nothing is wrong.
func TestTheDoctorFindsEachAilment(t *testing.T) {
	met := map[string]bool{}
	for _, tt := range []struct {
		sentence string
		spoil    func(*vitals)
		found    []string // "code of"
		says     string   // of the first
	}{
		{"nothing is wrong", func(*vitals) {}, nil, ""},
		{"one node is down", func(v *vitals) {
			v.nodes[4] = vital{id: "n5", why: "no answer in 3s"}
		}, []string{"unreachable n5"}, "no answer in 3s"},
		{"two are, and no further one may fail", func(v *vitals) {
			v.nodes[3], v.nodes[4] = vital{id: "n4"}, vital{id: "n5"}
		}, []string{"unreachable n4", "unreachable n5", "margin cluster"}, ""},
		{"one is stale", func(v *vitals) { v.nodes[1].status.State = "stale" }, []string{"not-serving n2"}, "it is stale"},
		{"two histories at one index", func(v *vitals) { v.nodes[2].status.Link = api.Digest{8} }, []string{"fork n3"}, "another history than n1"},
		{"two states after one history", func(v *vitals) { v.nodes[2].status.Root = api.Digest{8} }, []string{"fork n3"}, "at index 500"},
		{"other links at other indices are no fork", func(v *vitals) {
			v.nodes[2].status.Link, v.nodes[2].status.Index = api.Digest{8}, 499
		}, nil, ""},
		{"a node was told another history", func(v *vitals) {
			v.nodes[0].status.Warnings = []string{"fork: n2 signs another history"}
		}, []string{"fork n1"}, "n2 signs another history"},
		{"a node stopped serving before", func(v *vitals) {
			v.nodes[0].status.Warnings = []string{"the last run stopped serving: gap: x"}
		}, []string{"stopped n1"}, "gap: x"},
		{"shares are escrowed", func(v *vitals) {
			for i := range v.nodes {
				v.nodes[i].status.Warnings = []string{api.ExtraDoor + ": version 1 of the key photos"}
			}
		}, []string{"escrow cluster"}, "version 1 of the key photos"},
		{"a full audit", func(v *vitals) { v.nodes[0].status.Audit, v.nodes[0].status.State = "full", "full" }, []string{"not-serving n1", "audit n1"}, ""},
		{"full in 29 days", func(v *vitals) { v.nodes[0].health.DiskFree = 29<<30 + 1 }, []string{"disk n1"}, "full in 29 days"},
		{"full in 30 days", func(v *vitals) { v.nodes[0].health.DiskFree = 30 << 30 }, nil, ""},
		{"little room, growth not known", func(v *vitals) {
			v.nodes[0].health.DiskFree, v.nodes[0].health.AuditPerDay = 1<<30-1, 0
		}, []string{"disk n1"}, "1023 MB are left"},
		{"a disk that is not known", func(v *vitals) { v.nodes[0].health.DiskKnown, v.nodes[0].health.DiskFree = false, 0 }, nil, ""},
		{"101 entries behind", func(v *vitals) { v.nodes[3].status.Index = 399 }, []string{"behind n4"}, "it is at 399, another at 500"},
		{"100 entries behind", func(v *vitals) { v.nodes[3].status.Index = 400 }, nil, ""},
		{"two leaders", func(v *vitals) { v.nodes[3].status.Leader = "n2" }, []string{"leader cluster"}, "n1 (n1, n2, n3, n5); n2 (n4)"},
		{"no leader", func(v *vitals) {
			for i := range v.nodes {
				v.nodes[i].status.Leader = ""
			}
		}, []string{"leader cluster"}, "none (n1, n2, n3, n4, n5)"},
		{"a holder without a share", func(v *vitals) {
			for i := range v.nodes {
				v.nodes[i].health.Struck = []api.StruckHolder{{Key: "payroll", Node: "n2"}}
			}
		}, []string{"struck n2"}, "payroll has no share here"},
		{"a change of the roster that waits", func(v *vitals) {
			for i := range v.nodes {
				v.nodes[i].status.Warnings = []string{api.RosterUnfinished + ": n1 has shares of payroll"}
			}
		}, []string{"roster cluster"}, "n1 has shares of payroll"},
		{"a node that the roster does not name", func(v *vitals) {
			v.nodes[4].status.Warnings = []string{api.RosterWithout}
		}, []string{"roster n5"}, "not on the roster"},
		{"a version that was due", func(v *vitals) {
			for i := range v.nodes {
				v.nodes[i].status.Warnings = []string{api.RotationOverdue + ": version 2 of the key payroll"}
			}
		}, []string{"overdue cluster"}, "version 2 of the key payroll"},
		{"shares that are not erased, of a node that is away too", func(v *vitals) {
			v.nodes[4] = vital{id: "n5", why: "no answer in 3s"}
			v.nodes[0].health.Unerased = map[string]uint32{"n5": 1, "n2": 1}
			v.nodes[1].health.Unerased = map[string]uint32{"n5": 2}
		}, []string{"unreachable n5", "unerased n2", "unerased n5"}, ""},
		{"a pool that nobody fills", func(v *vitals) {
			v.nodes[0].status.Pools = []api.PoolSummary{{Name: "web", Size: 5, Waiting: 2}}
			v.nodes[1].status.Index, v.nodes[1].status.Link = 499, api.Digest{8} // who is behind is not asked
			v.nodes[1].status.Pools = []api.PoolSummary{{Name: "old", Size: 5}}
		}, []string{"pool web"}, "2 of 5 keys wait"},
		{"pools that are filled, or are being", func(v *vitals) {
			v.nodes[0].status.LedgerTime = 100_000
			v.nodes[0].status.Pools = []api.PoolSummary{
				{Name: "a", Size: 4, Waiting: 2}, {Name: "b", Size: 4, Phase: "join", Opened: 90_000}, {Name: "c", Size: 4},
			}
		}, nil, ""},
		{"a pool that is being filled for too long", func(v *vitals) {
			v.nodes[0].status.LedgerTime = 200_000
			v.nodes[0].status.Pools = []api.PoolSummary{{Name: "b", Size: 4, Phase: "confirm", Opened: 90_000}, {Name: "c", Size: 4}}
		}, []string{"pool b"}, "0 of 4 keys wait"},
		{"a clock that is ahead", func(v *vitals) { v.nodes[1].ahead = 8 * time.Second }, []string{"clock n2"}, "ahead of the others"},
		{"a clock that is behind", func(v *vitals) { v.nodes[1].ahead = -time.Hour }, []string{"clock n2"}, "behind the others"},
		{"this machine's clock is wrong, and nobody else's", func(v *vitals) {
			for i := range v.nodes {
				v.nodes[i].ahead += time.Hour
			}
		}, nil, ""},
		{"of two clocks that differ nobody knows which is wrong", func(v *vitals) {
			for i := range 3 {
				v.nodes[i+2] = vital{id: v.nodes[i+2].id, status: v.nodes[i+2].status}
			}
			v.nodes[0].ahead = time.Hour
		}, []string{"unseen n3", "unseen n4", "unseen n5"}, ""},
		{"a soft token", func(v *vitals) { v.nodes[0].status.HSM = hsmSoft }, []string{"token n1"}, "protects nothing"},
		{"one token in two nodes", func(v *vitals) { v.nodes[0].status.TokenSerial = "1" }, []string{"token n1, n2"}, "one token, 1"},
		{"memory that is not locked", func(v *vitals) { v.nodes[0].health.MemoryLocked = false }, []string{"memlock n1"}, "not locked"},
		{"small buffers", func(v *vitals) { v.nodes[0].health.ReceiveBuffer = 212992 }, []string{"buffers n1"}, "212992"},
		{"buffers that are not known", func(v *vitals) { v.nodes[0].health.ReceiveBuffer = 0 }, nil, ""},
		{"two programs", func(v *vitals) { v.nodes[0].health.Program = "def" }, []string{"program cluster"}, "abc (n2, n3, n4, n5); def (n1)"},
		{"an older program", func(v *vitals) {
			v.nodes[0].health, v.nodes[0].why = nil, "malformed: no such method"
		}, []string{"unseen n1"}, "no such method"},
		{"a drill that is too long ago", func(v *vitals) {
			v.drills[0].Time = v.now.Add(-91 * 24 * time.Hour).UnixMilli()
		}, []string{"drill alice"}, "91 days ago"},
		{"no drill at all", func(v *vitals) { v.drills = []api.DrillSummary{} }, []string{"drill alice"}, "never"},
		{"what nobody could be asked for", func(v *vitals) {
			v.drills, v.policy, v.blind, v.unseen = nil, nil, true, []string{"the drills: malformed", "the policy: malformed"}
		}, []string{"unseen cluster", "unseen cluster"}, "the drills: malformed"},
		{"a broad grant", func(v *vitals) {
			v.policy = compiled(t, `@id("all") permit (principal, action, resource == Warifu::Key::"demo");`)
		}, []string{"policy all"}, policy.WarnBroadPrincipal},
		{"no policy", func(v *vitals) { v.policy = nil }, []string{"no-policy cluster"}, ""},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			v := well(t)
			tt.spoil(v)
			found := diagnose(v)
			var names []string
			for _, f := range found {
				names = append(names, f.Code+" "+f.Of)
				met[f.Code] = true
				if f.Says == "" && f.Code != "unreachable" && f.Code != "unseen" || f.Next == "" {
					t.Errorf("it does not say what is wrong, or what to do: %+v", f)
				}
			}
			if !slices.Equal(names, tt.found) {
				t.Fatalf("found %q, want %q", names, tt.found)
			}
			if len(found) > 0 && !strings.Contains(found[0].Says, tt.says) {
				t.Errorf("it says %q", found[0].Says)
			}
		})
	}
	for _, a := range ailments {
		if !met[a.code] {
			t.Errorf("%s was never found", a.code)
		}
	}
}

// The page's table of the doctor's findings is the doctor's own.
func TestThePageListsEachAilment(t *testing.T) {
	b, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(b), "| The doctor finds | When | Next |\n| --- | --- | --- |\n")
	if !found {
		t.Fatal("the page has no table of the doctor's findings")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, a := range ailments {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", a.code, a.is, a.next))
	}
	if got := strings.Split(table, "\n"); !slices.Equal(got, want) {
		t.Errorf("the page's table is to be\n%s", strings.Join(want, "\n"))
	}
}
