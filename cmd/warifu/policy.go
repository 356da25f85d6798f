package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/policy"

	"github.com/spf13/cobra"
)

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Try a policy, write a change of it, and show the one in force",
		"The policy is one document: Cedar text, entities, and the time zone it speaks of.\nIt denies by default, and an evaluation that fails denies.",
		"  warifu policy put --text policy.cedar --entities entities.json --out policy.change\n  warifu policy test cases.toml\n  warifu policy show",
		a.policyTestCommand(), a.policyExplainCommand(), a.policyMatrixCommand(), a.policyLintCommand(), a.policyPutCommand(), a.policyShowCommand())
}

func (a *app) policyPutCommand() *cobra.Command {
	var f changeFlags
	var text, schema, entities, limits, zone, base string
	var rotate time.Duration
	c := &cobra.Command{
		Use:   "put --text FILE --out FILE.change",
		Short: "Write a change that replaces the policy",
		Long: `Writes a change that replaces the whole policy, for custodians to sign. A policy
that does not compile is refused here.

The change names the one it replaces, so that two changes made at a time cannot
undo each other unseen: the cluster is asked which is in force, unless --base
says it ("none" for a cluster without a policy).`,
		Example: `  warifu policy put --text policy.cedar --entities entities.json --zone Asia/Tokyo --out policy.change
  warifu policy put --text first.cedar --base none --out policy.change`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			d, err := readDocument(text, schema, entities, limits, zone)
			if err != nil {
				return err
			}
			if rotate != 0 && (rotate < policy.MinRotate*time.Second || rotate > policy.MaxRotate*time.Second) {
				return fail(exitUsage, "--rotate-shares: from %v to %v is possible", policy.MinRotate*time.Second, policy.MaxRotate*time.Second)
			}
			d.Rotate = uint64(rotate / time.Second)
			if _, err := policy.Compile(d); err != nil {
				return fail(exitInput, "the policy does not compile: %w", err)
			}
			replaces, err := baseFlag(base, func() (api.Digest, error) { return a.policyInForce(c.Context()) })
			if err != nil {
				return err
			}
			return f.write(a, g, authority.KindPolicy, d.Encode(), replaces)
		},
	}
	f.add(a, c)
	c.Flags().StringVar(&text, "text", "", "Cedar policies")
	c.Flags().StringVar(&schema, "schema", "", "Cedar schema (default: the built-in one)")
	c.Flags().StringVar(&entities, "entities", "", "Cedar entities, JSON")
	c.Flags().StringVar(&limits, "limits", "", "approvers, approvals and rates, TOML")
	c.Flags().StringVar(&zone, "zone", "", "IANA time zone the policy's hours are in (default UTC)")
	c.Flags().DurationVar(&rotate, "rotate-shares", 0, "rotate the shares of all keys after this time, again and again (default: never)")
	c.Flags().StringVar(&base, "base", "", "id of the change this replaces, or none (default: ask the cluster)")
	a.addCallerFlags(c)
	required(c, "text")
	return c
}

// baseFlag reads --base: an id, "none", or what ask finds out.
func baseFlag(s string, ask func() (api.Digest, error)) (api.Digest, error) {
	switch s {
	case "":
		return ask()
	case "none":
		return api.Digest{}, nil
	}
	d, err := api.ParseDigest(s)
	if err != nil {
		return d, fail(exitUsage, "--base is the id of a change, or none: %w", err)
	}
	return d, nil
}

// policyInForce asks the cluster which change put its policy.
func (a *app) policyInForce(ctx context.Context) (api.Digest, error) {
	answer, err := a.askPolicy(ctx)
	if err != nil {
		return api.Digest{}, fmt.Errorf("ask which policy is in force (or say so with --base): %w", err)
	}
	return answer.Change, nil
}

func (a *app) policyShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "show",
		Short:   "Show the policy in force",
		Long:    "Shows the policy in force: its text, its entities, its digest, and the change that put it.",
		Example: "  warifu policy show\n  warifu policy show -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			answer, err := a.askPolicy(c.Context())
			if err != nil {
				return err
			}
			if len(answer.Document) == 0 {
				return a.show(map[string]any{"policy": nil}, func(w io.Writer) {
					fmt.Fprintln(w, "no policy is in force: everything is denied")
				})
			}
			v, err := viewPolicy(answer.Document)
			if err != nil {
				return fmt.Errorf("the policy a node sent: %w", err)
			}
			if v.Digest != answer.Digest {
				return fail(exitInput, "a node sent a policy whose digest is not the one it names")
			}
			return a.show(struct {
				Change api.Digest  `json:"change"`
				Policy *policyView `json:"policy"`
			}{answer.Change, v}, func(w io.Writer) {
				fmt.Fprintf(w, "put by the change %s\n%s\n", answer.Change, indented(v.Text))
				if v.Entities != "" {
					fmt.Fprintf(w, "entities:\n%s\n", indented(v.Entities))
				}
				if v.Limits != "" {
					fmt.Fprintf(w, "limits:\n%s\n", indented(v.Limits))
				}
				facts(w, slices.Concat([]string{"zone", orWord(v.Zone, "UTC")}, v.rotation(), []string{"digest", v.Digest.String()}, readOut(v.Digest))...)
			})
		},
	}
	a.addCallerFlags(c)
	return c
}
