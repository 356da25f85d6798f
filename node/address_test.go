package node

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/ports"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/transport"
)

// moving is a node whose log commits at once, at home where its roster line says.
type moving struct {
	*testing.T
	*Node
	trial *trial.Cluster
	log   *fakeReplica
	tells int // how often it told others which claims it knows
	told  func()
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	c := trial.New(t, 2, 3)
	n, r := nodeOf(c)
	n.joined.Store(true)
	n.cfg.Client, n.cfg.Peer = n.genesis.Roster[0].Claim.Client, n.genesis.Roster[0].Claim.Peer
	return &moving{T: t, Node: n, trial: c, log: r, told: func() {}}
}

func (m *moving) look() {
	m.Helper()
	must(m.T, m.lookAddress(m.Context(), func(context.Context) { m.tells++; m.told() }))
}

// claim is one of a node, signed by signer.
func (m *moving) claim(signer, node string, counter uint64, peer string) authority.AddressClaim {
	m.Helper()
	c, err := authority.SignClaim(rand.Reader, m.trial.Node(signer), authority.AddressClaim{Node: node, Counter: counter, Client: "192.0.2.7:7700", Peer: peer})
	must(m.T, err)
	return c
}

// lookup is where this node calls another.
func (m *moving) lookup(id string) (string, transport.SPKI) {
	m.Helper()
	lookup, _ := m.rosterPins()
	address, key, ok := lookup(id)
	if !ok {
		m.Fatalf("%s is not known", id)
	}
	return address, key
}

// A node whose node.toml says other addresses than are claimed claims them, once, with the
// next number. One that is where its line says claims nothing, and tells nobody.
func TestANodeThatMovedClaimsItsAddresses(t *testing.T) {
	m := newMoving(t)
	m.look()
	if m.log.submitted != 0 || m.tells != 0 {
		t.Fatalf("it has not moved, and %d entries were submitted, others told %d times", m.log.submitted, m.tells)
	}
	first := m.genesis.Roster[0].Claim
	for i, peer := range []string{"192.0.2.9:7701", "192.0.2.10:7701", first.Peer} { // and at last it is back
		m.addresses.rest = 0
		m.cfg.Peer = peer
		m.look()
		m.look()
		claim := m.log.State().Claim("n1")
		if claim == nil || claim.Peer != peer || claim.Client != first.Client || claim.Counter != first.Counter+uint64(i)+1 {
			t.Fatalf("the ledger has %+v", claim)
		}
		if m.log.submitted != i+1 || m.tells != i+1 {
			t.Errorf("%d entries were submitted, others told %d times", m.log.submitted, m.tells)
		}
	}
}

// A copy of a node that runs elsewhere claims against it without end: each of them rests
// longer after each claim.
func TestANodeRestsBetweenItsClaims(t *testing.T) {
	m := newMoving(t)
	now := time.Duration(0)
	m.boot = func() time.Duration { return now }
	m.cfg.Peer = "192.0.2.9:7701"
	for ; now < time.Hour; now += addressTick {
		m.look()
		copied := m.storedClaim(m.pinned().nodes["n1"])
		if copied.Counter++; copied.Peer == m.cfg.Peer {
			must(t, m.hearClaim(wire.Encode(m.claim("n1", "n1", copied.Counter, "192.0.2.5:7701"))))
		}
	}
	if m.log.submitted < 5 || m.log.submitted > 20 {
		t.Errorf("in an hour it made %d claims", m.log.submitted)
	}
}

// Nobody leads a node that they call where it was: it tells them, and claims nothing in
// the ledger until it is led.
func TestANodeThatNobodyLeadsTellsItsClaims(t *testing.T) {
	m := newMoving(t)
	m.log.leader = ""
	m.look()
	if m.tells != 1 || len(m.newerClaims(m.pinned().lines())) != 0 {
		t.Errorf("it has not moved: it told %d times, %d claims", m.tells, len(m.newerClaims(m.pinned().lines())))
	}
	m.cfg.Peer = "192.0.2.9:7701"
	m.look()
	m.look()
	claims := m.newerClaims(m.pinned().lines())
	if m.tells != 3 || m.log.submitted != 0 || len(claims) != 1 {
		t.Fatalf("it told %d times, %d claims, submitted %d entries", m.tells, len(claims), m.log.submitted)
	}
	n2, _ := nodeOf(m.trial)
	n2.cfg.Node = "n2"
	n2.joined.Store(true)
	other := &moving{T: t, Node: n2}
	must(t, other.hearClaim(claims[0]))
	if at, _ := other.lookup("n1"); at != "192.0.2.9:7701" {
		t.Errorf("a member that was told calls it at %s", at)
	}
	m.log.leader = "n1"
	m.look()
	if c := m.log.State().Claim("n1"); c == nil || c.Peer != "192.0.2.9:7701" {
		t.Errorf("it is led, and the ledger has %+v", c)
	}
}

