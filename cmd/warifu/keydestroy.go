package main

import (
	"fmt"
	"io"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

func (a *app) keyDestroyCommand() *cobra.Command {
	var f changeFlags
	var wait time.Duration
	c := &cobra.Command{
		Use:   "destroy KEY --out FILE.change",
		Short: "Write a change that destroys a key for good, after a wait",
		Long: `Writes a change that destroys a key in all its versions, for custodians to sign. From
the moment that a node has seen it, nothing under the key is opened, and clients that
know of it wrap nothing new. When the wait is over, by ledger time and by each node's
own clock, every node that ever held a share erases it and signs a receipt: then
nothing brings back what is under the key. Until then warifu key keep takes it back.

A wait of less than seven days takes the signatures of all custodians.`,
		Example: "  warifu key destroy photos --out photos.change\n  warifu key destroy photos --wait 0s --out photos.change",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			if wait < 0 || wait.Milliseconds() > authority.MaxDestroyWait {
				return fail(exitUsage, "--wait is from 0s to %v, not %v", time.Duration(authority.MaxDestroyWait)*time.Millisecond, wait)
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			id, err := a.keyIDOf(c, args[0])
			if err != nil {
				return err
			}
			digest, err := api.ParseDigest(id)
			if err != nil {
				return err
			}
			k := authority.KeyDestroy{Key: api.KeyID(digest), Wait: wait.Milliseconds()}
			return f.write(a, g, authority.KindKeyDestroy, wire.Encode(k), api.Digest{})
		},
	}
	f.add(a, c)
	c.Flags().DurationVar(&wait, "wait", authority.DestroyWait*time.Millisecond, "how long it can be taken back")
	a.addCallerFlags(c)
	return c
}

func (a *app) keyKeepCommand() *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "keep KEY --out FILE.change",
		Short: "Write a change that takes back the order to destroy a key",
		Long: `Writes a change that takes back the order to destroy a key while it waits, for
custodians to sign. It names that order, and acts when it is committed: the key then
stands where it stood before.`,
		Example: "  warifu key keep photos --out photos.change",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			k, err := a.summaryOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			if k.Ends.IsZero() || k.State == string(authority.Destroyed) {
				return fail(exitAuthority, "%w: no order to destroy %s waits; it is %s", authority.ErrDestroy, oneLine(args[0]), oneLine(k.State))
			}
			return f.write(a, g, authority.KindKeyKeep, wire.Encode(authority.KeyKeep{Key: k.ID}), k.Ends)
		},
	}
	f.add(a, c)
	a.addCallerFlags(c)
	return c
}

// destroyView is an order to destroy a key, or to keep it, in words.
type destroyView struct {
	Key   api.KeyID   `json:"key"`
	Wait  *int64      `json:"wait_ms,omitempty"` // nil: it keeps the key
	Keeps *api.Digest `json:"keeps_from,omitempty"`
}

func viewDestroy(c *authority.Change) (*destroyView, error) {
	if c.Kind == authority.KindKeyKeep {
		k, err := authority.ParseKeyKeep(c)
		if err != nil {
			return nil, err
		}
		return &destroyView{Key: k.Key, Keeps: &c.Base}, nil
	}
	k, err := authority.ParseKeyDestroy(c)
	if err != nil {
		return nil, err
	}
	return &destroyView{Key: k.Key, Wait: &k.Wait}, nil
}

func (v *destroyView) words(a *app, w io.Writer) {
	if v.Keeps != nil {
		fmt.Fprintln(w, "This key is not destroyed; it stands again where it stood before it was ordered:")
		facts(w, "  key id", v.Key.String(), "  name", a.keyName(v.Key), "  takes back", v.Keeps.String())
		return
	}
	wait := "none: it is destroyed at once, and all custodians must sign"
	if *v.Wait > 0 {
		wait = fmt.Sprintf("%v from when it is taken", time.Duration(*v.Wait)*time.Millisecond)
	}
	if *v.Wait > 0 && *v.Wait < authority.DestroyWait {
		wait += "; so short a wait all custodians must sign"
	}
	fmt.Fprintln(w, "This key is DESTROYED, in all its versions. Nothing under it is opened from now on, and\nwhen the wait is over nobody can bring it back:")
	facts(w, "  key id", v.Key.String(), "  name", a.keyName(v.Key), "  wait", wait)
}
