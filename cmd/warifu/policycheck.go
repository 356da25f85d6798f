package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"warifu.dev/authority"
	"warifu.dev/policy"

	"github.com/spf13/cobra"
)

// policySource says which policy a command looks at: files, or the one in force.
type policySource struct{ text, schema, entities, limits, zone string }

func (p *policySource) add(a *app, c *cobra.Command) {
	c.Flags().StringVar(&p.text, "text", "", "Cedar policies to look at (default: the policy in force, from the cluster)")
	c.Flags().StringVar(&p.schema, "schema", "", "Cedar schema, with --text")
	c.Flags().StringVar(&p.entities, "entities", "", "Cedar entities, JSON, with --text")
	c.Flags().StringVar(&p.limits, "limits", "", "approvers, approvals and rates, TOML, with --text")
	c.Flags().StringVar(&p.zone, "zone", "", "IANA time zone, with --text (default UTC)")
	a.addCallerFlags(c)
}

// compile reads the files, or asks the cluster.
func (p *policySource) compile(ctx context.Context, a *app) (*policy.Policy, error) {
	if p.text != "" {
		return readPolicy(p.text, p.schema, p.entities, p.limits, p.zone)
	}
	if p.schema != "" || p.entities != "" || p.limits != "" || p.zone != "" {
		return nil, fail(exitUsage, "--schema, --entities, --limits and --zone go with --text")
	}
	answer, err := a.askPolicy(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the policy in force (or give files, with --text): %w", err)
	}
	if len(answer.Document) == 0 {
		return nil, fail(exitInput, "no policy is in force: everything is denied")
	}
	d, err := policy.DecodeDocument(answer.Document)
	if err != nil {
		return nil, fmt.Errorf("the policy a node sent: %w", err)
	}
	if answer.Digest != d.Digest() {
		return nil, fail(exitInput, "a node sent a policy whose digest is not the one it names")
	}
	return policy.Compile(d)
}

// readPolicy compiles a policy from files; empty names are left out.
func readPolicy(text, schema, entities, limits, zone string) (*policy.Policy, error) {
	d, err := readDocument(text, schema, entities, limits, zone)
	if err != nil {
		return nil, err
	}
	p, err := policy.Compile(d)
	if err != nil {
		return nil, fail(exitInput, "the policy does not compile: %w", err)
	}
	return p, nil
}

// readDocument reads a policy document from files; empty names are left out.
func readDocument(text, schema, entities, limits, zone string) (policy.Document, error) {
	d := policy.Document{Format: policy.Format, Zone: zone}
	for _, part := range []struct {
		file string
		into *string
	}{{text, &d.Text}, {schema, &d.Schema}, {entities, &d.Entities}, {limits, &d.Limits}} {
		if part.file == "" {
			continue
		}
		b, err := readSmall(part.file)
		if err != nil {
			return d, err
		}
		*part.into = string(b)
	}
	return d, nil
}

func (a *app) policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE...",
		Short: "Hold a policy against a table of decisions",
		Long: `Holds a policy against a table of decisions, offline, and says which rows do not
hold. FILE is TOML: it names the policy's files and lists cases, each a request and
what must be said to it. One row:

  [[case]]
  name = "a nurse at noon, from the ward"
  principal = "spiffe://hospital.example/ward-terminal"
  key = "patient-records"
  source = "10.20.1.5"                # where the caller is
  time = 2026-11-24T12:00:00+09:00
  reason = "ward round"
  expect = "allow"                    # or "deny", or "grant": denied for want of one
  rules = ["ward-by-day"]             # optional: what decides it

Also: action ("unwrap" if it is left out, "encrypt", or "unwrapBranch" with branch =
"15m"), context, labels, grants,
node_region, node_hsm, caller_region. A row that does not hold is exit code 11.`,
		Example: "  warifu policy test examples/policies/hospital/cases.toml\n  warifu policy test cases.toml -o json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var all []policy.Outcome
			for _, file := range args {
				outcomes, err := testPolicy(file)
				if err != nil {
					return err
				}
				all = append(all, outcomes...)
			}
			wrong := 0
			for _, o := range all {
				if !o.Passed {
					wrong++
				}
			}
			err := a.show(all, func(w io.Writer) {
				for _, o := range all {
					mark := "ok  "
					if !o.Passed {
						mark = a.loud("NO  ")
					}
					fmt.Fprintf(w, "%s %-5s  %s\n", mark, o.Got, oneLine(o.Case))
					if !o.Passed {
						fmt.Fprintf(w, "            expected %s: %s\n", o.Expected, oneLine(o.Why))
						for _, line := range findings(o.Explanation) {
							fmt.Fprintf(w, "            %s\n", line)
						}
					}
				}
			})
			if err != nil {
				return err
			}
			if wrong > 0 {
				return fail(exitCheck, "%d of %s do not hold", wrong, plural(len(all), "case"))
			}
			return nil
		},
	}
}

