package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/home"

	"github.com/spf13/cobra"
)

// unsealLook is how often the nodes are asked again.
const unsealLook = time.Second

func (a *app) unsealCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "unseal [NODE...] --custodian FILE",
		Short: "Hand this custodian's piece to every sealed node",
		Long: `Hands this custodian's piece to every node that is sealed and can be reached, or
to those named, and shows who each still waits for. It stays until every one of
them is open, and serves a node that comes back meanwhile; with --once it leaves
after one round.

A piece goes to a key that the node made for this attempt and signed, and is of no
use at another node or later. Which nodes there are, and their keys, genesis says.
What is still sealed when it leaves is exit code 11.

A node that was sealed, or down, when the custodians were replaced is opened by those
who were custodians before: they run this command as ever, and it serves the nodes
that still need them and leaves the others out. Once it is open, the node locks itself
anew, for those in force.`,
		Example: "  warifu unseal --custodian alice.custodian\n  warifu unseal --custodian alice.custodian --once -o json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, nodes []string) error {
			if a.caller.custodianFile == "" {
				return fail(exitUsage, "warifu unseal needs --custodian FILE: only custodians open seals")
			}
			u, err := a.newUnsealer(c.Context(), nodes)
			if err != nil {
				return err
			}
			defer u.cluster.Close()
			return u.run(c.Context(), once)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "leave after one round, open or not")
	a.addCallerFlags(c)
	return c
}

// unsealer is a custodian who opens seals.
type unsealer struct {
	app     *app
	cluster *client.Client
	nodes   []string // none means all
	name    string
	former  bool // a custodian no more, as far as is known here
	hand    func(context.Context, *api.UnsealOffer) (*api.UnsealOffer, error)
	shown   string
}

func (a *app) newUnsealer(ctx context.Context, nodes []string) (*unsealer, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	if h.Genesis.Unseal != authority.UnsealCustodians {
		return nil, fail(exitInput, "in this cluster each node's token opens its seal alone (%s): there is nothing for custodians to open", h.Genesis.Unseal)
	}
	for _, id := range nodes {
		if h.Custody.Genesis.NodeByID(id) == nil {
			return nil, fail(exitUsage, "%s is not on the roster, which has %s", oneLine(id), strings.Join(nodeIDs(h.Custody.Genesis), ", "))
		}
	}
	who, err := a.openCustodian(a.caller.custodianFile, a.caller.passphraseFile, "to open seals")
	if err != nil {
		return nil, err
	}
	u := &unsealer{app: a, nodes: nodes, name: who.Name()}
	key, err := who.SignKey().Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return nil, err
	}
	cert, err := selfSigned(who.SignKey(), who.Name())
	if err != nil {
		return nil, err
	}
	u.cluster, err = client.New(client.Config{
		Genesis: h.Genesis, Claims: h.Claims, Certificate: cert, Region: h.Region, Source: h.Source, Timeout: a.caller.timeout,
		Log: a.notes(),
	})
	if err != nil {
		return nil, err
	}
	u.hand = func(ctx context.Context, o *api.UnsealOffer) (*api.UnsealOffer, error) {
		return u.cluster.HandOver(ctx, o, int(o.Place)-1, who.OpenKey())
	}
	if u.former, err = a.heldBefore(ctx, h, u.cluster, who.Name(), authority.FingerprintOf(key)); err != nil {
		u.cluster.Close()
		return nil, err
	}
	return u, nil
}

// heldBefore says whether the key was a custodian's and is none any more. It fails for
// one that never was, as far as this client and the nodes it reaches know.
func (a *app) heldBefore(ctx context.Context, h *home.Home, cluster *client.Client, name string, key authority.Fingerprint) (bool, error) {
	g, err := a.askCustody(ctx, h, cluster)
	switch {
	case err != nil:
		return false, err
	case g.CustodianByKey(key) != nil:
		return false, nil
	case h.Custody.EverHeld(key):
		return true, nil
	}
	return false, fail(exitUnauthenticated, "%s is not a custodian of this cluster", name)
}

// sealLine is one node of the table.
type sealLine struct {
	Node  string   `json:"node"`
	State string   `json:"state"`
	Have  []string `json:"have"`
	Need  uint32   `json:"need"`
	Why   string   `json:"why,omitempty"`
	open  bool
	alien bool // the node takes this key for nobody's
}

// run hands pieces over until every node is open, or once.
func (u *unsealer) run(ctx context.Context, once bool) error {
	for {
		lines := u.round(ctx)
		closed := slices.DeleteFunc(slices.Clone(lines), func(l sealLine) bool { return l.open })
		if u.app.format == formatTable {
			u.show(lines)
		}
		if !slices.ContainsFunc(closed, func(l sealLine) bool { return !l.alien }) && len(closed) > 0 {
			return fail(exitUnauthenticated, "%s: %s", closed[0].Node, closed[0].Why)
		}
		if len(closed) == 0 || once || ctx.Err() != nil {
			if u.app.format == formatJSON {
				if err := u.app.show(lines, nil); err != nil {
					return err
				}
			}
			if len(closed) > 0 {
				return fail(exitCheck, "%s still sealed, or not reached", plural(len(closed), "node"))
			}
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(unsealLook):
		}
	}
}

// round asks every node once, and hands over where this custodian's piece is missing.
func (u *unsealer) round(ctx context.Context) []sealLine {
	var lines []sealLine
	for _, s := range u.cluster.Seals(ctx, u.nodes...) {
		l := sealLine{Node: s.Node, Have: []string{}}
		o, err := s.Offer, s.Err
		if err == nil && o.Locked && o.Place > 0 && !slices.Contains(o.Have, u.name) {
			var next *api.UnsealOffer
			if next, err = u.hand(ctx, o); err == nil {
				o = next
			}
		}
		switch {
		case o == nil:
			l.State = "-"
		case o.Locked:
			l.State, l.Have, l.Need = "sealed", append(l.Have, o.Have...), o.Need
			if o.Former {
				l.Why = "locked for the custodians before: " + strings.Join(o.Custodians, ", ")
			}
		default:
			l.State, l.open = o.State, true
			if o.State == "sealed" { // opened a moment ago
				l.State = "open"
			}
		}
		var nodes *client.NodesError
		if errors.As(err, &nodes) && len(nodes.Reasons) > 0 {
			l.Why = fmt.Sprintf("%s: %s", nodes.Reasons[0].Code, nodes.Reasons[0].Sentence)
			l.alien = nodes.Reasons[0].Code == api.CodeUnauthenticated
			if u.former && l.alien {
				l.State, l.Why, l.open = "not yours", "it needs no piece of a custodian who was replaced", true
			}
			if nodes.Reasons[0].Code == api.CodeSealed {
				l.State = string(api.CodeSealed)
			}
		} else if err != nil {
			l.Why = err.Error()
		}
		lines = append(lines, l)
	}
	return lines
}

// show prints the table when something in it has changed.
func (u *unsealer) show(lines []sealLine) {
	var b strings.Builder
	var rows [][]string
	for _, l := range lines {
		pieces := "-"
		if l.Need > 0 {
			pieces = fmt.Sprintf("%d of %d", len(l.Have), l.Need)
		}
		rows = append(rows, []string{l.Node, l.State, pieces, orWord(strings.Join(l.Have, ", "), "-"), l.Why})
	}
	table(&b, "NODE STATE PIECES WHO WHY", rows)
	if b.String() == u.shown {
		return
	}
	if u.shown != "" {
		fmt.Fprintln(u.app.out)
	}
	u.shown = b.String()
	_, _ = io.WriteString(u.app.out, u.shown)
}
