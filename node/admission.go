package node

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/policy"
	"warifu.dev/transport"
)

// class is what a caller may ask for, beside what policy decides on.
type class string

const (
	classCustodian   class = "custodian"
	classFormer      class = "former custodian" // whose piece this node still needs
	classApplication class = "application"
	classOperator    class = "operator"
	classAuditor     class = "auditor"
	classRevoked     class = "revoked"
)

// session is what admission learned of one connection.
type session struct {
	custodian string // name, for the class custodian
	key       authority.Fingerprint
	principal string // SPIFFE ID, for all others
	unproven  bool   // the node was stale, and knew no CA that its chain leads to
	source    netip.Addr
	leaf      *x509.Certificate
	chain     []*x509.Certificate
	verified  sync.Map // ledger.State.CAsAt() → time.Time of the verification
	submitted rate
	proofs    rate
	receipts  rate
	pages     rate
	once      sync.Once
	denied    []authority.Subject // by once; see subjects
}

// reverify is how often a chain is verified anew on an open connection.
const reverify = time.Minute

// maxVerified bounds the CA sets that one connection remembers.
const maxVerified = 8

// admit decides, at the handshake, whether a caller is anybody this cluster
// knows: a custodian in force by its key, or one whose piece opens this node's seal; an
// application by a CA that the ledger names.
func (n *Node) admit(c *transport.Caller) error {
	s := &session{leaf: c.Chain[0], chain: c.Chain}
	if u, ok := c.Remote.(*net.UDPAddr); ok {
		s.source = u.AddrPort().Addr().Unmap()
	}
	if pub, ok := s.leaf.PublicKey.(*ecdsa.PublicKey); ok && len(c.Chain) == 1 {
		if b, err := pub.Bytes(); err == nil {
			s.key = authority.FingerprintOf(b)
			cust := n.consensus.Committed().Custody().CustodianByKey(s.key)
			if cust == nil {
				cust = n.opensHere(s.key)
			}
			if cust != nil {
				s.custodian = cust.Name
				c.Identity, c.Few = s, true
				return nil
			}
		}
	}
	uri, err := transport.VerifyClientChain(c.Chain, n.consensus.Committed().TrustedCAs(), n.now())
	switch {
	case err == nil:
		s.principal = uri
	case errors.Is(err, transport.ErrUnknownCA) && len(s.leaf.URIs) == 1 && n.freshEnough() != nil:
		// This node may not have read of the CA yet. Each request asks again, and
		// hears that the node is stale until it is not.
		s.principal, s.unproven = s.leaf.URIs[0].String(), true
	default:
		n.strangers.Add(1)
		return err
	}
	c.Identity = s
	return nil
}

// Reasons why a caller that was admitted is not any more.
var (
	// errNotStanding means the certificate is of another identity than at the handshake.
	errNotStanding = errors.New("the certificate no longer names this principal")
	// errRevoked means the principal, or a key in its chain, is revoked.
	errRevoked = errors.New("revoked")
	// errReplaced means that the custodian was one, and is none any more.
	errReplaced = errors.New("the custodians were replaced, and this one is none of them")
)

// standing asks a state whether an application is still admitted: neither it nor a
// key of its chain is revoked there, its chain leads to a CA in force, and is valid
// at this time. What is remembered is that the chain verifies; revocation is asked
// every time.
func (s *session) standing(state *ledger.State, now time.Time) error {
	if s.unproven { // what its certificate names may be another's
		if err := s.chained(state, now); err != nil {
			return err
		}
	}
	if by, is := state.Revoked(s.subjects()...); is {
		return fmt.Errorf("%w by %s", errRevoked, by)
	}
	if now.Before(s.leaf.NotBefore) || now.After(s.leaf.NotAfter) {
		return transport.ErrExpired
	}
	return s.chained(state, now)
}

// chained says whether the chain leads to a CA in force, and remembers that it does.
func (s *session) chained(state *ledger.State, now time.Time) error {
	at := state.CAsAt()
	if last, ok := s.verified.Load(at); ok && now.Sub(last.(time.Time)).Abs() < reverify {
		return nil
	}
	uri, err := transport.VerifyClientChain(s.chain, state.TrustedCAs(), now)
	if err != nil {
		return err
	}
	if uri != s.principal {
		return errNotStanding
	}
	count := 0
	s.verified.Range(func(any, any) bool { count++; return true })
	if count >= maxVerified {
		s.verified.Clear()
	}
	s.verified.Store(at, now)
	return nil
}

// subjects lists what a revoke that concerns this caller may name, its chain's keys
// first.
func (s *session) subjects() []authority.Subject {
	s.once.Do(func() {
		for _, c := range s.chain {
			s.denied = append(s.denied, ledger.CertificateSubject(c))
		}
		if s.principal != "" {
			s.denied = append(s.denied, authority.Subject{Kind: authority.SubjectPrincipal, Name: s.principal})
		}
	})
	return s.denied
}

