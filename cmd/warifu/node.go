package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/home"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

func (a *app) nodeCommand() *cobra.Command {
	return group("node", "Change which nodes the cluster has, and list them",
		`The roster is what custodians signed: genesis, and the changes since. A node comes with
its roster line, which warifud init prints; it follows the log without a vote, votes when
it has caught up, and holds shares when keys are dealt to it (warifu reshare). A node
that is to leave stays until no key has a share there. One change is carried out at a
time, by whichever node leads.`,
		"  warifu node list\n  warifu node replace tokyo-1 tokyo-9.line --out replace.change\n  warifu node list --chain cluster.chain",
		a.nodeListCommand(), a.nodeAddCommand(), a.nodeRemoveCommand(), a.nodeReplaceCommand())
}

// membershipView is a change of the roster for a custodian's eyes.
type membershipView struct {
	Comes    *comerView `json:"comes,omitempty"`
	Leaves   string     `json:"leaves,omitempty"`
	Undo     bool       `json:"undo,omitempty"`
	Means    []string   `json:"means"`
	Warnings []string   `json:"warnings,omitempty"`
}

type comerView struct {
	Node        string `json:"node"`
	Region      string `json:"region"`
	Fingerprint string `json:"fingerprint"`
	Client      string `json:"client"`
	Peer        string `json:"peer"`
}

// viewMembership reads a change of the roster. g may be nil.
func viewMembership(c *authority.Change, g *authority.Genesis) (*membershipView, error) {
	m, err := authority.ParseMembership(c)
	if err != nil {
		return nil, err
	}
	v := &membershipView{Leaves: m.Leaver, Undo: m.Undo}
	after := 0
	if n := m.Newcomer; n != nil {
		v.Comes = &comerView{Node: n.ID, Region: n.Region, Fingerprint: authority.FingerprintOf(n.Key).String(), Client: n.Claim.Client, Peer: n.Claim.Peer}
		after++
	}
	switch {
	case m.Undo:
		v.Means = append(v.Means, "the change before is taken back: whoever it brought is off the roster, and whoever was to leave stays")
	case m.Leaver != "":
		v.Means = append(v.Means, m.Leaver+" leaves when no key has a share there; what it signs and asks counts no more from then on, and it never comes back")
		after--
	}
	if g == nil || m.Undo {
		return v, nil
	}
	n := len(g.Roster) + after
	v.Means = append(v.Means, fmt.Sprintf("%s vote afterwards, and the log goes on while %d of them are up: %d may be down", plural(n, "node"), n/2+1, n-n/2-1))
	if m.Leaver != "" && g.NodeByID(m.Leaver) == nil {
		v.Warnings = append(v.Warnings, m.Leaver+" is not on the roster that is known here")
	}
	if m.Newcomer != nil && g.NodeByID(m.Newcomer.ID) != nil {
		v.Warnings = append(v.Warnings, m.Newcomer.ID+" is on the roster already")
	}
	if n%2 == 0 {
		v.Warnings = append(v.Warnings, fmt.Sprintf("%d nodes survive no more failures than %d do", n, n-1))
	}
	return v, nil
}

func (v *membershipView) words(a *app, w io.Writer) {
	if c := v.Comes; c != nil {
		fmt.Fprintln(w, "This node comes to the cluster; compare its key with what its operator reads out:")
		facts(w, "  node", c.Node, "  region", c.Region, "  key", c.Fingerprint, "  clients", c.Client, "  peers", c.Peer)
	}
	if v.Leaves != "" {
		fmt.Fprintf(w, "This node leaves the cluster: %s\n", oneLine(v.Leaves))
	}
	for _, m := range v.Means {
		fmt.Fprintf(w, "  - %s\n", oneLine(m))
	}
	for _, m := range v.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
}

// writeMembership makes a change of the roster in force. The cluster is asked for that,
// and for what the change would risk.
func (a *app) writeMembership(ctx context.Context, f *changeFlags, base, kind string, m authority.Membership) error {
	g, err := a.needGenesis(f.genesis)
	if err != nil {
		return err
	}
	replaces, err := baseFlag(base, func() (api.Digest, error) {
		h, cluster, err := a.rosterInForce(ctx)
		if err != nil {
			return api.Digest{}, fmt.Errorf("ask for the roster in force (or say which change made it with --base): %w", err)
		}
		defer cluster.Close()
		g = h.Custody.Genesis
		if _, _, err := g.Enrolled(h.Custody.Roll, &m, api.Digest{}); err != nil {
			return api.Digest{}, err
		}
		if !m.Undo && m.Leaver != "" {
			err = a.mayLeave(ctx, cluster, g, &m)
		}
		return h.Custody.Roll.Change, err
	})
	if err != nil {
		return err
	}
	return f.write(a, g, kind, wire.Encode(m), replaces)
}

// rosterInForce is a client that knows the roster in force.
func (a *app) rosterInForce(ctx context.Context) (*home.Home, *client.Client, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, nil, err
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return nil, nil, err
	}
	before := h.Custody.Len()
	if err := a.learnCustody(ctx, h, cluster); err != nil {
		cluster.Close()
		return nil, nil, err
	}
	if h.Custody.Len() > before {
		cluster.Close()
		cluster, err = a.connectFrom(h)
	}
	return h, cluster, err
}

