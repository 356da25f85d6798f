package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/policy"

	"github.com/spf13/cobra"
)

// What the doctor measures by.
const (
	clockApart   = 5 * time.Second // hours of a policy and ends of grants differ so much between nodes
	diskDays     = 30              // an operator is on holiday and comes back
	diskRoom     = 1 << 30         // beside the reserve, where growth is not known yet
	receiveLeast = 7_000_000       // what quic-go asks for, less the system's rounding
	behindLeast  = 100             // entries; a quiet cluster takes that long over them that it is no hurry
	drillEvery   = 90 * 24 * time.Hour
	spareLeast   = 1 // nodes that may still fail while a quorum serves
)

// ailment is something that the doctor knows by name.
type ailment struct {
	code string
	is   string // when it is found
	next string // what to do
}

// ailments are all of them, the urgent ones first.
var ailments = []ailment{
	{"unreachable", "a node does not answer, or refuses to", "on its machine: systemctl status warifud; warifud check DIR"},
	{"fork", "two nodes have different histories up to one index, or a node has met another", "tell the custodians: docs/failures.md, \"When a member lies\""},
	{"not-serving", "a node answers and releases nothing", "see docs/operations.md, \"What a node says of itself\"; of sealed nodes: warifu unseal --custodian FILE"},
	{"margin", "so few nodes serve that no further one may fail", "bring back the nodes above before anything else"},
	{"audit", "a node cannot record what it decides", "make room or mend the disk, then start the node again"},
	{"disk", "the audit's disk is full within 30 days at last week's growth, or has less than 1 GiB beside the reserve", "stop the node, then: warifu audit archive DIR/audit --to ELSEWHERE; or a larger volume"},
	{"behind", "a node has applied over 100 entries fewer than another", "look at its disk and its network: journalctl -u warifud"},
	{"leader", "nodes that answer know no leader, or not the same", "wait for an election; if it lasts, look at the network between nodes"},
	{"roster", "a change of the roster is not finished, or a node runs that is not on it", "warifu node list says what it waits for: warifu reshare, or node remove NODE --undo takes it back"},
	{"struck", "a node is on a key's list and has no share", "keep the others up, and: warifu rotate-shares --key KEY"},
	{"pool", "a pool has less than half of its keys, and no run fills it, or one that does not end", "bring back its holders; or, among others: warifu pool set, warifu pool drop"},
	{"unerased", "a node has not signed that it erased its shares of epochs that are over", "bring it back: it erases by itself, and signs; where it is gone for good, replace it"},
	{"overdue", "a rotation of shares, or of a key, was due by its period an hour ago, and has not come", "bring back the holders that are down; or by hand: warifu rotate-shares --all, warifu key rotate KEY"},
	{"clock", "a node's clock is over 5 s from the median of the others'", "on its machine: timedatectl timesync-status (or chronyc tracking)"},
	{"token", "a node's secrets are sealed by nothing, or two nodes name one token", "replace the node by one with a token of its own"},
	{"memlock", "a node's memory is not locked and may reach swap", "LimitMEMLOCK=infinity in its unit, then start it again"},
	{"buffers", "a node's sockets hold less than 7 MB", "on its machine: sysctl -w net.core.rmem_max=7500000, then start it again"},
	{"stopped", "a node's last run stopped serving", "see its audit: warifu audit tail NODE"},
	{"program", "nodes run different programs", "finish the upgrade: docs/operations.md, \"Upgrade\""},
	{"unseen", "a node, or all of them, give no usable answer to something that the doctor asks: its program is older, or this one is", "docs/operations.md, \"Upgrade\": the tools first"},
	{"escrow", "shares of a key are sealed to custodians, who open it beside policy and audit", "warifu escrow list KEY; where that is not wanted any more: warifu key rotate KEY, then warifu rewrap"},
	{"drill", "a custodian has not drilled for 90 days", "the custodian: warifu custodian drill --custodian FILE"},
	{"policy", "the policy in force permits more, or less, than is probably meant", "warifu policy lint"},
	{"no-policy", "no policy is in force: nobody may open anything", "warifu propose policy, or warifu policy put"},
}

// complaint is one thing that is not as it should be.
type complaint struct {
	Code string `json:"code"`
	Of   string `json:"of"` // a node, a custodian, a rule; "cluster" for all
	Says string `json:"says"`
	Next string `json:"next"`
}

// vitals are what the doctor was told.
type vitals struct {
	now        time.Time
	t          int // of the cluster
	nodes      []vital
	custodians []heldView
	drills     []api.DrillSummary // nil when they are not known
	policy     *policy.Policy     // nil when none is in force, or it is not known
	unseen     []string           // what could not be asked for, and why
	blind      bool               // the policy is not known
	keys       []policy.Shared
}

