package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"warifu.dev/authority"
	"warifu.dev/certificate"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

func (a *app) certificateCommand() *cobra.Command {
	var out, page, audits string
	var exported exportFlags
	c := &cobra.Command{
		Use:   "certificate KEY --out FILE",
		Short: "Issue the erasure certificate of a destroyed key",
		Long: `Gathers what shows that a key was destroyed, into one file: the order and the
custodians who signed it, what each node signed that it erased, and a proof that leads
from there to a link of the chain that enough nodes sign. The file has all that it
takes to verify it: warifu certificate verify needs the hash of the genesis document,
and nobody.

It says for every epoch that ever lived how many receipts there are, how many of them
may be lies, and which copies remain open. Where too few holders have signed it does
not claim that the key is gone, and the exit code is 11: run it again when more have.

--audit counts, in an export of the nodes' audits (warifu audit export), how often
something was opened under the key, and signs that with the key of this client: the
certificate names it as the word of whoever counted. --page writes the same for people:
one HTML file.`,
		Example: "  warifu certificate photos --out photos.erased --page photos.html\n  warifu certificate verify photos.erased --genesis-hash 6b1f...",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			a.began = true // it has verbs below it, and is one
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			shown, err := cluster.Erasure(c.Context(), args[0])
			if err != nil {
				return err
			}
			evidence := evidenceOf(cluster.Genesis(), shown)
			if audits != "" {
				if evidence.Counted, err = a.countReleases(audits, &exported, evidence.Key); err != nil {
					return err
				}
			}
			made, err := certificate.Make(evidence)
			if err != nil {
				return err
			}
			if err := writeNew(out, modePublic, made.Encode()); err != nil {
				return err
			}
			if page != "" {
				if err := writeNew(page, modePublic, []byte(made.Page())); err != nil {
					return err
				}
			}
			return a.showCertificate(&made.Says, fmt.Sprintf("written to %s; anyone verifies it with: warifu certificate verify %s --genesis-hash %s", out, out, made.Says.Genesis))
		},
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return fmt.Errorf("%w; see: %s --help", err, c.CommandPath()) })
	c.Flags().StringVar(&out, "out", "", "file to write the certificate to")
	c.Flags().StringVar(&page, "page", "", "file to write a page for people to, HTML")
	c.Flags().StringVar(&audits, "audit", "", "export of the nodes' audits, to count in")
	c.Flags().StringArrayVar(&exported.without, "without", nil, "a node that is known to be missing from the export; may be repeated")
	required(c, "out")
	a.addCallerFlags(c)
	c.AddCommand(a.certificateVerifyCommand())
	return c
}

// evidenceOf is what nodes have shown of a key, as a certificate takes it.
func evidenceOf(g *authority.VerifiedGenesis, shown *client.Erasure) *certificate.Evidence {
	e := &certificate.Evidence{Genesis: g.Signed().Encode(), Succession: shown.Custody.Entries(), Key: shown.Key}
	for _, p := range shown.Proofs {
		s := certificate.Shown{Proof: p.Proof}
		for _, v := range p.Vouched {
			s.Vouched = append(s.Vouched, certificate.Vouch{Node: v.Node, Signature: v.Signature})
		}
		e.Shown = append(e.Shown, s)
	}
	return e
}

func (a *app) certificateVerifyCommand() *cobra.Command {
	var hash string
	c := &cobra.Command{
		Use:   "verify FILE --genesis-hash HASH",
		Short: "Verify an erasure certificate, offline",
		Long: `Verifies an erasure certificate from its file and the hash of the genesis document
alone: the genesis document, every change of custodians and roster, the order, the
receipts and the proofs are in the file. It asks nobody. A file in which anything is
missing or altered is refused, with exit code 6; one that does not claim that the key
is gone is believed, and the exit code is 11.

At last it says what no certificate proves.`,
		Example: "  warifu certificate verify photos.erased --genesis-hash 6b1f...",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			want, err := parseHash("--genesis-hash", hash)
			if err != nil {
				return err
			}
			b, err := readErasure(args[0])
			if err != nil {
				return err
			}
			c, err := certificate.Verify(b, want)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.showCertificate(&c.Says, "verified: every signature and every proof in it holds, from the genesis document on")
		},
	}
	c.Flags().StringVar(&hash, "genesis-hash", "", "hash of the genesis document, all that is trusted: 64 hexadecimal digits, or its 24 words in quotes")
	required(c, "genesis-hash")
	return c
}

