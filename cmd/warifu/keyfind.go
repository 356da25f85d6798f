package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

// foundView is the key of one envelope of a file.
type foundView struct {
	Key     api.KeyID   `json:"key"`
	Version uint32      `json:"version"`
	Name    string      `json:"name,omitempty"`
	State   string      `json:"state,omitempty"`
	Branch  string      `json:"branch,omitempty"` // the interval of the branch that it is of
	Context api.Context `json:"context,omitempty"`
	Genuine string      `json:"genuine"` // whether it was made for this key and context, unaltered
	Opens   string      `json:"opens"`   // whether nodes would open it, policy aside
}

func (a *app) keyFindCommand() *cobra.Command {
	var file string
	var pairs []string
	c := &cobra.Command{
		Use:   "find --envelope FILE",
		Short: "Say which key a file or an envelope is under, and whether it can be opened",
		Long: `Says which keys, and which versions of them, a file or an envelope is wrapped under,
whether it was made for them unaltered, and whether it can be opened: where the key
stands in its life, and, for a caller who may ask, how many nodes have their share
open. Whether the policy lets somebody open it is not asked: policy explain says that.

Of an age file the context is in its header; that of an envelope by itself is given
with --context.`,
		Example: "  warifu key find --envelope beach.jpg.age\n  warifu key find --envelope dek.wrapped --context album=2026",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			given, err := parseContext(pairs)
			if err != nil {
				return err
			}
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			s, err := sniff(f)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			envelopes, err := s.envelopes(given)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			var all []foundView
			for _, e := range envelopes {
				all = append(all, find(c.Context(), cluster, e))
			}
			return a.show(all, func(w io.Writer) {
				for i, v := range all {
					if i > 0 {
						fmt.Fprintln(w)
					}
					facts(w, "key", orWord(v.Name, "unknown"), "id", v.Key.String(), "version", fmt.Sprint(v.Version), "state", orWord(v.State, "unknown"),
						"genuine", v.Genuine, "can be opened", v.Opens)
					if v.Branch != "" {
						facts(w, "branch", v.Branch+": whoever has its key opens it without asking")
					}
					for _, pair := range labelled(v.Context) {
						facts(w, "  context", pair)
					}
				}
			})
		},
	}
	c.Flags().StringVar(&file, "envelope", "", "an age file, or an envelope: raw or base64")
	addContextFlag(c, &pairs)
	a.addCallerFlags(c)
	required(c, "envelope")
	return c
}

// find asks the cluster about the key of one envelope.
func find(ctx context.Context, cluster *client.Client, e enveloped) foundView {
	v := foundView{Key: e.key, Version: e.version, Context: e.context, Genuine: "not known", Opens: "not known"}
	if from, seconds, is := client.IntervalOf(e.envelope); is {
		v.Branch = branchWords(from, seconds)
	}
	k, err := cluster.RecordByID(ctx, e.key)
	if err != nil {
		v.Opens = "no: no node serves a record of this key"
		return v
	}
	state := k.State(now())
	v.Name, v.State, v.Genuine = k.Name(), string(state), "yes"
	if e.version != k.Version() {
		if k, err = cluster.RecordOf(ctx, e.key, e.version); err != nil {
			v.Genuine, v.Opens = "not known", "no: no node serves a record of this version of the key"
			return v
		}
	}
	altered := false
	if err := k.Check(e.envelope, e.context); err != nil {
		altered, v.Genuine = true, "no: "+err.Error()
	} else if k.Symmetric() {
		v.Genuine = "not known: of a symmetric key only opening it shows that"
	}
	switch {
	case !state.Unwraps():
		v.Opens = "no: the key is " + string(state)
	case altered:
		v.Opens = "no: it was altered, or its context is another"
	default:
		v.Opens = "yes, as far as the key goes"
		if places, err := placesOf(ctx, cluster, e.key.String(), e.version); err == nil && silent(places, "") == nil {
			v.Opens = counted(places, k.Threshold())
		}
	}
	return v
}

// counted says whether enough nodes have their share open.
func counted(places []placeView, t int) string {
	open, stopped := 0, 0
	for _, p := range places {
		switch {
		case p.Has == nil || !p.Has.Share || p.Has.Holder == 0:
		case !authority.KeyState(p.Has.State).Unwraps():
			stopped++
		default:
			open++
		}
	}
	word := "yes"
	if open < t {
		word = "no"
	}
	s := fmt.Sprintf("%s: %s have their share open, and it takes %d", word, plural(open, "node"), t)
	if stopped > 0 {
		s += fmt.Sprintf("; for %d the key is stopped", stopped)
	}
	return s
}
