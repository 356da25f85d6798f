package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

func (a *app) keyAdoptCommand() *cobra.Command {
	var f changeFlags
	var lost, record string
	var takers []string
	c := &cobra.Command{
		Use:   "adopt --lost GENESIS --record FILE --take OLD=NEW... --out FILE.change",
		Short: "Write a change that makes a key of a lost cluster one of this cluster",
		Long: `Writes a change that makes one version of a key of a cluster that is lost for good one
of this cluster, for custodians of both to sign. Its public key stays, so what is under it
opens again, once at least its threshold of old shares are moved here (warifud restore) and
the keys are reshared (warifu reshare --all).

--lost is the lost cluster's genesis document, --record the key's record as its nodes
signed it (warifu key show --out). Each --take names a holder there and the node here that
takes its share, from that holder's backup and token. Nothing else is adopted: not policy,
not identities, not revokes, not grants.`,
		Example: "  warifu key adopt --lost old.genesis --record photos.record \\\n    --take tokyo-1=tokyo-7 --take osaka-1=osaka-7 --take sg-1=sg-7 --out photos.change",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			o := authority.Adopt{}
			if o.Lost, err = readSmall(lost); err != nil {
				return err
			}
			if o.Record, err = readSmall(record); err != nil {
				return err
			}
			if o.Takers, err = takersOf(o, takers); err != nil {
				return err
			}
			return f.write(a, g, authority.KindAdopt, wire.Encode(o), api.Digest{})
		},
	}
	f.add(a, c)
	c.Flags().StringVar(&lost, "lost", "", "signed genesis document of the lost cluster")
	c.Flags().StringVar(&record, "record", "", "signed record of the key, from there")
	c.Flags().StringSliceVar(&takers, "take", nil, "OLD=NEW: the node here that takes a holder's share; may be repeated")
	required(c, "lost", "record", "take")
	return c
}

// takersOf lists by index who takes a share: the holders are those of the record.
func takersOf(o authority.Adopt, pairs []string) ([]string, error) {
	s, err := authority.ParseSignedRecord(o.Record)
	if err != nil {
		return nil, err
	}
	document, _, err := authority.ParseSignedGenesis(o.Lost)
	if err != nil {
		return nil, err
	}
	g, err := document.Verify()
	if err != nil {
		return nil, err
	}
	r, err := s.Verify(g)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(r.Order().Holders))
	for _, p := range pairs {
		from, to, ok := strings.Cut(p, "=")
		i := r.Order().IndexOf(from)
		switch {
		case !ok || to == "":
			return nil, fail(exitUsage, "--take: %q is not OLD=NEW", p)
		case i == 0:
			return nil, fail(exitUsage, "--take: %q holds no share of %s, whose holders are %s", from, r.Order().Name, strings.Join(r.Order().Holders, ", "))
		case out[i-1] != "":
			return nil, fail(exitUsage, "--take: the share of %s is taken twice", from)
		}
		out[i-1] = to
	}
	return out, nil
}

// adoptView is an adoption for a custodian's eyes.
type adoptView struct {
	Name      string        `json:"name"`
	Key       api.KeyID     `json:"key"`
	Version   uint32        `json:"version"`
	Epoch     uint64        `json:"epoch"`
	Lost      api.ClusterID `json:"lost_cluster"`
	Genesis   api.Digest    `json:"lost_genesis_hash"`
	Spoken    string        `json:"lost_genesis_words"`
	Threshold uint32        `json:"threshold"`
	Shares    []takenView   `json:"shares"`
	Need      int           `json:"required_of_lost"`
	Missing   int           `json:"missing_of_lost"`
	Warnings  []string      `json:"warnings"`
}

type takenView struct {
	Index uint32 `json:"index"`
	From  string `json:"from"`
	To    string `json:"to,omitempty"` // none: it is lost
}

func viewAdoption(c *authority.Change, sigs []authority.Signature, g *authority.Genesis) (*adoptView, error) {
	o, err := authority.ParseAdopt(c)
	if err != nil {
		return nil, err
	}
	r := o.Record
	v := &adoptView{
		Name: r.Order().Name, Key: r.Key, Version: r.Version, Epoch: r.Epoch, Lost: o.Lost.Cluster, Genesis: o.Lost.Hash(), Spoken: saidWords(o.Lost.Hash()),
		Threshold: r.Order().T, Need: o.NeedOfLost(),
	}
	for i, to := range o.Takers {
		v.Shares = append(v.Shares, takenView{uint32(i + 1), r.Order().Holders[i], to})
		if to != "" && g != nil && g.NodeByID(to) == nil {
			v.Warnings = append(v.Warnings, to+" is not on the roster")
		}
	}
	if g != nil {
		var theirs []string
		for _, k := range g.Custodians {
			if o.IsOfLost(k.Sign) {
				theirs = append(theirs, k.Name)
			}
		}
		signed := 0
		for _, k := range g.Custodians {
			if o.IsOfLost(k.Sign) && slices.ContainsFunc(sigs, func(s authority.Signature) bool { return s.Signer == authority.FingerprintOf(k.Sign) }) {
				signed++
			}
		}
		if v.Missing = max(0, v.Need-signed); len(theirs) < v.Need {
			v.Warnings = append(v.Warnings, fmt.Sprintf("only %s here were custodians there, and %d must sign: it will be refused", plural(len(theirs), "custodian"), v.Need))
		}
	}
	if taken := len(slices.DeleteFunc(slices.Clone(o.Takers), func(n string) bool { return n == "" })); taken == int(v.Threshold) {
		v.Warnings = append(v.Warnings, "every one of these shares is needed: when one backup or token fails, the key is lost")
	}
	return v, nil
}

func (v *adoptView) words(a *app, w io.Writer) {
	fmt.Fprintln(w, "A key of a cluster that is LOST becomes one of this cluster. Sign only when no node of that one will ever run again.")
	facts(w, "  name", v.Name, "  key id", v.Key.String(), "  version", fmt.Sprint(v.Version), "  lost cluster", v.Lost.String(), "  its genesis", v.Genesis.String(),
		"  epoch", fmt.Sprintf("%d there; it opens nothing here before it is reshared", v.Epoch), "  threshold", fmt.Sprintf("%d of %d", v.Threshold, len(v.Shares)))
	for _, s := range v.Shares {
		to := "lost"
		if s.To != "" {
			to = "goes to " + s.To
		}
		fmt.Fprintf(w, "  share %d of %s: %s\n", s.Index, s.From, to)
	}
	for _, m := range []string{
		"its public key stays: what is under it opens again, for whom this cluster's policy permits it",
		"policy, authorities for clients and identities of the lost cluster are not adopted: until custodians sign others, nothing is released",
		"revokes, seals, and that a key was disabled or compromised are NOT adopted: sign them again before the policy",
		"grants, rates, labels, owner, expiry, rotation by period and the regions that a key is pinned to are not adopted",
	} {
		fmt.Fprintf(w, "  - %s\n", m)
	}
	for _, m := range v.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
	fmt.Fprintf(w, "%d custodians of the lost cluster must be among the signers; %d of them more needed\n", v.Need, v.Missing)
}
