package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/policy"

	"github.com/spf13/cobra"
)

// branchFlags say into which branch of a symmetric key something is encrypted.
type branchFlags struct {
	length string
	by     []string
}

func (f *branchFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.length, "branch", "", "of a symmetric key: encrypt into the branch of an interval, 1m, 5m, 15m, 1h, 6h or 24h; whoever is given its key opens all of it without asking, and no revoke ends that before the interval is over")
	c.Flags().StringArrayVar(&f.by, "branch-by", nil, "with --branch: name of a pair of the context that the branch has; may be repeated (default: all pairs)")
}

// branch is what the flags say; nil: no branch.
func (f *branchFlags) branch() (*client.Branch, error) {
	if f.length == "" {
		if f.by != nil {
			return nil, fail(exitUsage, "--branch-by goes with --branch")
		}
		return nil, nil
	}
	d, err := branchLength(f.length)
	if err != nil {
		return nil, err
	}
	return &client.Branch{Length: d, Names: f.by}, nil
}

// branchLength reads --branch.
func branchLength(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil {
		err = api.CheckBranchLength(d)
	}
	return d, misused("--branch", err)
}

// branchBound is for how long after a revoke something is still made that branch keys from
// before it open, and how that is known. Nobody takes back what was made until then.
type branchBound struct {
	Seconds int64  `json:"seconds"` // 0: nobody has any
	Known   string `json:"known"`   // "policy": by the one in force; "keys": nodes list no symmetric key that it is about; "format": no interval is longer
}

// longestBranch is the bound that holds whatever the policy says, or has said.
func longestBranch() branchBound {
	lengths := api.BranchLengths()
	return branchBound{int64(lengths[len(lengths)-1] / time.Second), "format"}
}

// boundOf works out, from the policy in force, the longest interval of which anybody that
// a subject is about may hold branch keys of a key that it is about.
func boundOf(p *policy.Policy, keys []policy.Shared, about authority.Subject) branchBound {
	if about.Kind == authority.SubjectKey || about.Kind == authority.SubjectKeyState {
		at := slices.IndexFunc(keys, func(k policy.Shared) bool { return api.KeyID(k.ID).String() == about.Name })
		if at < 0 {
			return longestBranch()
		}
		keys = keys[at : at+1]
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(k policy.Shared) bool {
		return k.Actions != nil && !slices.Contains(k.Actions, policy.UnwrapBranch)
	})
	if len(keys) == 0 {
		return branchBound{Known: "keys"}
	}
	bound := branchBound{Known: "policy"}
	for _, who := range p.Principals() {
		if about.Kind == authority.SubjectPrincipal && about.Name != who {
			continue
		}
		for _, k := range keys {
			for _, length := range api.BranchLengths() {
				r := k.Ask(policy.UnwrapBranch)
				r.Branch = length
				if v, _ := p.Possible(who, r); v != policy.Never {
					bound.Seconds = max(bound.Seconds, int64(length/time.Second))
				}
			}
		}
	}
	return bound
}

// hasBranchBound says whether a denial leaves anybody with a branch key: one of a node
// takes away none, and denies nobody.
func hasBranchBound(kind string) bool { return kind != authority.SubjectNode }

// branchBound asks for the policy in force and the keys; without an answer it is the
// longest that any policy can permit.
func (a *app) branchBound(ctx context.Context, about authority.Subject) branchBound {
	p, err := (&policySource{}).compile(ctx, a)
	if err != nil {
		return longestBranch()
	}
	keys, err := a.sharedKeys(ctx)
	if err != nil {
		return longestBranch()
	}
	return boundOf(p, keys, about)
}

// String says the bound to who revokes.
func (b branchBound) String() string {
	const opens = "opens without asking what is made in its interval, which ends"
	length := api.BranchLength(time.Duration(b.Seconds) * time.Second)
	most := longestBranch()
	longest := api.BranchLength(time.Duration(most.Seconds) * time.Second)
	switch {
	case b.Known == "keys":
		return "none: nodes list no symmetric key that this is about"
	case b.Seconds == 0:
		return fmt.Sprintf("the policy in force permits none; whoever has one by an earlier policy %s at most %s after this is done", opens, longest)
	case b.Seconds == most.Seconds:
		return fmt.Sprintf("whoever has a branch key %s at most %s after this is done", opens, longest)
	}
	return fmt.Sprintf("whoever has a branch key %s at most %s after this is done, and at most %s if an earlier policy permitted it", opens, length, longest)
}

// branchWords says which interval a branch key that a record tells of is for; nothing, if
// it tells of none.
func branchWords(from int64, seconds uint32) string {
	length := time.Duration(seconds) * time.Second
	word := api.BranchLength(length)
	if api.CheckBranchLength(length) != nil {
		word = length.String() // as a node says
	}
	if seconds == 0 {
		return ""
	}
	return word + " from " + instant(from*1000)
}

// inBranch adds to a key's name that a branch key of it is meant.
func inBranch(key, branch string) string {
	if branch == "" {
		return key
	}
	return key + ", branch of " + branch
}
