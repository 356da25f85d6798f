package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
)

// roster is how the roster has come to be what it is.
func (c *Cluster) roster() *authority.Succession {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.known
}

// Add has custodians put another node on the roster, which runs when it returns, and has
// a vote. It holds no share.
func (c *Cluster) Add(ctx context.Context, n Node) error {
	if err := c.enlist(ctx, authority.KindNodeAdd, n, ""); err != nil {
		return fmt.Errorf("add %s: %w", n.ID, err)
	}
	return c.WaitRoster(ctx)
}

// Replace has custodians put a node in the place of another, which stays on the roster
// as long as a key has shares there: a reshare to others ends the replacement, and
// [Cluster.WaitRoster] waits for it. The newcomer has a vote when Replace returns.
func (c *Cluster) Replace(ctx context.Context, n Node, leaver string) error {
	if err := c.enlist(ctx, authority.KindNodeReplace, n, leaver); err != nil {
		return fmt.Errorf("replace %s by %s: %w", leaver, n.ID, err)
	}
	return c.waitRoster(ctx, leaver+" has shares of")
}

// Remove has custodians take a node without shares off the roster, waits until it has
// left, and stops it.
func (c *Cluster) Remove(ctx context.Context, id string) error {
	err := c.turn(ctx, authority.KindNodeRemove, authority.Membership{Leaver: id})
	if err == nil {
		c.leaves(id)
		err = c.WaitRoster(ctx)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	return c.Stop(id)
}

// leaves takes a node off the list of those that are asked and waited for.
func (c *Cluster) leaves(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = slices.DeleteFunc(slices.Clone(c.ids), func(other string) bool { return other == id })
}

// enlist makes a node, has custodians sign that it comes, and starts it.
func (c *Cluster) enlist(ctx context.Context, kind string, n Node, leaver string) error {
	if err := c.Newcomer(ctx, n); err != nil {
		return err
	}
	if err := c.Enlist(ctx, kind, n.ID, leaver); err != nil {
		return err
	}
	if err := c.Join(ctx, n.ID); err != nil {
		return err
	}
	return c.Restart(n.ID)
}

// Newcomer makes a node that is not on the roster: its token and its directory.
func (c *Cluster) Newcomer(ctx context.Context, n Node) error {
	m, err := c.place(n)
	if err != nil {
		return err
	}
	return c.makeNode(ctx, m)
}

// Enlist has custodians sign that a newcomer comes, and maybe another leaves.
func (c *Cluster) Enlist(ctx context.Context, kind, newcomer, leaver string) error {
	m, err := c.member(newcomer)
	if err != nil {
		return err
	}
	if err := c.turn(ctx, kind, authority.Membership{Newcomer: &m.line, Leaver: leaver}); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = append(slices.Clip(c.ids), newcomer)
	return nil
}

// Join gives a newcomer genesis, and the chain of changes that brought it. It may be
// given a longer one later.
func (c *Cluster) Join(ctx context.Context, id string) error {
	m, err := c.member(id)
	if err != nil {
		return err
	}
	chain := filepath.Join(m.dir, "chain")
	if err := os.WriteFile(chain, authority.EncodeSuccession(c.roster().Entries()), 0o600); err != nil {
		return err
	}
	_, err = c.warifud(ctx, m, "join", c.Dir(id), filepath.Join(c.cfg.Dir, "genesis"), chain)
	return err
}

// Left stops a node that is on the roster no more.
func (c *Cluster) Left(id string) error {
	c.leaves(id)
	return c.Stop(id)
}

// turn hands in a change of the roster.
func (c *Cluster) turn(ctx context.Context, kind string, m authority.Membership) error {
	known := c.roster()
	e, err := c.Sign(kind, wire.Encode(m), known.Roll.Change)
	if err != nil {
		return err
	}
	next, err := known.Next(e.Encode())
	if err != nil {
		return err
	}
	carrier, err := c.Custodian()
	if err != nil {
		return err
	}
	defer carrier.Close()
	if _, err := carrier.Submit(ctx, e.Encode()); err != nil {
		return fmt.Errorf("submit a change of the kind %s: %w", kind, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = next
	return nil
}

// WaitRoster returns when the last change of the roster is finished: whoever came has a
// vote, and who left is there no more.
func (c *Cluster) WaitRoster(ctx context.Context) error { return c.waitRoster(ctx, "") }

// waitRoster returns when every node that runs says this of a change of the roster, or,
// if it is empty, nothing.
func (c *Cluster) waitRoster(ctx context.Context, said string) error {
	asks, err := c.Custodian()
	if err != nil {
		return err
	}
	defer asks.Close()
	for {
		var waiting []string
		on := c.IDs()
		for _, s := range asks.Status(ctx) {
			switch {
			case c.PID(s.Node) == 0, !slices.Contains(on, s.Node):
			case s.Err != nil:
				waiting = append(waiting, s.Err.Error())
			case s.Answer.FreshFor <= 0:
				waiting = append(waiting, s.Node+" is not fresh")
			default:
				if w := ofRoster(s); said == "" && w != "" || !strings.Contains(w, said) {
					waiting = append(waiting, fmt.Sprintf("%s: %q", s.Node, w))
				}
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for the roster: %w", ctx.Err()), errors.New(strings.Join(waiting, "; ")))
		case <-time.After(statusEvery):
		}
	}
}

// ofRoster is what a node says of a change of the roster that is not finished.
func ofRoster(s client.NodeStatus) string {
	for _, w := range s.Answer.Warnings {
		if strings.Contains(w, "a change of the roster is not finished") {
			return w
		}
	}
	return ""
}
