package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client/home"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

// defaultPhase is how long, in seconds, holders wait for a silent one in each
// phase of a birth.
const defaultPhase = 60

func (a *app) genesisCommand() *cobra.Command {
	return group("genesis", "Make, read and sign the document a cluster is born from",
		`The genesis document says once what must be agreed before there is a ledger:
custodians, how many must sign what, nodes with their keys and regions, and the
order of the root key. Its hash is all that a client has to trust.`,
		`  warifu genesis new --threshold 3 --out genesis nodes/*.line custodians/*.pub
  warifu genesis show genesis
  warifu genesis sign genesis --custodian alice.custodian`,
		a.genesisNewCommand(), a.genesisShowCommand(), a.genesisSignCommand())
}

func (a *app) genesisNewCommand() *cobra.Command {
	var nodes, custodians, holders, counts []string
	var threshold, tolerate, phase uint32
	var out, mode string
	var unsealCount uint32
	c := &cobra.Command{
		Use:   "new --threshold T --out FILE [FILE...]",
		Short: "Make an unsigned genesis document",
		Long: `Makes an unsigned genesis document for a new cluster, from the roster lines that
warifud init printed and the public lines of the custodians. A file may hold
several lines; files may also be given without --node and --custodian.

The root key, and with it the cluster, works with any T of its holders. --require
is how many custodians must sign: a number for every kind of change, or
kind=number for one (ca, custodians, genesis, key, lift, policy, revoke, seal); the
default is a majority, and 1 for a seal, which only stops releases. To replace the
custodians it takes as many as any other kind, at least.

--unseal hsm+custodians keeps every node shut after a start until --unseal-count
custodians have handed over their pieces (warifu unseal): a whole stolen node, with
its token and PIN, then opens nothing. With hsm, the default, its token is enough.`,
		Example: `  warifu genesis new --threshold 3 --out genesis nodes/*.line custodians/*.pub
  warifu genesis new --threshold 3 --require 2 --require genesis=3 --holders tokyo,osaka,sg --out genesis lines`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			g := authority.Genesis{Format: authority.GenesisFormat, Created: now().UnixMilli(), Unseal: mode}
			if _, err := rand.Read(g.Cluster[:]); err != nil {
				return fmt.Errorf("make a cluster id: %w", err)
			}
			for _, file := range slices.Concat(nodes, custodians, args) {
				if err := addLines(&g, file); err != nil {
					return err
				}
			}
			var err error
			majority := func(kind string) int {
				if kind == authority.KindSeal {
					return 1
				}
				return len(g.Custodians)/2 + 1
			}
			if g.Required, err = requiredCounts(counts, majority); err != nil {
				return err
			}
			if g.UnsealCount = unsealCount; mode == authority.UnsealCustodians && !c.Flags().Changed("unseal-count") {
				g.UnsealCount = max(authority.MinUnsealCount, uint32(len(g.Custodians)/2+1))
			}
			if len(holders) == 0 {
				for _, n := range g.Roster {
					holders = append(holders, n.ID)
				}
			}
			g.Root = authority.Order{
				Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: threshold, Holders: holders, PhaseSeconds: phase,
				F: defaultTolerate(c, tolerate, threshold, holders),
			}
			if len(holders) >= authority.MinT && (threshold < authority.MinT || int(threshold) > len(holders)) {
				return fail(exitUsage, "--threshold %d is not possible with %s: from %d to %d",
					threshold, plural(len(holders), "holder"), authority.MinT, len(holders))
			}
			if err := g.Check(); err != nil {
				return err
			}
			s := &authority.SignedGenesis{Body: wire.Encode(g)}
			if err := writeNew(out, modePublic, s.Encode()); err != nil {
				return err
			}
			v := viewGenesis(s, &g)
			return a.show(v, func(w io.Writer) {
				v.words(a, w)
				fmt.Fprintf(w, "\nwritten to %s; each custodian runs: warifu genesis sign %s --custodian FILE\n", out, out)
			})
		},
	}
	f := c.Flags()
	f.StringArrayVar(&nodes, "node", nil, "file with roster lines; may be repeated")
	f.StringArrayVar(&custodians, "custodian", nil, "file with public lines of custodians; may be repeated")
	f.StringArrayVar(&counts, "require", nil, "custodians that must sign: COUNT, or KIND=COUNT; may be repeated")
	f.Uint32Var(&threshold, "threshold", 0, "how many holders it takes")
	f.Uint32Var(&tolerate, "tolerate", 1, "how many may lie or be silent at a birth (0 only if all are needed)")
	f.StringSliceVar(&holders, "holders", nil, "node ids that hold the root key, in order (default: all, as given)")
	f.Uint32Var(&phase, "phase-seconds", defaultPhase, "how long a phase of the birth waits for a silent holder")
	f.StringVar(&mode, "unseal", authority.UnsealHSM, "what opens a node's seal: hsm, or hsm+custodians")
	f.Uint32Var(&unsealCount, "unseal-count", 0, "with hsm+custodians: how many of them (default: a majority, at least 2)")
	f.StringVar(&out, "out", "", "file to write")
	required(c, "threshold", "out")
	return c
}

