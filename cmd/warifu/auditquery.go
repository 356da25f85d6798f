package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"warifu.dev/auditor"

	"github.com/spf13/cobra"
)

// questionFlags narrow what an export is asked for.
type questionFlags struct {
	question    auditor.Question
	since       string
	until       string
	zone        string
	exportFlags exportFlags
}

func (q *questionFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&q.question.Key, "key", "", "only of this key: its name, or its id")
	f.StringVar(&q.question.Principal, "principal", "", "only of principals with this in their SPIFFE ID")
	f.StringVar(&q.question.Reason, "reason", "", "only where this stands in the reason that the caller stated")
	f.StringVar(&q.question.Request, "request", "", "only of this request id")
	f.StringVar(&q.since, "since", "", "only from then on: 2026-03-01, 2026-03-01T09:00:00+09:00, or 24h ago as 24h")
	f.StringVar(&q.until, "until", "", "only before then")
	addZoneFlag(c, &q.zone)
	q.exportFlags.flags(f)
}

func (q *questionFlags) read() (zone *time.Location, err error) {
	if q.question.Key != "" {
		if err := checkKeyName("--key", q.question.Key); err != nil {
			return nil, err
		}
	}
	if q.question.Since, err = parseMoment("--since", q.since); err != nil {
		return nil, err
	}
	if q.question.Until, err = parseMoment("--until", q.until); err != nil {
		return nil, err
	}
	return loadZone(q.zone)
}

func (a *app) auditQueryCommand() *cobra.Command {
	var q questionFlags
	var long bool
	c := &cobra.Command{
		Use:   "query DIR",
		Short: "Say who asked for which key, when, from where, why, and by which rule it was decided",
		Long: `Searches an export for what nodes decided, oldest first: who, which key, when, from
where, why, and by which rule. A line is one envelope of one request, or the key of one
branch of a symmetric key, which opens all that is made in it, with what each
node that was asked decided; --long makes a paragraph of it, with the nodes by name,
and -o json shows every field of each. The export is verified
on the way: what a damaged log says is left out, and that is exit code 6.`,
		Example: `  warifu audit query march --principal spiffe://bank.example/loans --decision refused
  warifu audit query march --key patient-records --since 2026-03-01 --zone Asia/Tokyo`,
		Args: exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if d := q.question.Decision; d != "" && !slices.Contains(auditor.Decisions(), d) {
				return fail(exitUsage, "--decision is one of %s", strings.Join(auditor.Decisions(), ", "))
			}
			zone, err := q.read()
			if err != nil {
				return err
			}
			folder, given, err := q.exportFlags.open(a, args[0])
			if err != nil {
				return err
			}
			found, report, err := folder.Query(given, q.question)
			if err != nil {
				return err
			}
			views := []askedView{}
			for _, f := range found {
				views = append(views, viewAsked(f, zone))
			}
			err = a.show(views, func(w io.Writer) {
				if len(views) == 0 {
					fmt.Fprintln(w, "nothing found")
					return
				}
				if long {
					for i, v := range views {
						if i > 0 {
							fmt.Fprintln(w)
						}
						v.words(w)
					}
					return
				}
				var rows [][]string
				for _, v := range views {
					rows = append(rows, []string{v.When, v.utc, v.Principal, inBranch(orWord(v.KeyName, short(v.Key)), v.Branch), v.decided(), v.rule(), v.from(), v.Reason})
				}
				heading, rows := filled("WHEN UTC WHO KEY DECISION RULE FROM WHY", rows)
				table(w, heading, rows)
			})
			return errors.Join(err, judged(args[0], report))
		},
	}
	q.flags(c)
	c.Flags().BoolVar(&long, "long", false, "a paragraph for each, in place of a line")
	c.Flags().StringVar(&q.question.Decision, "decision", "", "only what any node "+strings.Join(auditor.Decisions(), ", "))
	return c
}

