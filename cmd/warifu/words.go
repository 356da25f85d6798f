package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
)

// changeView is a change in words.
type changeView struct {
	ID       api.Digest    `json:"id"`
	Spoken   string        `json:"id_words"`
	Kind     string        `json:"kind"`
	Cluster  api.ClusterID `json:"cluster"`
	Base     api.Digest    `json:"base"`
	NotAfter string        `json:"not_after"`
	Expired  bool          `json:"expired"`
	Signers  []signerView  `json:"signers"`
	Required int           `json:"required"` // 0: no genesis document is known here
	Missing  int           `json:"missing"`
	Policy   *policyView   `json:"policy,omitempty"`
	CA       *caView       `json:"ca,omitempty"`
	Key      *orderView    `json:"key,omitempty"`
	Denies   *denialView   `json:"denies,omitempty"`
	Lifts    *api.Digest   `json:"lifts,omitempty"`
	Custody  *custodyView  `json:"custodians,omitempty"`

	KeyState  *keyStateView  `json:"key_state,omitempty"`
	KeyLabels *keyLabelsView `json:"key_labels,omitempty"`
	Destroys  *destroyView   `json:"destroys,omitempty"`
	Renewal   *renewalView   `json:"renewal,omitempty"`
	Pool      *poolView      `json:"pool,omitempty"`

	Membership *membershipView `json:"membership,omitempty"`
	Adopts     *adoptView      `json:"adopts,omitempty"`
	Escrows    *escrowView     `json:"escrows,omitempty"`

	KeyNames map[string]string `json:"key_names,omitempty"` // by id: what records that are kept here call the keys above

	known bool
}

type signerView struct {
	Name        string `json:"name,omitempty"`
	Fingerprint string `json:"fingerprint"`
	State       string `json:"state"` // signed, bad signature, not a custodian, not checked
}

const (
	stateSigned    = "signed"
	stateNotSigned = "not signed"
	stateBad       = "bad signature"
	stateStranger  = "not a custodian"
	stateUnchecked = "not checked"
)

type policyView struct {
	Digest   api.Digest `json:"digest"`
	Text     string     `json:"text"`
	Schema   string     `json:"schema,omitempty"`
	Entities string     `json:"entities,omitempty"`
	Limits   string     `json:"limits,omitempty"`
	Rotate   uint64     `json:"rotate_seconds,omitempty"`
	Zone     string     `json:"zone,omitempty"`
	Describe string     `json:"describe,omitempty"`
	Broken   string     `json:"does_not_compile,omitempty"`

	Against  *comparison `json:"against,omitempty"` // nil: nobody asked for a comparison
	document policy.Document
}

type caView struct {
	Name        string `json:"name"`
	Subject     string `json:"subject"`
	NotBefore   string `json:"not_before"`
	NotAfter    string `json:"not_after"`
	Fingerprint string `json:"sha256"`
}

