package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

// stateVerb is a verb that writes the change which puts a key into a state.
type stateVerb struct {
	name  string
	to    authority.KeyState
	short string
	long  string
}

var stateVerbs = []stateVerb{
	{
		"disable", authority.Suspended, "Write a change that suspends a key: nothing is wrapped or opened, for a while",
		`Writes a change that suspends a key, for custodians to sign: nothing new is wrapped
under it, and nothing under it is opened, until custodians enable or deactivate it. A
node stops releasing from the moment it has seen the change; change submit also hands
it to every node directly, and revoke status asks which have it in force.`,
	},
	{
		"enable", authority.Active, "Write a change that makes a suspended, or a pre-active, key active",
		`Writes a change that makes a suspended key active again, or a pre-active one before
its date, for custodians to sign. It names the change that it undoes, and acts when it
is committed. A key that was deactivated or compromised is never active again: make
another one, and rewrap.`,
	},
	{
		"deactivate", authority.Deactivated, "Write a change after which a key opens what there is, and wraps nothing new",
		`Writes a change that deactivates a key, for custodians to sign: what is under it is
opened as before, and clients that know of it refuse to wrap anything new. That is for
good. Wrapping needs no cluster, so a client that has not asked since wraps all the same.`,
	},
	{
		"compromised", authority.Compromised, "Write a change that stops a key for good",
		`Writes a change that marks a key as compromised, for custodians to sign: nothing is
wrapped under it or opened any more, and no change makes it active again. Whatever is
still needed has to be rewrapped under another key before: to have the time, disable
the key, and enable it for the rewrap, or narrow the policy to whoever rewraps.`,
	},
}

// stateCommands makes the verbs; a proposal has the same.
func (a *app) stateCommands() []*cobra.Command {
	var out []*cobra.Command
	for _, v := range stateVerbs {
		out = append(out, a.stateCommand(v))
	}
	return out
}

func (a *app) stateCommand(v stateVerb) *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use: v.name + " KEY --out FILE.change", Short: v.short, Long: v.long,
		Example: "  warifu key " + v.name + " photos --out photos.change",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			k := authority.KeyStateChange{To: v.to}
			var base api.Digest
			if v.to.Unwraps() {
				if k.Key, base, err = a.undoing(c.Context(), args[0], v.to); err != nil {
					return err
				}
			} else {
				id, err := a.keyIDOf(c, args[0])
				if err != nil {
					return err
				}
				digest, err := api.ParseDigest(id)
				if err != nil {
					return err
				}
				k.Key = api.KeyID(digest)
			}
			return f.write(a, g, authority.KindKeyState, wire.Encode(k), base)
		},
	}
	f.add(a, c)
	a.addCallerFlags(c)
	return c
}

// undoing asks a node where a key stands: a change that lets it release again names
// the one that forbade it. If the node lies, the ledger refuses the change.
func (a *app) undoing(ctx context.Context, nameOrID string, to authority.KeyState) (id api.KeyID, base api.Digest, err error) {
	k, err := a.summaryOf(ctx, nameOrID)
	if err != nil {
		return id, base, err
	}
	if err := dying(k); err != nil {
		return id, base, err
	}
	from := authority.KeyState(k.State)
	if !authority.MayMove(from, to, authority.ByCustodians) {
		return id, base, fail(exitAuthority, "%w: %s is %s, and no key goes from there to %s", authority.ErrKeyLife, oneLine(k.Name), oneLine(k.State), to)
	}
	if authority.Widens(from, to) {
		base = k.Put
	}
	return k.ID, base, nil
}

// dying refuses what the ledger would, while an order to destroy the key waits.
func dying(k *api.KeySummary) error {
	if k.Ends.IsZero() || k.State == string(authority.Destroyed) {
		return nil
	}
	return fail(exitAuthority, "%w: %s is to be destroyed after %s; take that back first: warifu key keep %s", authority.ErrKeyLife, oneLine(k.Name), instant(k.EndsAfter), oneLine(k.Name))
}

// summaryOf is what a node says of a key, by name or by id.
func (a *app) summaryOf(ctx context.Context, nameOrID string) (*api.KeySummary, error) {
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	keys, err := cluster.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return pick(keys, nameOrID)
}

func pick(keys []api.KeySummary, nameOrID string) (*api.KeySummary, error) {
	for i := range keys {
		if k := &keys[i]; k.ID != (api.KeyID{}) && (k.Name == nameOrID || k.ID.String() == nameOrID) {
			return k, nil
		}
	}
	return nil, fail(exitUnknownKey, "unknown key: no key that is born is called %s", oneLine(nameOrID))
}