// defaultTolerate is 1, or 0 where every holder is needed, unless it was given.
func defaultTolerate(c *cobra.Command, given, t uint32, holders []string) uint32 {
	if !c.Flags().Changed("tolerate") && int(t) == len(holders) {
		return 0
	}
	return given
}

// addLines reads the public lines in a file; each says itself whose it is.
func addLines(g *authority.Genesis, file string) error {
	b, err := readSmall(file)
	if err != nil {
		return err
	}
	found := false
	for i, line := range strings.Split(string(b), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found = true
		node, nodeErr := authority.ParseNode(line)
		if nodeErr == nil {
			g.Roster = append(g.Roster, node)
			continue
		}
		custodian, err := authority.ParseCustodian(line)
		if err == nil {
			err = checkOpening(custodian)
		}
		if err == nil {
			g.Custodians = append(g.Custodians, custodian)
			continue
		}
		if strings.HasPrefix(line, "warifu-node") {
			err = nodeErr
		}
		return fmt.Errorf("%s, line %d: %w", file, i+1, err)
	}
	if !found {
		return fail(exitInput, "%s holds no line of a node or a custodian", file)
	}
	return nil
}

// requiredCounts reads the values of --require; otherwise says what is required where
// they say nothing. A number for every kind leaves the seal out, which only stops
// releases; to replace custodians it takes as many as any other kind.
func requiredCounts(counts []string, otherwise func(kind string) int) ([]authority.RequiredCount, error) {
	every := 0
	byKind := map[string]int{}
	for _, s := range counts {
		kind, number, one := strings.Cut(s, "=")
		if !one {
			number = s
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return nil, fail(exitUsage, "--require is COUNT or KIND=COUNT, not %q", s)
		}
		if !one {
			every = int(n)
			continue
		}
		if !authority.IsChangeKind(kind) {
			return nil, fail(exitUsage, "--require: no kind of change is called %q; they are %s", kind, strings.Join(authority.ChangeKinds(), ", "))
		}
		byKind[kind] = int(n)
	}
	most := 0
	for _, kind := range authority.ChangeKinds() {
		if _, given := byKind[kind]; !given {
			if byKind[kind] = otherwise(kind); every > 0 && kind != authority.KindSeal {
				byKind[kind] = every
			}
		}
		if kind != authority.KindCustodians {
			most = max(most, byKind[kind])
		}
	}
	if !slices.ContainsFunc(counts, func(s string) bool { return strings.HasPrefix(s, authority.KindCustodians+"=") }) {
		byKind[authority.KindCustodians] = most
	}
	var out []authority.RequiredCount
	for _, kind := range authority.ChangeKinds() {
		out = append(out, authority.RequiredCount{Kind: kind, Count: uint32(byKind[kind])})
	}
	return out, nil
}

func (a *app) genesisShowCommand() *cobra.Command {
	var hash string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Say in words what a genesis document fixes, and who signed it",
		Long: `Says in words what a genesis document fixes: the cluster, its custodians with
their fingerprints, its nodes with regions and addresses, the thresholds; who
signed it, and what is missing. With --hash it is refused if its hash is another.

` + readingOut,
		Example: "  warifu genesis show genesis\n  warifu genesis show genesis --hash 6b1f...",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, g, err := readGenesis(args[0])
			if err != nil {
				return err
			}
			if hash != "" {
				expected, err := parseHash("--hash", hash)
				if err != nil {
					return err
				}
				if s.Hash() != expected {
					return fmt.Errorf("%s is %w: its hash is %s, expected is %s", args[0], home.ErrOtherGenesis, s.Hash(), expected)
				}
			}
			v := viewGenesis(s, g)
			if err := a.show(v, func(w io.Writer) { v.words(a, w) }); err != nil {
				return err
			}
			if _, err := s.Verify(); err != nil && !errors.Is(err, authority.ErrTooFewSignatures) {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&hash, "hash", "", "the hash it must have: 64 hexadecimal digits, or its 24 words in quotes")
	return c
}

func (a *app) genesisSignCommand() *cobra.Command {
	var custodianFile, passphraseFile string
	c := &cobra.Command{
		Use:   "sign FILE --custodian FILE",
		Short: "Show a genesis document, then sign it as a custodian",
		Long: `Shows what the document fixes and then asks for the custodian's passphrase: giving
it is what signs. The signature is added to the file, in place. Signing twice
changes nothing. Compare the hash with the other custodians before signing.

` + readingOut,
		Example: "  warifu genesis sign genesis --custodian alice.custodian",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, g, err := readGenesis(args[0])
			if err != nil {
				return err
			}
			if _, err := s.Verify(); err != nil && !errors.Is(err, authority.ErrTooFewSignatures) {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if a.format == formatTable {
				viewGenesis(s, g).words(a, a.out)
				fmt.Fprintln(a.out)
			}
			signer, name, err := a.openSigner(custodianFile, passphraseFile, "to sign this")
			if err != nil {
				return err
			}
			if err := s.Sign(rand.Reader, signer); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := writeReplacing(args[0], modePublic, s.Encode()); err != nil {
				return err
			}
			v := viewGenesis(s, g)
			return a.show(v, func(w io.Writer) { fmt.Fprintf(w, "signed by %s; %s\n", name, v.standing()) })
		},
	}
	addSignerFlags(c, &custodianFile, &passphraseFile)
	return c
}

