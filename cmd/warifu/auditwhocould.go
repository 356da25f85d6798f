package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"warifu.dev/auditor"
	"warifu.dev/policy"

	"github.com/spf13/cobra"
)

func (a *app) auditWhoCouldCommand() *cobra.Command {
	var key, action, at, zoneName string
	var export exportFlags
	c := &cobra.Command{
		Use:   "who-could DIR --key NAME --at TIME",
		Short: "Say who could have unwrapped, or encrypted, with a key at a time",
		Long: `Works out, from the policy and the entries that custodians signed and from nothing
else, which principals could have unwrapped with a key at a ledger time: the policy in
force then, with its principals and groups, less what was revoked or sealed.

"yes" is whatever the request had said. "under condition" depends on what no entry
holds: the envelope's context, the source, the time of day, a reason. The rules it
hangs on are listed as they were signed. "with a grant" is by one that was in force
then, approved by those whom the policy in force names. What entries cannot tell is
said at the end.

--action encrypt asks who could have encrypted under a symmetric key, which is also who
could have opened what it encrypted itself.`,
		Example: "  warifu audit who-could march --key patient-records --at 2026-03-14T02:00:00+09:00",
		Args:    exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkKeyName("--key", key); err != nil {
				return err
			}
			if err := misused("--action", policy.CheckAction(action)); err != nil {
				return err
			}
			ms, err := parseMoment("--at", at)
			if err != nil {
				return err
			}
			zone, err := loadZone(zoneName)
			if err != nil {
				return err
			}
			folder, given, err := export.open(a, args[0])
			if err != nil {
				return err
			}
			could, report, err := folder.WhoCouldDo(given, action, key, ms)
			if err != nil {
				return err
			}
			err = a.show(could, func(w io.Writer) {
				local, utc := moment(ms, zone)
				if utc != "" {
					local += " (" + utc + " UTC)"
				}
				pairs := []string{"key", could.Key}
				if could.KeyID != nil {
					pairs = append(pairs, "", could.KeyID.String())
				}
				pairs = append(pairs, "action", could.Action)
				if could.Order != nil {
					pairs = append(pairs, "opens with", fmt.Sprintf("%d of %s", could.Order.T, strings.Join(could.Order.Holders, ", ")))
				}
				pairs = append(pairs, "at", local+", ledger time")
				if !could.Policy.IsZero() {
					in, _ := moment(could.Since, zone)
					pairs = append(pairs, "policy", could.Policy.String(), "in force since", in+", by the change "+could.Change.String())
				}
				facts(w, pairs...)
				fmt.Fprintln(w)
				couldWords(w, could)
			})
			return errors.Join(err, judged(args[0], report))
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "the key's name, or its id")
	f.StringVar(&action, "action", policy.Unwrap, "what could have been asked for: unwrap, or of a symmetric key encrypt or unwrapBranch")
	f.StringVar(&at, "at", "", "when, by ledger time: 2026-03-14, 2026-03-14T02:00:00+09:00, or 24h ago as 24h")
	addZoneFlag(c, &zoneName)
	export.flags(f)
	required(c, "key", "at")
	return c
}

func couldWords(w io.Writer, could *auditor.WhoCould) {
	for _, why := range could.Nobody {
		fmt.Fprintf(w, "nobody: %s\n", oneLine(why))
	}
	if len(could.Nobody) > 0 && len(could.Who) > 0 {
		fmt.Fprintln(w, "the policy alone would have permitted:")
	}
	if len(could.Who) > 0 {
		var rows [][]string
		for _, c := range could.Who {
			var rules []string
			for _, clause := range c.Clauses {
				rules = append(rules, clause.Rule)
			}
			rows = append(rows, []string{c.Principal, c.Verdict, strings.Join(rules, ", ")})
		}
		table(w, "PRINCIPAL COULD BY", rows)
	}
	if could.Never > 0 {
		fmt.Fprintf(w, "never: %s that the policy names\n", plural(could.Never, "principal"))
	}
	for _, c := range could.Who {
		for _, g := range c.Grants {
			fmt.Fprintf(w, "\ngrant %s of %s, for %s: %s, from %s to %s\n  because %s\n  approved for %s\n", g.ID, oneLine(c.Principal), could.Key,
				plural(int(g.Uses), "use"), instant(g.NotBefore), instant(g.NotAfter), oneLine(g.Reason), oneLine(strings.Join(g.Meets, ", ")))
		}
	}
	said := map[string]bool{}
	for _, c := range could.Who {
		for _, clause := range c.Clauses {
			if said[clause.Rule] || len(clause.Conditions) == 0 {
				continue
			}
			said[clause.Rule] = true
			fmt.Fprintf(w, "\nunder condition: %s %s\n", clause.Effect, oneLine(clause.Rule))
			for _, condition := range clause.Conditions {
				fmt.Fprintf(w, "  %s\n", oneLine(condition))
			}
		}
	}
	fmt.Fprintln(w)
	for _, unknown := range could.NotKnown {
		fmt.Fprintf(w, "not known: %s\n", oneLine(unknown))
	}
}