// mayLeave refuses, with the arithmetic, what the ledger would refuse, and what would
// leave the log without a majority of nodes that are up now.
func (a *app) mayLeave(ctx context.Context, cluster *client.Client, g *authority.Genesis, m *authority.Membership) error {
	up := 0
	for _, s := range cluster.Status(ctx) {
		if s.Err == nil && s.Answer.FreshFor > 0 && s.Node != m.Leaver {
			up++
		}
	}
	n := len(g.Roster) - 1
	if m.Newcomer != nil {
		n++
	}
	if need := n/2 + 1; up < need {
		return fail(exitInput, "%s would vote without %s, %d of them must be up for the log to go on, and %d are now", plural(n, "node"), m.Leaver, need, up)
	}
	keys, err := cluster.Keys(ctx)
	if err != nil {
		return err
	}
	keys = slices.DeleteFunc(keys, func(k api.KeySummary) bool { return k.State == string(authority.Destroyed) })
	if m.Newcomer != nil {
		return hasRoom(keys, g, m)
	}
	for _, k := range keys {
		left := len(k.Holders) - len(k.Struck)
		if slices.Contains(k.Holders, m.Leaver) && !slices.Contains(k.Struck, m.Leaver) {
			if left--; left < int(k.T) {
				return fail(exitInput, "without %s, %d holders are left of %s, and it takes %d: deal its shares to others first (warifu reshare)", m.Leaver, left, k.Name, k.T)
			}
		}
	}
	return nil
}

// readNewcomer reads a file with the one line of a node.
func readNewcomer(file string) (*authority.Node, error) {
	var g authority.Genesis
	if err := addLines(&g, file); err != nil {
		return nil, err
	}
	if len(g.Roster) != 1 || len(g.Custodians) > 0 {
		return nil, fail(exitInput, "%s holds other lines than the one of a node", file)
	}
	return &g.Roster[0], nil
}

// addMembership adds the flags of every verb that changes the roster.
func (f *changeFlags) addMembership(a *app, c *cobra.Command, base *string) {
	f.add(a, c)
	c.Flags().StringVar(base, "base", "", "id of the change that made the roster in force, or none (default: ask the cluster)")
	a.addCallerFlags(c)
}

func (a *app) nodeAddCommand() *cobra.Command {
	var f changeFlags
	var base string
	c := &cobra.Command{
		Use: "add LINE --out FILE.change", Short: "Write a change that brings a node to the cluster",
		Long: `Writes a change that brings a node to the cluster, for custodians to sign. LINE is the
file with the node's roster line, which warifud init prints. When it is taken, the node's
operator runs: warifud join DIR GENESIS CHAIN, with the file of warifu node list --chain.`,
		Example: "  warifu node add osaka-3.line --out add.change",
		Args:    exactly("LINE"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := readNewcomer(args[0])
			if err != nil {
				return err
			}
			return a.writeMembership(c.Context(), &f, base, authority.KindNodeAdd, authority.Membership{Newcomer: n})
		},
	}
	f.addMembership(a, c, &base)
	return c
}

func (a *app) nodeRemoveCommand() *cobra.Command {
	var f changeFlags
	var base string
	var undo bool
	c := &cobra.Command{
		Use: "remove NODE --out FILE.change", Short: "Write a change that takes a node off the roster",
		Long: `Writes a change that takes a node off the roster, for custodians to sign. A node that
holds shares stays until they are dealt to others (warifu reshare), and a key that would
be left with fewer holders than its threshold keeps it. With --undo the change before,
which is not finished, is taken back: NODE is whom it brought, or whom it was to remove.`,
		Example: "  warifu node remove osaka-3 --out remove.change\n  warifu node remove osaka-4 --undo --out undo.change",
		Args:    exactly("NODE"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.writeMembership(c.Context(), &f, base, authority.KindNodeRemove, authority.Membership{Leaver: args[0], Undo: undo})
		},
	}
	f.addMembership(a, c, &base)
	c.Flags().BoolVar(&undo, "undo", false, "take the unfinished change before back")
	return c
}

func (a *app) nodeReplaceCommand() *cobra.Command {
	var f changeFlags
	var base string
	c := &cobra.Command{
		Use: "replace NODE LINE --out FILE.change", Short: "Write a change that puts a node in the place of another",
		Long: `Writes a change that brings the node of LINE and takes NODE off the roster, for
custodians to sign. NODE leaves when the newcomer votes and no key has a share at NODE:
deal them to others with warifu reshare.`,
		Example: "  warifu node replace tokyo-1 tokyo-9.line --out replace.change",
		Args:    exactly("NODE", "LINE"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := readNewcomer(args[1])
			if err != nil {
				return err
			}
			return a.writeMembership(c.Context(), &f, base, authority.KindNodeReplace, authority.Membership{Newcomer: n, Leaver: args[0]})
		},
	}
	f.addMembership(a, c, &base)
	return c
}

