package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"warifu.dev/authority"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

// placeView is what one node has of a key.
type placeView struct {
	Node   string              `json:"node"`
	Region string              `json:"region"`
	Has    *authority.KeyAt    `json:"has"` // nil: it says nothing
	Signed []byte              `json:"signed,omitempty"`
	Reason []client.NodeReason `json:"reason,omitempty"`
}

// placesOf asks every node what it has of a version of a key; 0 is the newest.
func placesOf(ctx context.Context, cluster *client.Client, nameOrID string, version uint32) ([]placeView, error) {
	list, err := cluster.KeyAt(ctx, nameOrID, version)
	if err != nil {
		return nil, err
	}
	var out []placeView
	for _, n := range list {
		v := placeView{Node: n.Node, Has: n.Has, Signed: n.Signed}
		if line := cluster.Genesis().NodeByID(n.Node); line != nil {
			v.Region = line.Region
		}
		var refused *client.NodesError
		if errors.As(n.Err, &refused) {
			v.Has, v.Reason = nil, refused.Reasons
		}
		out = append(out, v)
	}
	return out, nil
}

// silent is the failure to hear of any node, or nil.
func silent(places []placeView, doing string) error {
	refused := &client.NodesError{Doing: doing, Nodes: len(places)}
	for _, p := range places {
		if p.Has != nil {
			return nil
		}
		refused.Reasons = append(refused.Reasons, p.Reason...)
	}
	return refused
}

func (a *app) keyWhereCommand() *cobra.Command {
	var version uint32
	c := &cobra.Command{
		Use:   "where KEY",
		Short: "Show where the shares of a key are: node, region, token, epoch",
		Long: `Asks every node what it has of a key: its place among the holders of the current
epoch, whether its share is open, the token that seals it, and where the key stands
by that node's clock; and which shares it has sealed to custodians, for ever
(warifu escrow). Each answer is signed by its node, for this question, and
verified here; -o json has the signatures. Regions are those of the signed roster.
Nobody but the node can know the rest: a node may lie about its token.

Applications may not ask.`,
		Example: "  warifu key where photos --custodian alice.custodian\n  warifu key where photos -o json",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			places, err := placesOf(c.Context(), cluster, args[0], version)
			if err != nil {
				return err
			}
			if err := silent(places, "ask where the key "+args[0]+" is"); err != nil {
				return err
			}
			return a.show(places, func(w io.Writer) {
				var rows [][]string
				for _, p := range places {
					if p.Has == nil {
						rows = append(rows, []string{p.Node, p.Region, "-", "-", "-", "-", codeWord(p.Reason), "-", "-"})
						continue
					}
					rows = append(rows, []string{
						p.Node, p.Region, shareWord(p.Has), fmt.Sprint(p.Has.Version), fmt.Sprint(p.Has.Epoch), string(p.Has.State),
						p.Has.Serving, p.Has.HSM, orWord(p.Has.Serial, "-"),
					})
				}
				table(w, "NODE REGION SHARE VERSION EPOCH KEY NODE-IS HSM TOKEN", rows)
				for _, p := range places {
					if p.Has == nil {
						continue
					}
					for _, e := range p.Has.Escrowed {
						fmt.Fprintln(w, a.loud(fmt.Sprintf("extra door: %s has sealed its share of version %d, epoch %d, to custodians at %s (warifu escrow list)", p.Node, e.Version, e.Epoch, instant(e.Since))))
					}
				}
			})
		},
	}
	c.Flags().Uint32Var(&version, "version", 0, "version of the key (default: the newest)")
	a.addCallerFlags(c)
	return c
}

// shareWord says what share a node has.
func shareWord(k *authority.KeyAt) string {
	switch {
	case k.Holder == 0:
		return "none"
	case !k.Share:
		return fmt.Sprintf("%d, not open", k.Holder)
	}
	return fmt.Sprint(k.Holder)
}

// codeWord is why a node says nothing, in a word.
func codeWord(reasons []client.NodeReason) string {
	if len(reasons) == 0 {
		return "-"
	}
	return string(reasons[len(reasons)-1].Code)
}

// usesView is how often one node has released partials of a key since it started.
type usesView struct {
	Node    string `json:"node"`
	Uses    uint64 `json:"uses"`
	LastUse int64  `json:"last_use_ms,omitempty"`
	Since   int64  `json:"since_ms"`
}

// usesPatience bounds how long a key is shown late because a node is down.
const usesPatience = 1500 * time.Millisecond

// usesOf is what nodes have counted; none for a caller who may not ask.
func (a *app) usesOf(ctx context.Context, nameOrID string) []usesView {
	ctx, cancel := context.WithTimeout(ctx, usesPatience)
	defer cancel()
	cluster, err := a.connect()
	if err != nil {
		return nil
	}
	defer cluster.Close()
	places, err := placesOf(ctx, cluster, nameOrID, 0)
	if err != nil {
		return nil
	}
	var out []usesView
	for _, p := range places {
		if p.Has != nil {
			out = append(out, usesView{p.Node, p.Has.Uses, p.Has.LastUse, p.Has.Since})
		}
	}
	return out
}

// usesWords says what nodes have counted.
func usesWords(w io.Writer, uses []usesView) {
	if len(uses) == 0 {
		return
	}
	fmt.Fprintln(w, "\npartials released, as these nodes have counted since each started; an unwrap takes one of each of threshold nodes:")
	var rows [][]string
	for _, u := range uses {
		rows = append(rows, []string{u.Node, fmt.Sprint(u.Uses), instantOr(u.LastUse, "never"), instant(u.Since)})
	}
	table(w, "NODE USES LAST-USE SINCE", rows)
}