// A node that was stopped before it read its own claim, and moved once more, does not know
// which number it used: others tell it, and it goes on from there.
func TestANodeGoesOnFromAClaimThatItHasNotRead(t *testing.T) {
	m := newMoving(t)
	next := m.genesis.Roster[0].Claim.Counter + 1
	for _, at := range []uint64{next, next + 3} {
		before := m.claim("n1", "n1", at, "192.0.2.5:7701")
		m.addresses.rest = 0
		m.cfg.Peer, m.log.leader = "192.0.2.9:7701", ""
		m.told = func() { must(t, m.hearClaim(wire.Encode(before))) }
		m.look()
		m.told = func() {}
		m.log.leader = "n1"
		m.boot = func() time.Duration { return BootTime() + time.Hour }
		m.look()
		m.boot = BootTime
		if c := m.log.State().Claim("n1"); c == nil || c.Peer != "192.0.2.9:7701" || c.Counter != at+1 {
			t.Errorf("others know of claim %d, and the ledger has %+v", at, c)
		}
	}
}

// What a member tells of addresses is believed of the node that signed it, if it is newer
// than what is known; nothing else moves anybody.
func TestClaimsThatAreNotBelieved(t *testing.T) {
	m := newMoving(t)
	must(t, m.hearClaim(wire.Encode(m.claim("n2", "n2", 4, "192.0.2.2:7701"))))
	m.trial.Keys["n9"] = m.trial.NewKey()
	altered := m.claim("n3", "n3", 5, "192.0.2.3:7701")
	altered.Peer = "192.0.2.66:7701"
	known := map[string]string{}
	for _, id := range []string{"n2", "n3"} {
		known[id], _ = m.lookup(id)
	}
	for sentence, tt := range map[string]struct {
		message []byte
		quiet   bool // it is only old
	}{
		"one that is older":                       {wire.Encode(m.claim("n2", "n2", 3, "192.0.2.66:7701")), true},
		"one as new, of other addresses":          {wire.Encode(m.claim("n2", "n2", 4, "192.0.2.66:7701")), true},
		"one of another node, signed by a member": {wire.Encode(m.claim("n2", "n3", 9, "192.0.2.66:7701")), false},
		"one that was altered":                    {wire.Encode(altered), false},
		"one of a stranger":                       {wire.Encode(m.claim("n9", "n9", 9, "192.0.2.66:7701")), false},
		"one with an address without end":         {wire.Encode(m.claim("n2", "n2", 9, strings.Repeat("a", authority.MaxAddress+1))), false},
		"one without an address":                  {wire.Encode(m.claim("n2", "n2", 9, "")), false},
		"what is no claim":                        {[]byte("claim"), false},
	} {
		if err := m.hearClaim(tt.message); (err == nil) != tt.quiet {
			t.Errorf("%s: %v", sentence, err)
		}
		for id, at := range known {
			if now, _ := m.lookup(id); now != at {
				t.Errorf("%s: %s is called at %s", sentence, id, now)
			}
		}
	}
	if len(m.addresses.heard) != 1 {
		t.Errorf("%d claims are kept", len(m.addresses.heard))
	}
	if err := m.hearClaims(&api.ClaimsMessage{Claims: make([][]byte, maxClaims+1)}); err == nil {
		t.Error("a message of too many claims is read")
	}
	// One that is wrong does not hide the others.
	_ = m.hearClaims(&api.ClaimsMessage{Claims: [][]byte{[]byte("claim"), wire.Encode(m.claim("n3", "n3", 5, "192.0.2.3:7701"))}})
	if at, _ := m.lookup("n3"); at != "192.0.2.3:7701" {
		t.Errorf("n3 is called at %s", at)
	}
}