// memberView is a node on the roster.
type memberView struct {
	Node        string `json:"node"`
	Region      string `json:"region"`
	Client      string `json:"client"`
	Fingerprint string `json:"fingerprint"`
	State       string `json:"state"`
}

func (a *app) nodeListCommand() *cobra.Command {
	var chain string
	c := &cobra.Command{
		Use: "list", Short: "List the nodes, and how many failures each key survives",
		Long: `Lists the nodes on the roster, verified from genesis on, change by change, with what each
says of itself, and how many more failures each key survives as they are now. A change of
the roster that is not finished is said, and what it waits for. --chain writes the
changes to a file: a node that joins needs it.`,
		Example: "  warifu node list\n  warifu node list --chain cluster.chain",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			h, cluster, err := a.rosterInForce(c.Context())
			if err != nil {
				return err
			}
			defer cluster.Close()
			if chain != "" {
				if err := writeReplacing(chain, modePublic, authority.EncodeSuccession(h.Custody.Entries())); err != nil {
					return err
				}
			}
			v := struct {
				Version uint64       `json:"roster_version"`
				Nodes   []memberView `json:"nodes"`
				Keys    []survival   `json:"keys,omitempty"`
				Waits   []string     `json:"unfinished,omitempty"`
			}{Version: h.Custody.Roll.Version}
			statuses := cluster.Status(c.Context())
			gone := hasLeft(h.Custody, statuses)
			for _, s := range statuses {
				n := h.Custody.Genesis.NodeByID(s.Node)
				m := memberView{Node: n.ID, Region: n.Region, Client: s.Address, Fingerprint: authority.FingerprintOf(n.Key).String(), State: "no answer"}
				var reasons *client.NodesError
				if s.Err == nil {
					m.State = s.Answer.State
					for _, w := range s.Answer.Warnings {
						if strings.Contains(w, "roster") && !slices.Contains(v.Waits, w) {
							v.Waits = append(v.Waits, w)
						}
					}
				} else if errors.As(s.Err, &reasons) && len(reasons.Reasons) > 0 {
					m.State = string(reasons.Reasons[0].Code)
				}
				if m.Node == gone {
					m.State = left
				}
				v.Nodes = append(v.Nodes, m)
			}
			if keys, err := cluster.Keys(c.Context()); err == nil {
				v.Keys = survivals(keys, statuses)
			}
			return a.show(v, func(w io.Writer) {
				var rows [][]string
				for _, m := range v.Nodes {
					rows = append(rows, []string{m.Node, m.Region, m.State, m.Client, m.Fingerprint})
				}
				table(w, "NODE REGION STATE CLIENTS FINGERPRINT", rows)
				fmt.Fprintf(w, "roster version %d\n", v.Version)
				for _, k := range v.Keys[:min(len(v.Keys), maxSurvivals)] {
					fmt.Fprintln(w, k.words(a))
				}
				if more := len(v.Keys) - maxSurvivals; more > 0 {
					fmt.Fprintf(w, "and %s that survive as many failures, or more\n", plural(more, "other key"))
				}
				for _, s := range v.Waits {
					fmt.Fprintln(w, a.loud(oneLine(s)))
				}
				if chain != "" {
					fmt.Fprintf(w, "the changes since genesis are in %s\n", filepath.Clean(chain))
				}
			})
		},
	}
	c.Flags().StringVar(&chain, "chain", "", "file to write the changes of roster and custodians to, for a node that joins")
	a.addCallerFlags(c)
	return c
}

// maxSurvivals bounds the keys that are listed, those nearest to their end first.
const maxSurvivals = 20

// survival is how many more failures a key survives, as the nodes are now.
type survival struct {
	Key     string `json:"key"`
	T       int    `json:"t"`
	Holders int    `json:"holders"`
	Up      int    `json:"up"`
	More    int    `json:"survives"` // negative: it does not open now
}

// survivals are those of keys that are born and not destroyed, the least first.
func survivals(keys []api.KeySummary, statuses []client.NodeStatus) []survival {
	serves := map[string]bool{}
	for _, s := range statuses {
		serves[s.Node] = s.Err == nil && s.Answer.State == "serving"
	}
	var out []survival
	for _, k := range keys {
		if k.ID == (api.KeyID{}) || k.State == string(authority.Destroyed) {
			continue
		}
		s := survival{Key: k.Name, T: int(k.T), Holders: len(k.Holders) - len(k.Struck)}
		for _, h := range k.Holders {
			if serves[h] && !slices.Contains(k.Struck, h) {
				s.Up++
			}
		}
		s.More = s.Up - s.T
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b survival) int { return a.More - b.More })
	return out
}

func (s survival) words(a *app) string {
	at := fmt.Sprintf("%s: %d of %s must serve, %d do: ", s.Key, s.T, plural(s.Holders, "holder"), s.Up)
	switch {
	case s.More < 0:
		return a.loud(at + "it does not open now")
	case s.More == 0:
		return a.loud(at + "it survives no more failure")
	}
	return at + "it survives " + plural(s.More, "more failure")
}

func surviving(keys int) string {
	if keys == 1 {
		return "the other key survives"
	}
	return fmt.Sprintf("the other %d keys survive", keys)
}
