package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client/home"
	"warifu.dev/policy"

	"github.com/spf13/cobra"
)

// comparison lays a policy beside the one it is to replace. Whatever the old one is
// said to be, every line of the new one stands in it.
type comparison struct {
	From     string     `json:"from"`              // who says what is in force
	Verified bool       `json:"verified"`          // a signed change says it, not a node
	Unknown  string     `json:"unknown,omitempty"` // why nothing could be compared
	Change   api.Digest `json:"change"`
	Digest   api.Digest `json:"digest"`
	Warning  string     `json:"warning,omitempty"`

	Text     []diffLine `json:"text,omitempty"`
	Entities []diffLine `json:"entities,omitempty"`
	Limits   []diffLine `json:"limits,omitempty"`
	Schema   []diffLine `json:"schema,omitempty"`
	Zone     []diffLine `json:"zone,omitempty"`
	Rotation []diffLine `json:"rotation,omitempty"`

	New     []string `json:"rules_new"`
	Gone    []string `json:"rules_gone"`
	Changed []string `json:"rules_changed"`
}

var (
	// errNotInForce is why a file of --against is refused.
	errNotInForce = errors.New("not what this change replaces")
	// errOtherCluster is why the cluster of client init is not asked.
	errOtherCluster = errors.New("the cluster known here is another than the change's")
)

func addAgainstFlag(c *cobra.Command, against *string) {
	c.Flags().StringVar(against, "against", "", "of a policy: the change that put the one it replaces (default: ask the cluster)")
}

// compare lays a change of the policy beside what it replaces: the change in the
// file against, or what the cluster says is in force. That nobody can be asked is no
// error, and is said. A change of another kind has nothing to compare.
func (a *app) compare(ctx context.Context, v *changeView, g *authority.Genesis, against string) error {
	if v.Custody != nil && against == "" {
		if h, err := a.loadHome(); err == nil {
			v.Custody.hold(v.Base, h.Custody)
		}
		return nil
	}
	if v.Policy == nil {
		if against != "" {
			return fail(exitUsage, "--against is for a change of the policy; this is one of the kind %s", v.Kind)
		}
		return nil
	}
	if against != "" {
		return v.Policy.compareFile(v, g, against)
	}
	h, err := a.loadHome()
	if err == nil && h.Genesis.Cluster != v.Cluster {
		err = errOtherCluster
	}
	var answer *api.PolicyAnswer
	if err == nil {
		answer, err = a.askPolicy(ctx)
	}
	if err != nil {
		why := sentence(err)
		if errors.Is(err, home.ErrNone) {
			why = home.ErrNone.Error()
		}
		v.Policy.Against = &comparison{Unknown: why}
		return nil
	}
	c := &comparison{From: "a node", Change: answer.Change}
	var old policy.Document
	if len(answer.Document) > 0 {
		if old, err = policy.DecodeDocument(answer.Document); err == nil && old.Digest() != answer.Digest {
			err = fmt.Errorf("its digest is not the one that the node names")
		}
		if err != nil {
			v.Policy.Against = &comparison{Unknown: "a node sent a policy that is none: " + err.Error()}
			return nil
		}
		c.Digest = old.Digest()
	}
	if answer.Change != v.Base {
		c.Warning = fmt.Sprintf("in force is what %s put; this change replaces %s, and would be refused",
			orWord(idWord(answer.Change), "nothing"), orWord(idWord(v.Base), "nothing"))
	}
	v.Policy.Against = c.lay(old, v.Policy.document)
	return nil
}

func idWord(id api.Digest) string {
	if id.IsZero() {
		return ""
	}
	return "the change " + id.String()
}

// compareFile takes the old policy from the change that put it: its id is the base
// that the new one names, so nobody's word is needed.
func (v *policyView) compareFile(change *changeView, g *authority.Genesis, file string) error {
	e, err := readChange(file)
	if err != nil {
		return err
	}
	put, err := authority.ParseChange(e)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	switch {
	case put.Kind != authority.KindPolicy:
		return fail(exitInput, "%s is %w: it is a change of the kind %s", file, errNotInForce, put.Kind)
	case e.ID() != change.Base:
		return fail(exitInput, "%s is %w: it is the change %s, and %s is replaced", file, errNotInForce, e.ID(), orWord(idWord(change.Base), "nothing"))
	}
	if g != nil && put.Cluster != g.Cluster {
		return fail(exitInput, "%s is %w: it is for another cluster", file, errNotInForce)
	}
	old, err := policy.DecodeDocument(put.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	v.Against = (&comparison{From: file, Verified: true, Change: e.ID(), Digest: old.Digest()}).lay(old, v.document)
	return nil
}

// lay compares part by part, and rule by rule as far as both compile.
func (c *comparison) lay(old, new policy.Document) *comparison {
	c.Text, c.Entities = diff(old.Text, new.Text), diff(old.Entities, new.Entities)
	c.Limits = diff(old.Limits, new.Limits)
	c.Schema, c.Zone = diff(old.Schema, new.Schema), diff(zoneLine(old, c.Digest), zoneLine(new, api.Digest{1}))
	c.Rotation = diff(rotationLine(old), rotationLine(new))
	p, err := policy.Compile(new)
	if err != nil {
		return c
	}
	before, err := policy.Compile(old)
	if err != nil {
		c.Warning = strings.TrimPrefix(c.Warning+"; the policy in force does not compile here, and its rules are not compared", "; ")
		return c
	}
	c.New, c.Gone, c.Changed = p.Since(before)
	return c
}

// rotationLine is the standing order as a text of one line, or nothing.
func rotationLine(d policy.Document) string {
	if d.Rotate == 0 {
		return ""
	}
	return fmt.Sprintf("shares rotate every %v\n", time.Duration(d.Rotate)*time.Second)
}

// zoneLine is the zone as a text of one line; where no policy was, there is none.
func zoneLine(d policy.Document, digest api.Digest) string {
	if digest.IsZero() {
		return ""
	}
	return orWord(d.Zone, "UTC") + "\n"
}

func (c *comparison) words(a *app, w io.Writer) {
	switch {
	case c.Digest.IsZero():
		fmt.Fprintf(w, "Beside the policy in force: there is none, as %s says.\n", c.From)
	case c.Verified:
		fmt.Fprintf(w, "Beside the policy it replaces, from %s, which is the change it names:\n", oneLine(c.From))
	default:
		fmt.Fprintf(w, "Beside the policy in force, as %s says (--against FILE takes nobody's word):\n", c.From)
	}
	if c.Warning != "" {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(c.Warning)))
	}
	for _, part := range []struct {
		name  string
		lines []diffLine
	}{{"text", c.Text}, {"entities", c.Entities}, {"limits", c.Limits}, {"schema", c.Schema}, {"zone", c.Zone}, {"rotation", c.Rotation}} {
		if len(part.lines) > 0 {
			writeDiff(a, w, part.name, part.lines)
		}
	}
	var named []string
	for _, rules := range []struct {
		word string
		ids  []string
	}{{"new rules", c.New}, {"rules gone", c.Gone}, {"rules changed", c.Changed}} {
		if len(rules.ids) > 0 {
			named = append(named, rules.word, strings.Join(rules.ids, ", "))
		}
	}
	facts(w, named...)
}