// readErasure reads a file that is larger than what is read of others.
func readErasure(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, certificate.MaxFile+1))
}

// showCertificate says what a certificate says, and fails where it does not claim that
// the key is gone.
func (a *app) showCertificate(s *certificate.Says, last string) error {
	if err := a.show(s, func(w io.Writer) { certificateWords(a, w, s, last) }); err != nil {
		return err
	}
	if !s.Gone {
		return fail(exitCheck, "the certificate does not claim that the key %s is gone", oneLine(s.Name))
	}
	return nil
}

func certificateWords(a *app, w io.Writer, s *certificate.Says, last string) {
	claim := s.Claim
	if !s.Gone {
		claim = a.loud(claim)
	}
	fmt.Fprintf(w, "%s\n\n", claim)
	facts(w, "key", fmt.Sprintf("%s (%s)", s.Name, s.Key), "cluster", s.Cluster.String(), "genesis", s.Genesis.String(), "standard", s.Standard,
		"ordered by", fmt.Sprintf("%s; %s needed", strings.Join(s.Ordered.By, ", "), plural(s.Ordered.Needed, "signature")),
		"change", s.Ordered.Change.String(),
		"taken", fmt.Sprintf("%s, ledger index %d", instant(s.Ordered.Time), s.Ordered.Index),
		"begun", fmt.Sprintf("%s, ledger index %d", instant(s.Ordered.BeganAt), s.Ordered.Began))
	fmt.Fprintln(w)
	var rows [][]string
	for _, e := range s.Epochs {
		tolerates := fmt.Sprint(e.Tolerates)
		if e.Tolerates < 0 {
			tolerates = "too few"
		}
		number := fmt.Sprint(e.Number)
		if e.Last != 0 {
			number += fmt.Sprintf("..%d", e.Last)
		}
		rows = append(rows, []string{fmt.Sprint(e.Version), number, fmt.Sprintf("%d of %d", e.T, len(e.Holders)), strings.Join(e.Erased, ", "), fmt.Sprint(e.Need), tolerates})
	}
	table(w, "VERSION EPOCH OPENS ERASED NEEDED LIES-TOLERATED", rows)
	fmt.Fprintln(w)
	rows = nil
	for _, r := range s.Receipts {
		var far []string
		for _, t := range r.Through {
			far = append(far, t.String())
		}
		rows = append(rows, []string{r.Node, strings.Join(far, ", "), r.Serial, r.Object, fmt.Sprint(r.Generation), instant(r.Time), fmt.Sprint(r.Index)})
	}
	table(w, "NODE EPOCHS TOKEN OBJECT GENERATION BY-ITS-CLOCK INDEX", rows)
	words := func(heading string, list []string) {
		fmt.Fprintf(w, "\n%s\n", heading)
		for _, line := range list {
			fmt.Fprintf(w, "  - %s\n", oneLine(line))
		}
	}
	words("Copies that remain open:", s.Open)
	under := []string{"wrapped: " + s.Wrapped, "unwrapped before: " + s.Unwrapped}
	for _, d := range s.Datasets {
		under = append(under, fmt.Sprintf("data set %s, as %s has stated; since %s", d.Name, d.Owner, instant(d.Since)))
	}
	if len(s.Datasets) == 0 {
		under = append(under, "no data set is registered: nobody has stated what is under the key")
	}
	words("What was under it:", under)
	var shown []string
	for _, p := range s.Shown {
		shown = append(shown, fmt.Sprintf("the ledger at index %d, link %s: %s vouch for it, %d must", p.Index, p.Link, strings.Join(p.By, ", "), p.Need))
	}
	words("It rests on:", shown)
	words("It does not prove:", s.NotProven)
	fmt.Fprintf(w, "\n%s\n", oneLine(last))
}
