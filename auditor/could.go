package auditor

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
)

// What a principal could have done.
const (
	CouldYes     = "yes"             // whatever it had said
	CouldMaybe   = "under condition" // it depends on the context, the place, the time, a reason, grants
	CouldGranted = "with a grant"    // with one of those that were in force
	CouldNoGrant = "no, ungranted"   // it took a grant, and none was in force
	CouldTooFew  = "no, too few"     // fewer holders than it takes would have said yes, where they are
	CouldRevoked = "no, revoked"     // the policy would have permitted it
)

// Could is what one principal could have done at that time.
type Could struct {
	Principal string          `json:"principal"`
	Verdict   string          `json:"could"`
	Clauses   []policy.Clause `json:"rules,omitempty"`
	Grants    []Granted       `json:"grants,omitempty"`
	Revoked   *api.Digest     `json:"revoked_by,omitempty"`
}

// Granted is a grant in force.
type Granted struct {
	ID        api.Digest `json:"id"`
	Reason    string     `json:"reason"`
	Uses      uint32     `json:"uses"`
	NotBefore int64      `json:"not_before_ms"`
	NotAfter  int64      `json:"not_after_ms"`
	Meets     []string   `json:"meets"` // approvals of the policy in force
}

// WhoCould answers which principals could have used a key at a time.
type WhoCould struct {
	Key      string           `json:"key"`
	Action   string           `json:"action"`           // of the policy
	KeyID    *api.KeyID       `json:"key_id,omitempty"` // nil: the export has no record of it
	Order    *authority.Order `json:"-"`
	At       int64            `json:"ledger_time_ms"`
	Index    uint64           `json:"ledger_index"` // of the newest entry up to then
	Policy   api.Digest       `json:"policy_digest"`
	Change   api.Digest       `json:"policy_change"` // that put it in force
	Since    int64            `json:"policy_since_ms"`
	Nobody   []string         `json:"nobody,omitempty"` // why nobody could at all
	Who      []Could          `json:"principals"`
	Never    int              `json:"never"`   // principals that the policy names, and never permits
	NotKnown []string         `json:"unknown"` // what entries cannot tell
}

// AnchorPeriod is how far ledger time may be behind the clocks, in milliseconds:
// nodes sign theirs into the ledger once a minute.
const AnchorPeriod = 60_000

// WhoCould verifies the export and works out, from the signed policy and the signed
// entries alone, who could have unwrapped with a key, given by name or by id, at a
// ledger time. Those who could under a condition are listed with the rules, whatever
// is known otherwise: it says too many rather than too few.
func (f *Folder) WhoCould(given Given, key string, at int64) (*WhoCould, *Report, error) {
	return f.WhoCouldDo(given, policy.Unwrap, key, at)
}

// WhoCouldDo is [Folder.WhoCould] for an action of the policy.
func (f *Folder) WhoCouldDo(given Given, action, key string, at int64) (*WhoCould, *Report, error) {
	report, err := f.Verify(given, nil)
	if err != nil {
		return nil, nil, err
	}
	w := f.whoCould(report.History, action, key, at)
	for _, n := range report.Nodes {
		if n.Absent != "" || n.Damage != nil {
			w.unknown("the log of %s is not in this answer", n.Node)
		}
	}
	return w, report, nil
}

func (w *WhoCould) unknown(format string, args ...any) {
	w.NotKnown = append(w.NotKnown, fmt.Sprintf(format, args...))
}

func (w *WhoCould) nobody(format string, args ...any) {
	w.Nobody = append(w.Nobody, fmt.Sprintf(format, args...))
}

func (f *Folder) whoCould(h *History, action, key string, at int64) *WhoCould {
	s := h.At(at)
	w := &WhoCould{Key: key, Action: action, At: at, Who: []Could{}, NotKnown: slices.Concat(h.Doubts, s.Doubts)}
	if s.Last != nil {
		w.Index = s.Last.Index
	}
	for _, r := range f.Keys {
		if name := r.Order().Name; name == key || r.Key.String() == strings.ToLower(key) {
			w.Key, w.KeyID = name, &r.Key
		}
	}
	w.Order = s.Orders[w.Key]
	w.followReshares(s)
	w.judgeType()
	w.judgeKey(s)
	w.judgeAdmission(s)
	w.judgePolicy(f, s)
	w.unknown("ledger time may be up to %d s behind the nodes' clocks: what was decided so shortly after a change may have been decided before it", AnchorPeriod/1000)
	w.unknown("which certificates an authority gave to whom, and who held their keys, no entry says")
	return w
}