// Two nodes that say one address are two all the same: each is called with its own key,
// which only one of them proves there.
func TestAnAddressOfAnotherTakesNothingFromIt(t *testing.T) {
	m := newMoving(t)
	at, key := m.lookup("n3")
	must(t, m.hearClaim(wire.Encode(m.claim("n2", "n2", 2, at))))
	if now, pin := m.lookup("n2"); now != at || pin == key {
		t.Errorf("n2 is called at %s, with the key of n3: %v", now, pin == key)
	}
	if now, pin := m.lookup("n3"); now != at || pin != key {
		t.Errorf("n3 is called at %s, with its own key: %v", now, pin == key)
	}
}

// The newest claim wins, wherever it was read.
func TestTheNewestClaimWins(t *testing.T) {
	m := newMoving(t)
	say := func(c authority.AddressClaim) {
		t.Helper()
		e, err := authority.SignStatement(rand.Reader, m.trial.Node("n2"), m.genesis.Cluster, "n2", authority.KindAddress, c)
		must(t, err)
		must(t, m.trial.Apply(e.Encode()).Err)
	}
	for _, step := range []struct {
		counter uint64
		peer    string
		ledger  bool
	}{{2, "192.0.2.2:1", true}, {3, "192.0.2.2:2", false}, {5, "192.0.2.2:3", true}, {6, "192.0.2.2:4", false}} {
		if c := m.claim("n2", "n2", step.counter, step.peer); step.ledger {
			say(c)
		} else {
			must(t, m.hearClaim(wire.Encode(c)))
		}
		if at, _ := m.lookup("n2"); at != step.peer {
			t.Errorf("after claim %d it is called at %s", step.counter, at)
		}
	}
	for counter := range uint64(6) { // what was true once is told again
		_ = m.hearClaim(wire.Encode(m.claim("n2", "n2", counter, "192.0.2.2:9")))
		if at, _ := m.lookup("n2"); at != "192.0.2.2:4" {
			t.Errorf("when claim %d is told again, it is called at %s", counter, at)
		}
	}
}

// R24: a member tells its claims so often, and no oftener.
func TestAMemberTellsItsClaimsSoOften(t *testing.T) {
	m := newMoving(t)
	now := time.Unix(1000, 0)
	m.now = func() time.Time { return now }
	tell := func(member string) error {
		_, err := peerServer{m.Node}.Serve(t.Context(), &transport.Caller{PeerID: member}, api.MethodPeerClaims, wire.Encode(api.ClaimsMessage{}))
		return err
	}
	for i := range claimsPerSecond {
		if err := tell("n2"); err != nil {
			t.Fatalf("message %d: %v", i+1, err)
		}
	}
	var refused *transport.Refusal
	if err := tell("n2"); !errors.As(err, &refused) || refused.Code != string(api.CodeOverloaded) {
		t.Errorf("one more: %v", err)
	}
	if err := tell("n3"); err != nil {
		t.Errorf("another member: %v", err)
	}
}

// moves writes other addresses into the node.toml of a node, and holds those that it has
// left, so that what is sent there is lost.
func (c *cluster) moves(dir string) {
	c.t.Helper()
	cfg, err := LoadConfig(dir)
	must(c.t, err)
	path := filepath.Join(dir, configName)
	text, err := os.ReadFile(path)
	must(c.t, err)
	for _, old := range []string{cfg.Client, cfg.Peer} {
		left, err := net.ListenPacket("udp", old)
		must(c.t, err)
		c.t.Cleanup(func() { _ = left.Close() })
		next, err := ports.Listen("127.0.0.1")
		must(c.t, err)
		text = []byte(strings.Replace(string(text), old, next.LocalAddr().String(), 1))
		must(c.t, next.Close())
	}
	must(c.t, os.WriteFile(path, text, 0o600))
}

// A majority that moves at once finds each other by the one that stayed: a leader is
// elected, and the ledger takes both claims.
func TestAMajorityThatMovedAtOnceComesBack(t *testing.T) {
	c := newCluster(t)
	c.run(func() { c.logged(3, "state=unsealed") })
	c.moves(c.dirs[1])
	c.moves(c.dirs[2])
	c.run(func() {
		c.logged(2, "the ledger has this node's addresses")
		c.logged(6, "state=unsealed")
	})
	c.run(func() { c.logged(9, "state=unsealed") })
	if n := strings.Count(c.log.String(), "they are claimed"); n != 2 {
		t.Errorf("%d claims were made", n)
	}
}