// askedView is one envelope of one request, in words.
type askedView struct {
	Time      string       `json:"time"` // UTC, of the first node
	When      string       `json:"local_time"`
	RequestID string       `json:"request_id"`
	Principal string       `json:"principal"`
	Source    string       `json:"source,omitempty"`
	Regions   []string     `json:"caller_regions,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	Action    string       `json:"action"`
	Key       string       `json:"key,omitempty"`
	KeyName   string       `json:"key_name,omitempty"`
	Context   string       `json:"context_digest,omitempty"`
	Envelope  string       `json:"envelope_hash,omitempty"`
	Branch    string       `json:"branch,omitempty"`        // of a branch key: its interval
	Writer    string       `json:"branch_writer,omitempty"` // whose items it opens
	Rules     []string     `json:"rules,omitempty"`
	Nodes     []auditor.At `json:"nodes"`
	utc       string
	asked     *auditor.Asked
}

func viewAsked(x *auditor.Asked, zone *time.Location) askedView {
	v := askedView{
		Time: instant(x.Time()), RequestID: hex.EncodeToString(x.RequestID[:]), Principal: x.Principal, Source: x.Source, Reason: x.Reason,
		Action: x.Action, Key: hexOrNothing(x.Key[:]), KeyName: x.KeyName, Context: hexOrNothing(x.Context[:]), Envelope: hexOrNothing(x.Envelope[:]),
		Branch: branchWords(x.BranchFrom, x.Branch), Writer: x.Writer, Regions: x.Regions(), Rules: x.Rules(), Nodes: x.Nodes, asked: x,
	}
	v.When, v.utc = moment(x.Time(), zone)
	return v
}

// words says all that a line says, and which nodes decided what.
func (v *askedView) words(w io.Writer) {
	when := v.When
	if v.utc != "" {
		when += " (" + v.utc + " UTC)"
	}
	pairs := []string{"who", v.Principal, "key", orWord(v.KeyName, v.Key)}
	if v.Branch != "" {
		pairs = append(pairs, "branch key", v.Branch+": it opens all that "+orWord(v.Writer, "somebody")+" encrypts in its branch")
	}
	pairs = append(pairs, "when", when, "from where", orWord(v.from(), "-"), "why", orWord(v.Reason, "-"))
	for _, word := range auditor.Decisions() {
		nodes := slices.Compact(v.asked.By(word))
		if len(nodes) == 0 {
			continue
		}
		by := strings.Join(nodes, ", ")
		if codes := v.codes(word); codes != "" {
			by += ": " + codes
		}
		if why := v.said(word, because); len(why) > 0 {
			by += " (" + strings.Join(why, "; ") + ")"
		}
		pairs = append(pairs, word+" by", by)
	}
	facts(w, append(pairs, "by which rule", orWord(v.decisive(), "none"))...)
}

// from is where it came from: the address that nodes saw, and the region that the
// caller stated.
func (v *askedView) from() string {
	if len(v.Regions) == 0 {
		return v.Source
	}
	return fmt.Sprintf("%s (says %s)", v.Source, strings.Join(v.Regions, ", "))
}

// codes are those that nodes with this decision answered.
func (v *askedView) codes(decision string) string {
	if decision == auditor.Released {
		return ""
	}
	return strings.Join(v.said(decision, func(at auditor.At) string { return at.Code }), ", ")
}

// decided says how many nodes decided what: "released by 3", "refused by 5: denied".
func (v *askedView) decided() string {
	var parts []string
	for _, word := range auditor.Decisions() {
		nodes := slices.Compact(v.asked.By(word))
		if len(nodes) == 0 {
			continue
		}
		part := fmt.Sprintf("%s by %d", word, len(nodes))
		if codes := v.codes(word); codes != "" {
			part += ": " + codes
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// rule says by which rules it was decided; where none did, what else nodes wrote down.
func (v *askedView) rule() string {
	if rules := v.decisive(); rules != "" {
		return rules
	}
	var out []string
	for _, why := range v.said(auditor.Refused, because) {
		out = append(out, "("+why+")")
	}
	return strings.Join(out, " ")
}

// decisive are the rules by which it was decided, and the grants that were named for
// them.
func (v *askedView) decisive() string {
	if len(v.Rules) == 0 {
		return ""
	}
	parts := slices.Clone(v.Rules)
	for _, id := range v.asked.Grants() {
		parts = append(parts, "grant "+short(id))
	}
	return strings.Join(parts, ", ")
}

// because is what a node wrote down of why, without its code said again. Nothing where
// rules say it.
func because(at auditor.At) string {
	switch {
	case at.Why == noRule && len(at.Rules) > 0:
		return ""
	case at.Why == noRule:
		return "no rule permits it"
	}
	return strings.TrimPrefix(strings.TrimPrefix(at.Why, noRule+": "), at.Code+": ")
}

// noRule is what a node writes beside a refusal that the policy made: without a rule's
// name beside it, that nothing permitted the request.
const noRule = "policy"

// said lists, sorted, what nodes with this decision said.
func (v *askedView) said(decision string, of func(auditor.At) string) []string {
	var out []string
	for _, at := range v.asked.Nodes {
		if s := of(at); at.Decision == decision && s != "" {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