type vital struct {
	id     string
	status *api.StatusAnswer
	health *api.HealthAnswer
	ahead  time.Duration // of this machine's clock
	why    string        // there is no status, or no health
}

// diagnose holds what the doctor was told against what should be.
func diagnose(v *vitals) []complaint {
	d := &diagnosis{vitals: v}
	d.cluster()
	for i := range v.nodes {
		d.node(&v.nodes[i])
	}
	d.clocks()
	if v.drills != nil {
		for _, c := range v.custodians {
			d.drilled(c)
		}
	}
	for _, what := range v.unseen {
		d.found("unseen", "cluster", "%s", what)
	}
	switch {
	case v.blind:
	case v.policy == nil:
		d.found("no-policy", "cluster", "no policy is in force")
	default:
		for _, w := range v.policy.Lint(v.keys) {
			d.found("policy", orWord(w.Rule, "policy"), w.Code+": "+w.Sentence)
		}
	}
	slices.SortStableFunc(d.complaints, func(a, b complaint) int { return place(a.Code) - place(b.Code) })
	return d.complaints
}

type diagnosis struct {
	*vitals
	complaints []complaint
}

func place(code string) int {
	i := slices.IndexFunc(ailments, func(a ailment) bool { return a.code == code })
	if i < 0 {
		panic("doctor: no ailment " + code)
	}
	return i
}

func (d *diagnosis) found(code, of, says string, args ...any) {
	if len(args) > 0 {
		says = fmt.Sprintf(says, args...)
	}
	d.complaints = append(d.complaints, complaint{code, of, says, ailments[place(code)].next})
}

// once is found for what all nodes say of the ledger.
func (d *diagnosis) once(code, says string) {
	if !slices.ContainsFunc(d.complaints, func(c complaint) bool { return c.Code == code && c.Says == says }) {
		d.found(code, "cluster", "%s", says)
	}
}

// serving is what a node says that releases.
const serving = "serving"