// followReshares puts the threshold and the holders of the newest reshare in the place
// of those of the first order.
func (w *WhoCould) followReshares(s *InForce) {
	if w.Order == nil || len(s.Reshares) == 0 {
		return
	}
	if w.KeyID == nil {
		w.unknown("keys were reshared, and without a record of this key it is not known whether it was among them")
		return
	}
	order := *w.Order
	for _, r := range s.Reshares {
		if r.Concerns(*w.KeyID) {
			order.T, order.F, order.Holders = r.T, r.F, r.Holders
			w.unknown("a reshare to %d of %s was ordered: until it was done, and for a minute after, the holders before it could as well",
				r.T, strings.Join(r.Holders, ", "))
		}
	}
	w.Order = &order
}

// judgeType asks whether keys of this type have the action.
func (w *WhoCould) judgeType() {
	if w.Order == nil {
		return
	}
	switch symmetric := w.Order.Symmetric(); {
	case w.Action == policy.UnwrapBranch && !symmetric:
		w.nobody("the key is asymmetric: it has no branches")
	case w.Action == policy.UnwrapBranch:
		w.unknown("whoever was given a branch key before could go on with that branch without asking: ask at the time when its interval began, too")
	case w.Action == policy.Encrypt && !symmetric:
		w.nobody("the key is asymmetric: whoever has its public half wraps under it offline, and no policy is asked")
	case w.Action == policy.Unwrap && symmetric:
		w.unknown("whoever could encrypt could open what it encrypted itself: ask who could encrypt; items of branches open by branch keys: ask who could unwrapBranch")
	}
}

// judgeKey asks whether there was anything to use.
func (w *WhoCould) judgeKey(s *InForce) {
	switch {
	case w.Order == nil:
		w.nobody("no key of this name was ordered by then")
	case w.KeyID == nil:
		w.unknown("the export has no record of this key: whether it was born by then, or revoked by its id, is not known")
	case !s.born(*w.KeyID):
		w.nobody("the key was not born by then")
	}
	if w.KeyID != nil {
		if by := s.denied(authority.Subject{Kind: authority.SubjectKey, Name: w.KeyID.String()}); by != nil {
			w.nobody("the key was revoked by %s, at %s", by.ID, instant(by.Time))
		}
	}
	w.judgeState(s)
	if by := s.denied(authority.Subject{Kind: authority.SubjectCluster}); by != nil {
		w.nobody("the cluster was sealed by %s, at %s", by.ID, instant(by.Time))
	}
	if w.Order == nil {
		return
	}
	var sealed []string
	for _, holder := range w.Order.Holders {
		if s.denied(authority.Subject{Kind: authority.SubjectNode, Name: holder}) != nil {
			sealed = append(sealed, holder)
		}
	}
	if left := len(w.Order.Holders) - len(sealed); left < int(w.Order.T) {
		w.nobody("%s were sealed: %d holders were left, and it takes %d", strings.Join(sealed, ", "), left, w.Order.T)
	} else if len(sealed) > 0 {
		w.unknown("%s were sealed; enough holders were left", strings.Join(sealed, ", "))
	}
}

// judgeAdmission asks whether anybody was known at all.
func (w *WhoCould) judgeAdmission(s *InForce) {
	good := 0
	for _, name := range sortedKeys(s.CAs) {
		if by := s.denied(authority.Subject{Kind: authority.SubjectCA, Name: name}); by != nil {
			w.unknown("the authority %s was revoked: whoever had a certificate under it alone could not", name)
			continue
		}
		cert, err := caOf(s.CAs[name])
		if err != nil {
			w.unknown("the certificate of the authority %s does not parse: whoever had one under it alone could not", name)
			continue
		}
		if s.denied(authority.Subject{Kind: authority.SubjectCertificate, Name: authority.SPKIHash(cert.RawSubjectPublicKeyInfo).String()}) != nil {
			w.unknown("the key of the authority %s was revoked: whoever had a certificate under it alone could not", name)
			continue
		}
		if ms := cert.NotAfter.UnixMilli(); ms < w.At {
			w.unknown("the certificate of the authority %s was over at %s: whoever had one under it alone could not", name, instant(ms))
			continue
		}
		good++
	}
	if good == 0 {
		w.nobody("no authority for applications was in force")
	}
	for sub := range s.Denials {
		if sub.Kind == authority.SubjectCertificate && s.denied(sub) != nil {
			w.unknown("the certificate key %s was revoked; whose it was, no entry says", sub.Name)
		}
	}
	slices.Sort(w.NotKnown)
}