func (a *app) keyLabelCommand() *cobra.Command {
	var f changeFlags
	var owner, notAfter string
	var remove []string
	c := &cobra.Command{
		Use:   "label KEY [NAME=VALUE]... --out FILE.change",
		Short: "Write a change that says a key's labels, its owner and its expiry",
		Long: `Writes a change that says a key's labels, its owner and its expiry, for custodians to
sign. Policies see the labels: resource.hasTag("env") && resource.getTag("env") ==
"prod". What is not named stays as a node says that it is; the change shows all of it,
and replaces all of it.

After its expiry a key is deactivated: what is under it opens, nothing new is wrapped.
It can be put off until then, and not after.`,
		Example: `  warifu key label photos env=prod team=web --owner web@example.jp --out photos.change
  warifu key label photos --remove team --not-after 2027-04-01 --out photos.change`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s needs KEY; see: %s --help", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			given, err := api.ParseContext(args[1:])
			if err != nil {
				return fail(exitUsage, "labels: %s", strings.TrimPrefix(err.Error(), api.ErrContext.Error()+": "))
			}
			until, err := parseDate("--not-after", notAfter)
			if err != nil {
				return err
			}
			if until != 0 && until <= now().UnixMilli() {
				return fail(exitUsage, "--not-after: %s is past; to stop wrapping at once: warifu key deactivate %s", instant(until), args[0])
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			k, err := a.summaryOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			said := authority.KeyLabels{Key: k.ID, Owner: k.Owner, NotAfter: k.NotAfter, Labels: map[string]string{}}
			maps.Copy(said.Labels, k.Labels)
			for _, name := range remove {
				if _, has := said.Labels[name]; !has {
					return fail(exitUsage, "--remove: the key has no label %s; it has %s", oneLine(name), orWord(strings.Join(labelled(k.Labels), ", "), "none"))
				}
				delete(said.Labels, name)
			}
			maps.Copy(said.Labels, given)
			if c.Flags().Changed("owner") {
				said.Owner = owner
			}
			if c.Flags().Changed("not-after") {
				said.NotAfter = until
			}
			if err := said.Check(); err != nil {
				return misused("KEY", err)
			}
			return f.write(a, g, authority.KindKeyLabels, wire.Encode(said), k.Said)
		},
	}
	f.add(a, c)
	c.Flags().StringVar(&owner, "owner", "", `who answers for it: a person, a team, an address; "" takes it away`)
	c.Flags().StringVar(&notAfter, "not-after", "", `when it expires, as 2027-04-01 or 2027-04-01T09:00:00+09:00; "" takes it away`)
	c.Flags().StringArrayVar(&remove, "remove", nil, "a label to take away; may be repeated")
	a.addCallerFlags(c)
	return c
}

func (a *app) keyRotateCommand() *cobra.Command {
	var f changeFlags
	var holders, regions []string
	var every time.Duration
	c := &cobra.Command{
		Use:   "rotate KEY --out FILE.change",
		Short: "Write a change that orders the next version of a key",
		Long: `Writes a change that orders the next version of a key, for custodians to sign: a new
public key under the same name and id, born among the holders that the key has now.
What is wrapped under older versions opens as before, since an envelope names its
version; clients wrap under the newest that they know (key show asks anew). To move
what there is to the new version: rewrap. To make new shares of the same public key,
rewrapping nothing: rotate-shares.

--holders gives the version to others than those who hold the key now. Of a symmetric key
that is the only way to other holders: one that is left out may then leave the cluster.
--regions pins the version to other regions than the key; older ones stay where they are.

With --rotate-every nodes order the version after this one, and each that comes then,
when the time is over; 0 ends that. What is not given stays as it is.`,
		Example: "  warifu key rotate photos --out photos.change\n  warifu rewrap photos/ --key photos",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			k, err := cluster.Refresh(c.Context(), args[0])
			if err != nil {
				return err
			}
			o := k.Record().Order().Next(k.ID(), k.Version()+1) // threshold and holders are those of the newest reshare
			if c.Flags().Changed("holders") {
				o.Holders = holders
				for _, h := range o.Holders {
					if g.NodeByID(h) == nil {
						return fail(exitUsage, "--holders: %q is not on the roster, which has %s", h, strings.Join(rosterIDs(g), ", "))
					}
				}
			}
			if c.Flags().Changed("regions") {
				if err := pin(&o, g, regions, c.Flags().Changed("holders")); err != nil {
					return err
				}
			}
			if err := o.CheckPlaces(g, o.Holders); err != nil {
				return fail(exitUsage, "--holders: %w", err)
			}
			if c.Flags().Changed("holders") || c.Flags().Changed("regions") {
				o.F = defaultTolerate(c, max(o.F, 1), o.T, o.Holders)
			}
			if c.Flags().Changed("rotate-every") {
				if o.RotateEvery, err = parseEvery(every); err != nil {
					return err
				}
			}
			if err := o.Check(); err != nil {
				return err
			}
			return f.write(a, g, authority.KindKey, wire.Encode(o), api.Digest{})
		},
	}
	c.Flags().DurationVar(&every, "rotate-every", 0, "nodes order its next version after this time, again and again")
	c.Flags().StringSliceVar(&holders, "holders", nil, "node ids that hold the version, in order (default: who holds the key now)")
	c.Flags().StringSliceVar(&regions, "regions", nil, `regions that the version is pinned to (default: those of the key); "" for none`)
	f.add(a, c)
	a.addCallerFlags(c)
	return c
}

// parseEvery is a period of versions in seconds; 0 is none.
func parseEvery(d time.Duration) (uint64, error) {
	if d != 0 && (d < authority.MinEvery*time.Second || d > authority.MaxRotate*time.Second) {
		return 0, fail(exitUsage, "--rotate-every: from %v to %v is possible", authority.MinEvery*time.Second, authority.MaxRotate*time.Second)
	}
	return uint64(d / time.Second), nil
}

// labelled lists labels as NAME=VALUE, by name.
func labelled(labels map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, name+"="+labels[name])
	}
	return out
}

// parseDate reads an instant to come: a day, from its first moment here, or a time with
// its zone. Nothing is 0.
func parseDate(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t.UnixMilli(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UnixMilli(), nil
	}
	return 0, fail(exitUsage, "%s is like 2027-04-01 or 2027-04-01T09:00:00+09:00, not %q", flag, s)
}

// instantOr says a time, or a word where there is none.
func instantOr(ms int64, none string) string {
	if ms == 0 {
		return none
	}
	return instant(ms)
}