// cluster looks at what no node can say alone.
func (d *diagnosis) cluster() {
	serves, answers := 0, 0
	leaders, programs, tokens := map[string][]string{}, map[string][]string{}, map[string][]string{}
	first := map[uint64]*vital{}
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.health != nil {
			programs[n.health.Program] = append(programs[n.health.Program], n.id)
		}
		s := n.status
		if s == nil {
			continue
		}
		answers++
		if s.State == serving {
			serves++
		}
		leaders[s.Leader] = append(leaders[s.Leader], n.id)
		tokens[s.TokenSerial] = append(tokens[s.TokenSerial], n.id)
		if other := first[s.Index]; other == nil {
			first[s.Index] = n
		} else if other.status.Link != s.Link || other.status.Root != s.Root {
			d.found("fork", n.id, "at index %d it has another history than %s", s.Index, other.id)
		}
	}
	if answers > 0 && (len(leaders) > 1 || leaders[""] != nil) {
		d.found("leader", "cluster", "%s", whoSays(leaders, "none"))
	}
	if serves < d.t+spareLeast {
		d.found("margin", "cluster", "%d of %d nodes serve, and %d have to", serves, len(d.nodes), d.t)
	}
	doors := map[string]bool{} // as every node tells of the ledger
	for _, n := range d.nodes {
		if n.status == nil {
			continue
		}
		for _, w := range n.status.Warnings {
			if door, is := strings.CutPrefix(w, api.ExtraDoor+": "); is && !doors[door] {
				doors[door] = true
				d.found("escrow", "cluster", "%s", oneLine(door))
			}
		}
	}
	owes := map[string]uint32{} // as the nodes tell of the ledger, also of those that are away
	for _, n := range d.nodes {
		if n.health != nil {
			for id, epochs := range n.health.Unerased {
				owes[id] = max(owes[id], epochs)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(owes)) {
		d.found("unerased", id, "it owes its receipts for old shares of %s", plural(int(owes[id]), "key version"))
	}
	d.pools()
	if len(programs) > 1 {
		d.found("program", "cluster", "%s", whoSays(programs, "unknown"))
	}
	for serial, nodes := range tokens {
		if len(nodes) > 1 {
			d.found("token", strings.Join(nodes, ", "), "they name one token, %s", oneLine(serial))
		}
	}
}

// slowRun is how long a run that fills a pool takes at most where all its holders are up.
const slowRun = time.Minute

// pools looks at those of the node that has come furthest.
func (d *diagnosis) pools() {
	var newest *api.StatusAnswer
	for _, n := range d.nodes {
		if n.status != nil && (newest == nil || n.status.Index > newest.Index) {
			newest = n.status
		}
	}
	if newest == nil {
		return
	}
	busy := slices.ContainsFunc(newest.Pools, func(p api.PoolSummary) bool { return p.Phase != "" })
	for _, p := range newest.Pools {
		waits := p.Phase == "" && busy // one pool is filled after another
		runs := p.Phase != "" && newest.LedgerTime < p.Opened+slowRun.Milliseconds()
		if 2*p.Waiting < p.Size && !waits && !runs {
			d.found("pool", oneLine(p.Name), "%d of %s wait", p.Waiting, plural(int(p.Size), "key"))
		}
	}
}

// whoSays lists who said what, in a fixed order.
func whoSays(by map[string][]string, nothing string) string {
	var lines []string
	for what, nodes := range by {
		lines = append(lines, orWord(oneLine(what), nothing)+" ("+strings.Join(nodes, ", ")+")")
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// node looks at one.
func (d *diagnosis) node(n *vital) {
	if n.status == nil {
		d.found("unreachable", n.id, "%s", n.why)
		return
	}
	s := n.status
	if s.State != serving {
		d.found("not-serving", n.id, "it is %s", s.State)
	}
	if s.Audit != "ok" {
		d.found("audit", n.id, "its audit is %s", s.Audit)
	}
	var most uint64
	for _, other := range d.nodes {
		if other.status != nil {
			most = max(most, other.status.Index)
		}
	}
	if most-s.Index > behindLeast {
		d.found("behind", n.id, "it is at %d, another at %d", s.Index, most)
	}
	if s.HSM == hsmSoft {
		d.found("token", n.id, "its HSM is soft: it protects nothing")
	}
	for _, w := range s.Warnings {
		switch {
		case strings.HasPrefix(w, "fork: "):
			d.found("fork", n.id, "%s", strings.TrimPrefix(w, "fork: "))
		case strings.HasPrefix(w, "the last run stopped serving: "):
			d.found("stopped", n.id, "%s", w)
		case w == api.RosterWithout:
			d.found("roster", n.id, "%s", w)
		case strings.HasPrefix(w, api.RosterUnfinished+": "):
			d.once("roster", strings.TrimPrefix(w, api.RosterUnfinished+": "))
		case strings.HasPrefix(w, api.RotationOverdue+": "):
			d.once("overdue", strings.TrimPrefix(w, api.RotationOverdue+": "))
		}
	}
	h := n.health
	if h == nil {
		d.found("unseen", n.id, "%s", n.why)
		return
	}
	d.disk(n.id, h)
	if !h.MemoryLocked {
		d.found("memlock", n.id, "its memory is not locked")
	}
	if h.ReceiveBuffer > 0 && h.ReceiveBuffer < receiveLeast {
		d.found("buffers", n.id, "a socket holds %d bytes", h.ReceiveBuffer)
	}
	for _, struck := range h.Struck {
		if struck.Node == n.id { // each node says it of itself: once, and not of one that is gone
			d.found("struck", n.id, "%s has no share here", struck.Key)
		}
	}
}

func (d *diagnosis) disk(id string, h *api.HealthAnswer) {
	if !h.DiskKnown {
		return
	}
	room := h.DiskFree // the reserve is written already: it is not free
	switch {
	case h.AuditPerDay > 0 && room/h.AuditPerDay < diskDays:
		d.found("disk", id, "%d MB are left, and the audit grows by %d kB a day: full in %d days", room>>20, h.AuditPerDay>>10, room/h.AuditPerDay)
	case room < diskRoom:
		d.found("disk", id, "%d MB are left", room>>20)
	}
}

// clocks holds each node's clock against the median of the others', so that it does not
// matter what this machine's shows.
func (d *diagnosis) clocks() {
	for i, n := range d.nodes {
		if n.health == nil {
			continue
		}
		var others []time.Duration
		for j, o := range d.nodes {
			if j != i && o.health != nil {
				others = append(others, o.ahead)
			}
		}
		if len(others) < 2 { // of two that differ nobody knows which is wrong
			continue
		}
		slices.Sort(others)
		middle := (others[(len(others)-1)/2] + others[len(others)/2]) / 2
		if apart := n.ahead - middle; apart.Abs() > clockApart {
			side := "ahead of"
			if apart < 0 {
				side = "behind"
			}
			d.found("clock", n.id, "it is %v %s the others", apart.Abs().Round(100*time.Millisecond), side)
		}
	}
}

func (d *diagnosis) drilled(c heldView) {
	for _, drill := range d.drills {
		if drill.Custodian.String() != c.Fingerprint {
			continue
		}
		if age := d.now.Sub(time.UnixMilli(drill.Time)); age > drillEvery {
			d.found("drill", c.Name, "the last drill was %d days ago", int(age.Hours()/24))
		}
		return
	}
	d.found("drill", c.Name, "there was never a drill")
}

func (a *app) doctorCommand() *cobra.Command {
	var long strings.Builder
	long.WriteString("Asks every node how it and its machine are, and the ledger for drills and policy,\nand prints what is not as it should be, with what to do next:\n\n")
	for _, x := range ailments {
		fmt.Fprintf(&long, "  %-11s  %s\n", x.code, x.is)
	}
	long.WriteString("\nAnything found is exit code 11. It believes what each node says of itself, and\nmeasures the clocks.")
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Look at the whole cluster, and say what to do about what is wrong",
		Long:    long.String(),
		Example: "  warifu doctor\n  warifu doctor -o json --custodian alice.custodian",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := a.examine(c.Context())
			if err != nil {
				return err
			}
			found := diagnose(v)
			if found == nil {
				found = []complaint{}
			}
			err = a.show(found, func(w io.Writer) {
				for _, f := range found {
					fmt.Fprintf(w, "%s: %s: %s\n    next: %s\n", f.Code, oneLine(f.Of), oneLine(f.Says), f.Next)
				}
				if len(found) == 0 {
					fmt.Fprintf(w, "%s looked at, nothing found\n", plural(len(v.nodes), "node"))
				}
			})
			if err == nil && len(found) > 0 {
				err = fail(exitCheck, "%s found", plural(len(found), "thing"))
			}
			return err
		},
	}
	a.addCallerFlags(c)
	return c
}

// whyNot is what one node's error comes to, without the node's name.
func whyNot(err error) (string, []client.NodeReason) {
	var nodes *client.NodesError
	if !errors.As(err, &nodes) || len(nodes.Reasons) == 0 {
		return err.Error(), nil
	}
	r := nodes.Reasons[0]
	return strings.TrimPrefix(r.String(), r.Node+": "), nodes.Reasons
}

// examine asks for everything that [diagnose] looks at. It fails if no node answers.
func (a *app) examine(ctx context.Context) (*vitals, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	v := &vitals{now: now(), t: int(cluster.Genesis().Root.T)}
	refused := &client.NodesError{Doing: "ask the nodes how they are", Nodes: len(cluster.Genesis().Roster)}
	statuses := cluster.Status(ctx)
	for _, s := range statuses { // first: it opens the connections, and the clocks are measured over open ones
		n := vital{id: s.Node, status: s.Answer}
		if s.Err != nil {
			var reasons []client.NodeReason
			n.why, reasons = whyNot(s.Err)
			refused.Reasons = append(refused.Reasons, reasons...)
		}
		v.nodes = append(v.nodes, n)
	}
	if !slices.ContainsFunc(v.nodes, func(n vital) bool { return n.status != nil }) {
		return nil, fail(codeOfStatus(refused.Reasons), "%w", refused)
	}
	for i, answer := range cluster.Health(ctx) {
		v.nodes[i].health, v.nodes[i].ahead = answer.Answer, answer.Ahead
		if answer.Err != nil && v.nodes[i].status != nil {
			v.nodes[i].why, _ = whyNot(answer.Err)
		}
	}
	gone := hasLeft(cluster.Known(), statuses)
	v.nodes = slices.DeleteFunc(v.nodes, func(n vital) bool { return n.id == gone })
	// What one question comes to must not hide what the others did: programs of two
	// releases may not understand each other in everything.
	unseen := func(what string, err error) bool {
		if err != nil {
			why, _ := whyNot(err)
			v.unseen = append(v.unseen, what+": "+why)
		}
		return err != nil
	}
	if custody, err := a.askCustody(ctx, h, cluster); !unseen("the custodians", err) {
		v.custodians = viewHeld(custody.Custodians)
	}
	if drills, err := cluster.Drills(ctx); !unseen("the drills", err) {
		v.drills = append([]api.DrillSummary{}, drills.Drills...)
	}
	if v.keys, err = a.sharedKeys(ctx); unseen("the keys", err) {
		v.keys = nil
	}
	if v.policy, err = policyInForce(ctx, cluster); unseen("the policy", err) {
		v.blind = true
	}
	return v, nil
}

// policyInForce is nil when none is.
func policyInForce(ctx context.Context, cluster *client.Client) (*policy.Policy, error) {
	answer, err := cluster.Policy(ctx)
	if err != nil || len(answer.Document) == 0 {
		return nil, err
	}
	d, err := policy.DecodeDocument(answer.Document)
	if err != nil {
		return nil, fmt.Errorf("what a node sent: %w", err)
	}
	return policy.Compile(d)
}