// classOf says what this caller may ask for now. One that is revoked is of the
// class revoked, which may ask for unwraps: the gate refuses them in the words it
// has for everything that is not permitted, and records it (R28).
func (n *Node) classOf(s *session) (class, error) {
	committed, tail := n.states()
	now := n.now()
	former := false
	for _, state := range []*ledger.State{committed, tail} {
		err := error(nil)
		if s.custodian == "" {
			err = s.standing(state, now)
		} else if _, is := state.Revoked(s.subjects()...); is {
			err = errRevoked
		} else if state.Custody().CustodianByKey(s.key) == nil {
			if former = true; n.opensHere(s.key) == nil {
				err = errReplaced
			}
		}
		if errors.Is(err, errRevoked) {
			return classRevoked, nil
		}
		if err != nil {
			if stale := n.freshEnough(); stale != nil {
				return "", stale
			}
			return "", api.Refuse(api.CodeUnauthenticated, "%v", err)
		}
	}
	switch {
	case former:
		return classFormer, nil
	case s.custodian != "":
		return classCustodian, nil
	}
	p, err := n.policies.of(committed)
	if err != nil {
		return classApplication, nil
	}
	switch p.Class(s.principal) {
	case policy.Operator:
		return classOperator, nil
	case policy.Auditor:
		return classAuditor, nil
	}
	return classApplication, nil
}

// policies finds the compiled policy of a state.
type policies struct {
	mu       sync.Mutex
	compiled map[api.Digest]compiled // guarded by mu
	last     atomic.Pointer[compiled]
}

type compiled struct {
	digest api.Digest
	policy *policy.Policy
	err    error
}

// maxCompiled bounds the policies kept compiled: committed, tail, and a few before.
const maxCompiled = 8

var errNoPolicy = errors.New("no policy is in force")

func (p *policies) of(s *ledger.State) (*policy.Policy, error) {
	in := s.Policy()
	if in == nil {
		return nil, errNoPolicy
	}
	if c := p.last.Load(); c != nil && c.digest == in.Digest {
		return c.policy, c.err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.compiled[in.Digest]
	if !ok {
		c = compiled{digest: in.Digest}
		d, err := policy.DecodeDocument(in.Document)
		if err == nil {
			c.policy, err = policy.Compile(d)
		}
		if err != nil {
			c.err = fmt.Errorf("the policy in force does not compile: %w", err)
		}
		if len(p.compiled) >= maxCompiled || p.compiled == nil {
			p.compiled = map[api.Digest]compiled{}
		}
		p.compiled[in.Digest] = c
	}
	p.last.Store(&c)
	return c.policy, c.err
}

// rate bounds what one connection may ask for in a second.
type rate struct {
	mu     sync.Mutex
	second int64 // guarded by mu
	count  int   // guarded by mu
}

// What one connection may ask for in a second.
const (
	submissionsPerSecond = 20  // custodians work by hand
	receiptsPerSecond    = 50  // each is a signature
	pagesPerSecond       = 40  // each is up to a frame of 1 MiB, read from the disk
	proofsPerSecond      = 100 // a share proof is asked for when an opening failed, and costs four multiplications
)

// peerUnitsPerSecond bounds what one member may submit through a leader: units of
// an entry and each 4 KiB of it. Raft verifies and writes on one goroutine, and an
// entry that is validly signed, such as a member's own anchor, is kept for ever: a
// member that does nothing but submit must not stall the others, or fill their
// disks in a day. Honest ones pass on a few posts in each ceremony, and what
// custodians do by hand.
const (
	peerUnitsPerSecond = 256
	peerUnit           = 4 << 10
)

// clientUnitsPerSecond bounds, in the same units, what one node takes of clients for
// the log in a second: so much of all custodians together, and so much of everybody
// else. What is over is the node's own, for its posts in ceremonies, so that no
// number of clients uses up what the leader takes from it. It holds an entry of the
// largest size.
const clientUnitsPerSecond = peerUnitsPerSecond * 3 / 8

// handed is what clients have handed in at this node for the log.
type handed struct{ custodians, others rate }

// by is the rate that a client's submissions count in.
func (h *handed) by(s *session) *rate {
	if s.custodian != "" {
		return &h.custodians
	}
	return &h.others
}

// unitsOf is what an entry counts.
func unitsOf(size int) int { return 1 + size/peerUnit }

// peerRates are the rates of members, by id: of whom the roster has, and had. The zero
// value is ready.
type peerRates struct{ of sync.Map } // string → *rate

// allow says whether a member may submit an entry of this size now.
func (r *peerRates) allow(peer string, size int, now time.Time) bool {
	of, _ := r.of.LoadOrStore(peer, &rate{})
	return of.(*rate).allow(now, unitsOf(size), peerUnitsPerSecond)
}

// freshPerSecond bounds how often a second one member may ask how far this node's log
// reaches. Each answer is signed; an honest member asks every [freshPeriod], and again
// after it was started.
const freshPerSecond = 4

// asks says whether a member may ask for one more answer of a kind now, of so many a
// second.
func (r *peerRates) asks(peer string, now time.Time, most int) bool {
	of, _ := r.of.LoadOrStore(peer, &rate{})
	return of.(*rate).allow(now, 1, most)
}

// allow counts n more, and says whether the second has room for them.
func (r *rate) allow(now time.Time, n, most int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := now.Unix(); s != r.second {
		r.second, r.count = s, 0
	}
	r.count += n
	return r.count <= most
}