// genesisView is a genesis document in words.
type genesisView struct {
	Cluster     api.ClusterID   `json:"cluster"`
	Hash        api.Digest      `json:"hash"`
	Spoken      string          `json:"hash_words"`
	Created     string          `json:"created"`
	Unseal      string          `json:"unseal"`
	UnsealCount uint32          `json:"unseal_count,omitempty"`
	Required    map[string]int  `json:"required"`
	Custodians  []custodianView `json:"custodians"`
	Nodes       []nodeView      `json:"nodes"`
	Root        *orderView      `json:"root"`
	Signed      int             `json:"signed"`
	Missing     int             `json:"missing"`
}

type custodianView struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Open        string `json:"open"`
	State       string `json:"state"`
}

type nodeView struct {
	ID          string `json:"id"`
	Region      string `json:"region"`
	Fingerprint string `json:"fingerprint"`
	Client      string `json:"client"`
	Peer        string `json:"peer"`
	Index       uint32 `json:"index"` // place among the root key's holders; 0: none
}

func viewGenesis(s *authority.SignedGenesis, g *authority.Genesis) *genesisView {
	v := &genesisView{
		Cluster: g.Cluster, Hash: s.Hash(), Spoken: saidWords(s.Hash()), Created: instant(g.Created), Unseal: g.Unseal, UnsealCount: g.UnsealCount,
		Required: map[string]int{}, Root: viewOrder(&g.Root, g),
	}
	for _, kind := range authority.ChangeKinds() {
		v.Required[kind] = g.RequiredFor(kind)
	}
	signers := viewSigners(s.Signatures, g, tag.GenesisSignature, s.Body)
	for _, c := range g.Custodians {
		state, fingerprint := stateNotSigned, authority.FingerprintOf(c.Sign).String()
		for _, signer := range signers {
			if signer.Fingerprint == fingerprint {
				state = signer.State
			}
		}
		v.Custodians = append(v.Custodians, custodianView{c.Name, fingerprint, c.Open, state})
	}
	for _, n := range g.Roster {
		v.Nodes = append(v.Nodes, nodeView{n.ID, n.Region, authority.FingerprintOf(n.Key).String(), n.Claim.Client, n.Claim.Peer, g.Root.IndexOf(n.ID)})
	}
	v.Signed = countSigned(signers)
	v.Missing = max(0, v.Required[authority.KindGenesis]-v.Signed)
	return v
}

func (v *genesisView) words(a *app, w io.Writer) {
	facts(w, slices.Concat([]string{"cluster", v.Cluster.String(), "hash", v.Hash.String()}, readOut(v.Hash), []string{
		"created", v.Created, "unsealed by", v.unsealedBy(),
		"root key", fmt.Sprintf("%d of %d: %s", v.Root.Threshold, len(v.Root.Holders), strings.Join(v.Root.Holders, ", ")),
	})...)
	for _, m := range v.Root.Means {
		fmt.Fprintf(w, "  - %s\n", m)
	}
	for _, m := range v.Root.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, c := range v.Custodians {
		rows = append(rows, []string{c.Name, c.State, c.Fingerprint})
	}
	table(w, "CUSTODIAN STATE FINGERPRINT", rows)
	var must []string
	for _, kind := range authority.ChangeKinds() {
		must = append(must, fmt.Sprintf("%s %d", kind, v.Required[kind]))
	}
	fmt.Fprintf(w, "must sign, of %d: %s\n\n", len(v.Custodians), strings.Join(must, ", "))
	rows = nil
	for _, n := range v.Nodes {
		rows = append(rows, []string{n.ID, n.Region, n.Client, n.Peer, n.Fingerprint})
	}
	table(w, "NODE REGION CLIENTS PEERS FINGERPRINT", rows)
	fmt.Fprintf(w, "\n%s: %s\n", plural(v.Signed, "signature"), v.standing())
}

// unsealedBy says what opens a node's seal.
func (v *genesisView) unsealedBy() string {
	if v.Unseal == authority.UnsealCustodians {
		return fmt.Sprintf("each node's token and any %d of the %d custodians", v.UnsealCount, len(v.Custodians))
	}
	return "each node's token alone (" + v.Unseal + ")"
}

// standing says how far the document is, in half a sentence.
func (v *genesisView) standing() string {
	if v.Missing > 0 {
		return fmt.Sprintf("%d more needed", v.Missing)
	}
	return "that is enough for the birth"
}