type orderView struct {
	Name         string   `json:"name"`
	Purpose      string   `json:"purpose"`
	Threshold    uint32   `json:"threshold"`
	Tolerate     uint32   `json:"tolerate"`
	Holders      []string `json:"holders"`
	PhaseSeconds uint32   `json:"phase_seconds"`
	NotBefore    int64    `json:"not_before_ms,omitempty"` // it is born pre-active

	Owner    string            `json:"owner,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	NotAfter int64             `json:"not_after_ms,omitempty"` // when it expires

	RotateEvery uint64 `json:"rotate_every_seconds,omitempty"`

	Regions []string `json:"regions,omitempty"` // that it is pinned to

	Rotates *api.KeyID `json:"rotates,omitempty"` // it is the next version of this key
	Version uint32     `json:"version,omitempty"`
	Imports string     `json:"imports,omitempty"`      // the public key of the one that is whole, hexadecimal
	Seed    string     `json:"imports_seed,omitempty"` // of a symmetric key: the hash by which its seed is known

	Means    []string `json:"means"`
	Warnings []string `json:"warnings,omitempty"`
}

// viewChange reads everything that a change says. g may be nil: then signers are
// listed by fingerprint, unchecked.
func viewChange(e *authority.Entry, g *authority.Genesis) (*changeView, error) {
	c, err := authority.ParseChange(e)
	if err != nil {
		return nil, err
	}
	v := &changeView{
		ID: e.ID(), Spoken: saidWords(e.ID()), Kind: c.Kind, Cluster: c.Cluster, Base: c.Base,
		NotAfter: instant(c.NotAfter), Expired: now().UnixMilli() > c.NotAfter,
		Signers: viewSigners(e.Signatures, g, tag.ChangeSignature, e.Body), known: g != nil,
	}
	if g != nil {
		if g.Cluster != c.Cluster {
			return nil, fmt.Errorf("%w: it is for the cluster %s, the one known here is %s", authority.ErrChange, c.Cluster, g.Cluster)
		}
		v.Required = g.RequiredForChange(c)
		v.Missing = max(0, v.Required-countSigned(v.Signers))
	}
	switch c.Kind {
	case authority.KindPolicy:
		v.Policy, err = viewPolicy(c.Body)
	case authority.KindCA:
		v.CA, err = viewCA(c.Body)
	case authority.KindKey:
		var o *authority.Order
		if o, err = authority.ParseOrder(c); err == nil {
			v.Key = viewOrder(o, g)
		}
	case authority.KindRevoke, authority.KindSeal:
		v.Denies, err = viewDenial(c, g)
	case authority.KindLift:
		var id api.Digest
		if id, err = authority.ParseLift(c); err == nil {
			v.Lifts = &id
		}
	case authority.KindRefresh, authority.KindReshare:
		var r *authority.Renewal
		if r, err = authority.ParseRenewal(c); err == nil {
			v.Renewal = viewRenewal(c.Kind, r, g)
		}
	case authority.KindPool:
		var p *authority.Pool
		if p, err = authority.ParsePool(c); err == nil {
			v.Pool = viewPool(p, g)
		}
	case authority.KindNodeAdd, authority.KindNodeRemove, authority.KindNodeReplace:
		v.Membership, err = viewMembership(c, g)
	case authority.KindCustodians:
		v.Custody, err = viewCustody(c, g)
	case authority.KindKeyState:
		v.KeyState, err = viewKeyState(c)
	case authority.KindKeyLabels:
		v.KeyLabels, err = viewKeyLabels(c)
	case authority.KindKeyDestroy, authority.KindKeyKeep:
		v.Destroys, err = viewDestroy(c)
	case authority.KindAdopt:
		v.Adopts, err = viewAdoption(c, e.Signatures, g)
	case authority.KindEscrow:
		v.Escrows, err = viewEscrow(c, g)
	default:
		err = fmt.Errorf("%w: this program has no words for the kind %q", authority.ErrChange, c.Kind)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// viewSigners holds each signature against the custodians.
func viewSigners(sigs []authority.Signature, g *authority.Genesis, t tag.Tag, body []byte) []signerView {
	views := []signerView{}
	for _, s := range sigs {
		v := signerView{Fingerprint: s.Signer.String(), State: stateUnchecked}
		if g != nil {
			v.State = stateStranger
			if c := g.CustodianByKey(s.Signer); c != nil {
				v.Name, v.State = c.Name, stateBad
				if s.Verify(c.Sign, t, body) == nil {
					v.State = stateSigned
				}
			}
		}
		views = append(views, v)
	}
	return views
}

func countSigned(signers []signerView) int {
	distinct := map[string]bool{}
	for _, s := range signers {
		if s.State == stateSigned {
			distinct[s.Fingerprint] = true
		}
	}
	return len(distinct)
}

// spoiled reports a signature that makes the whole unacceptable.
func spoiled(signers []signerView) error {
	for _, s := range signers {
		if s.State == stateBad || s.State == stateStranger {
			return fmt.Errorf("%w: that of %s: %s", authority.ErrSignature, shown(s), s.State)
		}
	}
	return nil
}

func shown(s signerView) string {
	if s.Name != "" {
		return s.Name
	}
	return short(s.Fingerprint)
}

// short cuts a fingerprint for the eye; what is compared is always the whole.
func short(hexDigits string) string { return hexDigits[:min(16, len(hexDigits))] }

func viewPolicy(body []byte) (*policyView, error) {
	d, err := policy.DecodeDocument(body)
	if err != nil {
		return nil, err
	}
	v := &policyView{Digest: d.Digest(), Text: d.Text, Schema: d.Schema, Entities: d.Entities, Limits: d.Limits, Rotate: d.Rotate, Zone: d.Zone, document: d}
	p, err := policy.Compile(d)
	if err != nil {
		v.Broken = err.Error()
		return v, nil
	}
	v.Describe = p.Describe()
	return v, nil
}

func viewCA(body []byte) (*caView, error) {
	var ca authority.CA
	if err := wire.Decode(body, &ca); err != nil {
		return nil, fmt.Errorf("%w: %w", authority.ErrChange, err)
	}
	cert, err := x509.ParseCertificate(ca.Certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: its certificate: %w", authority.ErrChange, err)
	}
	sum := sha256.Sum256(ca.Certificate)
	return &caView{
		Name: ca.Name, Subject: cert.Subject.String(), Fingerprint: hex.EncodeToString(sum[:]),
		NotBefore: instant(cert.NotBefore.UnixMilli()), NotAfter: instant(cert.NotAfter.UnixMilli()),
	}, nil
}

// viewOrder says what the numbers of an order mean for those who will live with
// them. g may be nil.
func viewOrder(o *authority.Order, g *authority.Genesis) *orderView {
	v := &orderView{
		Name: o.Name, Purpose: o.Purpose, Threshold: o.T, Tolerate: o.F, Holders: o.Holders, PhaseSeconds: o.PhaseSeconds, NotBefore: o.NotBefore,
		Owner: o.Owner, Labels: o.Labels, NotAfter: o.NotAfter, RotateEvery: o.RotateEvery, Regions: o.Regions, Rotates: o.Key, Version: o.Version,
	}
	h, t, f := int(o.H()), int(o.T), int(o.F)
	say := func(format string, args ...any) { v.Means = append(v.Means, fmt.Sprintf(format, args...)) }
	warn := func(format string, args ...any) { v.Warnings = append(v.Warnings, fmt.Sprintf(format, args...)) }

	if o.Symmetric() {
		say("it is symmetric: any %d of the %d holders open what is encrypted; %s", t, h, together(t-1))
		if h == t {
			warn("nobody can check what is encrypted with it: one holder that lies makes what nobody can open")
		} else {
			say("encrypting asks %d of them, so that %s cannot make what nobody can open", t+f, plural(f, "liar"))
		}
		warn("who may encrypt with it can open what it encrypted: where writers must not read, use an asymmetric key")
		warn("where the policy permits unwrapBranch, the key of a branch is whole at whoever has it, and opens what is made in an interval of up to %s without asking, after a revoke too", api.BranchLength(time.Duration(longestBranch().Seconds)*time.Second))
		warn("its shares are never made anew: rotate it and encrypt again; an older version is secret as long as fewer than %d of all who ever held it are stolen", t)
	} else {
		say("any %d of the %d holders open what is wrapped; %s", t, h, together(t-1))
	}
	if h == t {
		warn("every holder is needed: when one is lost, everything wrapped under this key is lost")
	} else {
		say("%s may be down, and it still opens", plural(h-t, "holder"))
	}
	if i := o.Import; i != nil {
		v.Imports, v.Seed = fmt.Sprintf("%x", i.Y), fmt.Sprintf("%x", i.Seed)
		warn("whoever has the key now goes on having it: what is under it opens without any holder, too")
	}
	if f > 0 {
		say("its %s survives %s that may lie or be silent", v.comes(), plural(f, "holder"))
	}
	if o.NotBefore != 0 {
		say("it is not used before %s, unless custodians enable it", instant(o.NotBefore))
	}
	if o.NotAfter != 0 {
		say("it expires at %s, unless custodians put that off: then it opens what there is, and wraps nothing new", instant(o.NotAfter))
	}
	if o.RotateEvery != 0 {
		say("nodes order its next version every %v, among these holders; what is under older versions opens as before", time.Duration(o.RotateEvery)*time.Second)
	}
	if len(o.Regions) > 0 {
		say("it is pinned to %s: no node elsewhere ever holds a share of it", strings.Join(o.Regions, ", "))
	}
	if g == nil {
		return v
	}
	regions := map[string]int{}
	for _, holder := range o.Holders {
		if n := g.NodeByID(holder); n != nil {
			regions[n.Region]++
		} else {
			warn("%s is not on the roster", holder)
		}
	}
	for _, region := range sortedKeys(regions) {
		if h-regions[region] < t {
			warn("without the region %s it does not open: that leaves %s", region, plural(h-regions[region], "holder"))
		} else {
			say("without the region %s it still opens", region)
		}
	}
	return v
}

// comes is how the key comes to its holders.
func (v *orderView) comes() string {
	if v.Imports+v.Seed != "" {
		return "import"
	}
	return "birth"
}

// together says what fewer than the threshold have.
func together(n int) string {
	if n == 1 {
		return "1 alone learns nothing"
	}
	return fmt.Sprintf("%d together learn nothing", n)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// words writes the change for a custodian's eyes.
func (v *changeView) words(a *app, w io.Writer) {
	base := "nothing: it is new"
	if !v.Base.IsZero() {
		base = "the change " + v.Base.String()
	}
	notAfter := v.NotAfter
	if v.Expired {
		notAfter += " (over: it has no effect any more)"
	}
	facts(w, slices.Concat([]string{"change", v.ID.String()}, readOut(v.ID), []string{"kind", v.Kind, "cluster", v.Cluster.String(), "replaces", base, "not after", notAfter})...)
	fmt.Fprintln(w)
	switch {
	case v.Policy != nil:
		v.Policy.words(a, w)
	case v.CA != nil:
		fmt.Fprintln(w, "Certificates under this authority will be known to the cluster:")
		facts(w, "  name", v.CA.Name, "  subject", v.CA.Subject, "  valid from", v.CA.NotBefore, "  valid to", v.CA.NotAfter, "  sha256", v.CA.Fingerprint)
	case v.Key != nil:
		v.Key.words(a, w)
	case v.Denies != nil:
		fmt.Fprintln(w, v.Denies.Means)
		pairs := []string{"  " + v.Denies.Kind, orWord(v.Denies.Name, "all nodes")}
		if id, err := api.ParseDigest(v.Denies.Name); err == nil && v.Denies.Kind == authority.SubjectKey {
			pairs = append(pairs, "  name", a.keyName(api.KeyID(id)))
		}
		facts(w, pairs...)
		for _, m := range v.Denies.Warnings {
			fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
		}
	case v.Lifts != nil:
		fmt.Fprintln(w, "What this revoke or seal denies is permitted again, as far as policy goes, and its id is never taken again:")
		facts(w, "  id", v.Lifts.String())
	case v.Custody != nil:
		v.Custody.words(a, w)
	case v.KeyState != nil:
		v.KeyState.words(a, w)
	case v.KeyLabels != nil:
		v.KeyLabels.words(a, w)
	case v.Destroys != nil:
		v.Destroys.words(a, w)
	case v.Renewal != nil:
		v.Renewal.words(a, w)
	case v.Pool != nil:
		v.Pool.words(a, w)
	case v.Membership != nil:
		v.Membership.words(a, w)
	case v.Adopts != nil:
		v.Adopts.words(a, w)
	case v.Escrows != nil:
		v.Escrows.words(a, w)
	}
	fmt.Fprintln(w)
	for _, s := range v.Signers {
		fmt.Fprintf(w, "%s by %s (%s)\n", s.State, orWord(s.Name, "?"), s.Fingerprint)
	}
	switch {
	case !v.known:
		fmt.Fprintln(w, a.loud("No genesis document is known here: cluster and signers are not checked (--genesis FILE)."))
	case v.Missing > 0:
		fmt.Fprintf(w, "%d of %d required signatures; %d more needed\n", v.Required-v.Missing, v.Required, v.Missing)
	default:
		fmt.Fprintf(w, "signed by enough custodians (%d required); submit it with: warifu change submit FILE\n", v.Required)
	}
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func (v *policyView) words(a *app, w io.Writer) {
	if c := v.Against; c != nil && c.Unknown == "" {
		fmt.Fprintln(w, "This becomes the whole policy of the cluster.")
		c.words(a, w)
	} else {
		if c != nil {
			fmt.Fprintln(w, a.loud("What is in force is not known here, so nothing is compared (--against FILE): "+oneLine(c.Unknown)))
		}
		v.whole(w)
	}
	if v.Describe != "" {
		fmt.Fprintf(w, "in words:\n%s\n", indented(v.Describe))
	}
	facts(w, slices.Concat([]string{"zone", orWord(v.Zone, "UTC")}, v.rotation(), []string{"digest", v.Digest.String() + " (computed here)"})...)
	if v.Broken != "" {
		fmt.Fprintln(w, a.loud("It does not compile, and would deny everything: "+oneLine(v.Broken)))
	}
}

// rotation is the standing order of rotations as a fact, if there is one.
func (v *policyView) rotation() []string {
	if v.Rotate == 0 {
		return nil
	}
	return []string{"shares rotate", "every " + (time.Duration(v.Rotate) * time.Second).String()}
}

// whole writes the document part by part.
func (v *policyView) whole(w io.Writer) {
	fmt.Fprintln(w, "This becomes the whole policy of the cluster:")
	fmt.Fprintln(w, indented(v.Text))
	for _, part := range []struct{ name, text string }{{"entities", v.Entities}, {"limits", v.Limits}, {"schema", v.Schema}} {
		if part.text != "" {
			fmt.Fprintf(w, "%s:\n%s\n", part.name, indented(part.text))
		}
	}
}

func (v *orderView) words(a *app, w io.Writer) {
	if v.Rotates != nil {
		fmt.Fprintf(w, "Version %d of this key is born among these holders, in this order; what is under older versions opens as before:\n", v.Version)
		facts(w, "  key id", v.Rotates.String())
	} else if v.Imports != "" {
		fmt.Fprintf(w, "A key that is whole outside is shared by its owner among these holders, in this order:\n")
		facts(w, "  public key", v.Imports)
		fmt.Fprintln(w, a.loud("  ! compare the public key with what its owner says it is"))
	} else if v.Seed != "" {
		fmt.Fprintf(w, "A symmetric key follows from a seed outside, and is shared by its owner among these holders, in this order:\n")
		facts(w, "  hash of the seed", v.Seed)
		fmt.Fprintln(w, a.loud("  ! compare the hash with what its owner says it is"))
	} else {
		fmt.Fprintf(w, "A new key is born among these holders, in this order:\n")
	}
	pairs := []string{
		"  name", v.Name, "  purpose", v.Purpose, "  threshold", fmt.Sprintf("%d of %d", v.Threshold, len(v.Holders)),
		"  holders", strings.Join(v.Holders, ", "), "  a phase lasts", fmt.Sprintf("at most %d s", v.PhaseSeconds),
	}
	if v.Owner != "" {
		pairs = append(pairs, "  owner", v.Owner)
	}
	if len(v.Labels) > 0 {
		pairs = append(pairs, "  labels", strings.Join(labelled(v.Labels), " "))
	}
	facts(w, pairs...)
	for _, m := range v.Means {
		fmt.Fprintf(w, "  - %s\n", m)
	}
	for _, m := range v.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
}