// testPolicy holds the policy that a file of cases names against the cases.
func testPolicy(file string) ([]policy.Outcome, error) {
	b, err := readSmall(file)
	if err != nil {
		return nil, err
	}
	cases, err := policy.ParseCases(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	beside := func(name string) string {
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(file), name)
	}
	p, err := readPolicy(beside(cases.Text), beside(cases.Schema), beside(cases.Entities), beside(cases.Limits), cases.Zone)
	if err != nil {
		return nil, err
	}
	return cases.Test(p), nil
}

// findings says in lines what each policy made of a request.
func findings(x policy.Explanation) []string {
	var lines []string
	for _, f := range x.Findings {
		mark := "does not apply"
		if f.Applies {
			mark = "APPLIES"
		}
		lines = append(lines, fmt.Sprintf("%s %s (line %d) %s: %s", f.Effect, oneLine(f.Rule), f.Line, mark, oneLine(f.Why)))
	}
	for _, e := range x.Errors {
		lines = append(lines, "error, which denies: "+oneLine(e))
	}
	for _, r := range x.Rates {
		lines = append(lines, "rate "+oneLine(r.Name)+": "+oneLine(r.String()))
	}
	return lines
}

func (a *app) policyExplainCommand() *cobra.Command {
	var from policySource
	var k policy.Case
	var at, source string
	var context, labels []string
	c := &cobra.Command{
		Use:   "explain --principal ID --key NAME",
		Short: "Say what a policy answers to one request, and why",
		Long: `Says what a policy answers to one request, and for each of its policies whether it
applies or which of its parts does not fit. It asks nobody to unwrap anything: what
a node knows by itself (its region, its clock, its HSM) is given here.`,
		Example: `  warifu policy explain --principal spiffe://demo/app --key demo --reason "ticket 12"
  warifu policy explain --text policy.cedar --entities entities.json --principal spiffe://demo/app --key demo --time 2026-11-24T03:00:00+09:00`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			k.Name, k.Expect, k.Source, k.Time = "asked", policy.ExpectAllow, source, now()
			var err error
			if at != "" {
				if k.Time, err = time.Parse(time.RFC3339, at); err != nil {
					return fail(exitUsage, "--time is like 2026-11-24T12:00:00+09:00, not %q", at)
				}
			}
			if err := misused("--action", policy.CheckAction(k.Action)); err != nil {
				return err
			}
			if (k.Action == policy.UnwrapBranch) != (k.Branch != "") {
				return fail(exitUsage, "--branch goes with --action %s, which needs it", policy.UnwrapBranch)
			}
			if k.Branch != "" {
				if _, err := branchLength(k.Branch); err != nil {
					return err
				}
			}
			if source != "" {
				if _, err := netip.ParseAddr(source); err != nil {
					return fail(exitUsage, "--source is an address, not %q", source)
				}
			}
			for _, pairs := range []struct {
				given []string
				into  *map[string]string
			}{{context, &k.Context}, {labels, &k.Labels}} {
				read, err := parseContext(pairs.given)
				if err != nil {
					return err
				}
				*pairs.into = map[string]string(read)
			}
			p, err := from.compile(c.Context(), a)
			if err != nil {
				return err
			}
			if len(labels) == 0 {
				asked, err := a.keysNamed(c.Context(), &from, []string{k.Key})
				if err != nil {
					return err
				}
				k.Labels = asked[0].Labels
			}
			x := p.Explain(k.Request())
			return a.show(x, func(w io.Writer) {
				answer := "denied"
				if x.Allowed {
					answer = "permitted"
				}
				by := "no policy permits it"
				if len(x.Rules) > 0 {
					by = "by " + oneLine(strings.Join(x.Rules, ", "))
				}
				if len(x.Needs) > 0 {
					by = "needs a grant: " + oneLine(strings.Join(x.Needs, ", or "))
				}
				fmt.Fprintf(w, "%s: %s\n", answer, by)
				for _, line := range findings(x) {
					fmt.Fprintln(w, "  "+line)
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&k.Principal, "principal", "", "who asks: a SPIFFE ID")
	f.StringVar(&k.Key, "key", "", "the key's name")
	f.StringVar(&k.Action, "action", policy.Unwrap, "what is asked for: unwrap, or of a symmetric key encrypt or unwrapBranch")
	f.StringVar(&k.Branch, "branch", "", "with --action unwrapBranch: how long the interval is, as 15m")
	f.StringArrayVar(&context, "context", nil, "a pair KEY=VALUE of the envelope's context; may be repeated")
	f.StringArrayVar(&labels, "label", nil, "a pair KEY=VALUE of the key's labels; may be repeated (default, with the policy in force: those it has)")
	f.StringVar(&source, "source", "", "the caller's address")
	f.StringVar(&k.NodeRegion, "node-region", "", "the deciding node's region")
	f.StringVar(&k.NodeHSM, "node-hsm", "pkcs11", "what seals the deciding node's shares: pkcs11 or soft")
	f.StringVar(&k.CallerRegion, "caller-region", "", "where the caller says it is")
	f.StringVar(&at, "time", "", "when, as 2026-11-24T12:00:00+09:00 (default: now)")
	f.StringVar(&k.Reason, "reason", "", "the reason that the caller states")
	f.StringArrayVar(&k.Grants, "grant", nil, "an approval that the request's grant meets; may be repeated")
	from.add(a, c)
	required(c, "principal", "key")
	return c
}

func (a *app) policyMatrixCommand() *cobra.Command {
	var from policySource
	var keys []string
	c := &cobra.Command{
		Use:   "matrix [--key NAME]...",
		Short: "Say who may open what: always, sometimes, with a grant or never",
		Long: `Says, for every principal that the entities name and every key, whether the policy
lets it unwrap always, sometimes (it depends on context, time, place, reason or
grants), with a grant (and never without), or never; of a symmetric key also whether it
lets it encrypt. Without --key: the keys that the policy names.

It is worked out by partial evaluation, not by trying requests: "never" and
"always" are certain, "sometimes" may be less than it says. With the policy in force it
asks for the keys' types and labels, too; with --text no key has a label, and one under
which nobody may encrypt counts as asymmetric.`,
		Example: "  warifu policy matrix\n  warifu policy matrix --text policy.cedar --entities entities.json --key demo --key payroll",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := from.compile(c.Context(), a)
			if err != nil {
				return err
			}
			if len(keys) == 0 {
				if keys = p.KeysNamed(); len(keys) == 0 {
					return fail(exitUsage, "this policy names no key: say which with --key")
				}
			}
			asked, err := a.keysNamed(c.Context(), &from, keys)
			if err != nil {
				return err
			}
			cells := p.Matrix(asked)
			return a.show(cells, func(w io.Writer) {
				rows := [][]string{}
				for _, cell := range cells {
					rows = append(rows, []string{cell.Principal, cell.Key, cell.Action, cell.Verdict, strings.Join(cell.Rules, ", ")})
				}
				table(w, "PRINCIPAL KEY ACTION MAY BY", rows)
			})
		},
	}
	c.Flags().StringArrayVar(&keys, "key", nil, "a key's name; may be repeated")
	from.add(a, c)
	return c
}

func (a *app) policyLintCommand() *cobra.Command {
	var from policySource
	c := &cobra.Command{
		Use:   "lint",
		Short: "Look for what compiles and is probably not meant",
		Long: `Looks for what compiles and is probably not meant: permits for anyone or for any
key, policies that nobody can meet, names that the entities do not have, permits for
operators, and for who may encrypt and not unwrap: under a symmetric key whoever encrypts
can open what it encrypted. With the policy in force it also asks which nodes hold each
key and of what type it is, and names the rules that leave a key fewer nodes than it
takes: they permit what can never be opened, or encrypted. It then says what each rate comes to in the cluster: nodes
count by themselves, and t of them agree. Anything found is exit code 11.`,
		Example: "  warifu policy lint\n  warifu policy lint --text policy.cedar --entities entities.json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := from.compile(c.Context(), a)
			if err != nil {
				return err
			}
			var keys []policy.Shared
			if from.text == "" {
				if keys, err = a.sharedKeys(c.Context()); err != nil {
					return err
				}
			}
			found := p.Lint(keys)
			if found == nil {
				found = []policy.Warning{}
			}
			err = a.show(found, func(w io.Writer) {
				for _, f := range found {
					where := ""
					if f.Line > 0 {
						where = fmt.Sprintf(" (line %d)", f.Line)
					}
					fmt.Fprintf(w, "%s: %s%s: %s\n", f.Code, oneLine(f.Rule), where, oneLine(f.Sentence))
				}
				if len(found) == 0 {
					fmt.Fprintln(w, "nothing found")
				}
				for _, line := range p.Bounds(keys) {
					fmt.Fprintln(w, oneLine(line))
				}
				if from.text != "" {
					fmt.Fprintln(w, "regions of nodes and types of keys were not looked at: that takes the policy in force")
				}
			})
			if err == nil && len(found) > 0 {
				err = fail(exitCheck, "%s found", plural(len(found), "thing"))
			}
			return err
		},
	}
	from.add(a, c)
	return c
}

// keysNamed are some keys with what the cluster says of them. Of one that it does not
// have, and with a policy from files, nothing is known.
func (a *app) keysNamed(ctx context.Context, from *policySource, names []string) ([]policy.Shared, error) {
	var all []policy.Shared
	if from.text == "" {
		var err error
		if all, err = a.sharedKeys(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]policy.Shared, len(names))
	for i, name := range names {
		out[i] = policy.Shared{Key: name}
		if at := slices.IndexFunc(all, func(k policy.Shared) bool { return k.Key == name }); at >= 0 {
			out[i] = all[at]
		}
	}
	return out, nil
}

// sharedKeys asks the cluster how each named key is shared.
func (a *app) sharedKeys(ctx context.Context) ([]policy.Shared, error) {
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	keys, err := cluster.Keys(ctx)
	if err != nil {
		return nil, err
	}
	var out []policy.Shared
	for _, k := range keys {
		if k.Name == "" {
			continue // the root key opens no envelopes
		}
		s := policy.Shared{Key: k.Name, ID: k.ID, T: int(k.T), F: int(k.F), Labels: k.Labels}
		switch k.Purpose {
		case authority.PurposeUnwrap:
			s.Actions = []string{policy.Unwrap}
		case authority.PurposeEncrypt:
			s.Actions = policy.Actions()
		}
		for _, id := range k.Holders {
			if n := cluster.Known().Genesis.NodeByID(id); n != nil {
				s.Holders = append(s.Holders, policy.Holder{Node: id, Region: n.Region})
			}
		}
		out = append(out, s)
	}
	return out, nil
}