// judgePolicy asks the policy that was in force.
func (w *WhoCould) judgePolicy(f *Folder, s *InForce) {
	if s.Policy == nil {
		w.nobody("no policy was in force")
		return
	}
	body := s.Policy.Change.Body
	w.Policy, w.Change, w.Since = tag.Hash(tag.PolicyDigest, body), s.Policy.ID, s.Policy.Time
	d, err := policy.DecodeDocument(body)
	var p *policy.Policy
	if err == nil {
		p, err = policy.Compile(d)
	}
	if err != nil {
		w.nobody("the policy in force did not compile: %v", err)
		return
	}
	r := policy.Request{Action: w.Action, KeyName: w.Key}
	if w.KeyID != nil {
		r.KeyID = *w.KeyID
		if w.Order != nil {
			_, said := s.lifeOf(r.KeyID, w.Order)
			r.Labels = said.Labels
		}
	}
	for _, principal := range p.Principals() {
		v, clauses := p.Could(principal, r)
		if v == policy.Never {
			w.Never++
			continue
		}
		c := Could{Principal: principal, Verdict: CouldYes, Clauses: clauses}
		if v == policy.Sometimes {
			c.Verdict = CouldMaybe
		}
		if without, _ := p.Possible(principal, r, "grants"); without == policy.Never {
			c.Verdict = CouldNoGrant
			if c.Grants = w.granted(s, p, principal, r); len(c.Grants) > 0 {
				c.Verdict = CouldGranted
			}
		}
		if w.Order != nil && f.willing(s, p, principal, r, w.Order) < int(w.Order.T) {
			c.Verdict = CouldTooFew
		}
		if by := s.denied(authority.Subject{Kind: authority.SubjectPrincipal, Name: principal}); by != nil {
			c.Verdict, c.Revoked = CouldRevoked, &by.ID
		}
		w.Who = append(w.Who, c)
	}
}

// willing counts the holders that were not sealed, and that could have said yes in the
// region that the roster has for them.
func (f *Folder) willing(s *InForce, p *policy.Policy, principal string, r policy.Request, o *authority.Order) int {
	count := 0
	for _, holder := range o.Holders {
		n := f.everyone.NodeByID(holder)
		if n == nil || s.denied(authority.Subject{Kind: authority.SubjectNode, Name: holder}) != nil {
			continue
		}
		r.NodeRegion = n.Region
		if v, _ := p.Possible(principal, r, "nodeRegion"); v != policy.Never {
			count++
		}
	}
	return count
}

// granted lists the grants that would have carried a principal's request.
func (w *WhoCould) granted(s *InForce, p *policy.Policy, principal string, r policy.Request) []Granted {
	var out []Granted
	listed := map[api.Digest]bool{} // several nodes may have put one grant
	for _, e := range s.Grants {
		g, err := authority.ParseGrant(e.Grant)
		id := e.Grant.ID()
		if err != nil || listed[id] || g.Principal != principal || g.Action != w.Action || w.KeyID == nil || g.Key != *w.KeyID || w.At < g.NotBefore || w.At > g.NotAfter {
			continue
		}
		if s.denied(authority.Subject{Kind: authority.SubjectGrant, Name: id.String()}) != nil {
			continue
		}
		r.Grants = approvedBy(e.Grant, p)
		if v, _ := p.Possible(principal, r, "grants"); v == policy.Never {
			continue
		}
		listed[id] = true
		out = append(out, Granted{ID: id, Reason: g.Reason, Uses: g.Uses, NotBefore: g.NotBefore, NotAfter: g.NotAfter, Meets: r.Grants})
	}
	return out
}

// approvedBy lists the approvals of a policy that a grant's signatures meet, sorted.
func approvedBy(e *authority.Entry, p *policy.Policy) []string {
	var signed []string
	for _, who := range p.Approvers() {
		if len(authority.Approvers(e, [][]byte{who.Key})) > 0 {
			signed = append(signed, who.Name)
		}
	}
	return p.Met(signed)
}

func caOf(e *Entry) (*x509.Certificate, error) {
	var ca authority.CA
	if err := wire.Decode(e.Change.Body, &ca); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(ca.Certificate)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
