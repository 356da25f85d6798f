package client_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/transport"
)

// dialTimeout is what waiting for a silent node costs; a machine under load has
// all of it to be quicker.
const dialTimeout = 2 * time.Second

// refusalIn is how long a refusal may take that waits for nodes that are silent.
// It looks for the key first.
const refusalIn = 2*client.DefaultTimeout + dialTimeout

// within makes a few tries of what takes no time, so that one of them meets no moment at
// which a busy machine stands still.
func within(t *testing.T, d time.Duration, what string, try func()) {
	t.Helper()
	var took time.Duration
	for range 4 {
		began := time.Now()
		try()
		if took = time.Since(began); took <= d {
			return
		}
	}
	t.Errorf("%s took %v, each time", what, took)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUnwrapByQuorum(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	opens(t, cl, envelope)

	asked := map[api.RequestID]int{}
	for _, n := range c.nodes {
		for _, r := range n.requests() {
			asked[r.RequestID]++
			if r.Reason != "test" {
				t.Errorf("%s heard the reason %q", n.id, r.Reason)
			}
		}
	}
	if len(asked) != 1 {
		t.Errorf("one unwrap has %d request ids", len(asked))
	}
	for id, n := range asked {
		if n < 3 || id == (api.RequestID{}) {
			t.Errorf("%d nodes were asked under the request id %s", n, id)
		}
	}
}

func TestUnwrapWhileNodesAreDown(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	opens(t, cl, envelope)

	c.nodes["n1"].kill()
	c.nodes["n4"].kill()
	opens(t, cl, envelope)          // with connections that have died
	opens(t, c.client(t), envelope) // and with none yet

	c.nodes["n2"].kill()
	for _, cl := range []*client.Client{cl, c.client(t)} {
		began := time.Now()
		k, err := client.ParseKey(c.Genesis, c.Sign(c.key.Record, "n1", "n2", "n3"))
		if err != nil {
			t.Fatal(err)
		}
		cl.Use(k)
		_, err = cl.Unwrap(t.Context(), envelope, testContext, "test")
		q := quorumError(t, err)
		if took := time.Since(began); took > refusalIn {
			t.Errorf("took %v to say so", took)
		}
		if q.Need != 3 || q.Got != 2 || q.Denied() || errors.Is(err, client.ErrDenied) {
			t.Errorf("need %d, got %d, denied %v", q.Need, q.Got, q.Denied())
		}
		if !strings.HasPrefix(err.Error(), "quorum unavailable: 2 of 3 partials for key "+k.ID().String()) {
			t.Error(err)
		}
		for _, dead := range []string{"n1", "n2", "n4"} {
			if !strings.Contains(err.Error(), "\n  "+dead+": unreachable (127.0.0.1:") || strings.Count(err.Error(), "unreachable") != 3 {
				t.Errorf("%s is not named: %v", dead, err)
			}
		}
	}
}

// A process that is gone is known at once, not after a timeout.
func TestADeadProcessIsKnownAtOnce(t *testing.T) {
	c := newFakeCluster(t)
	for _, n := range c.nodes {
		n.kill()
	}
	within(t, dialTimeout, "to know of the dead", func() {
		if _, err := c.client(t).Record(t.Context(), "payroll"); err == nil {
			t.Fatal("nobody is there")
		}
	})
}

// mute is a socket that can be made to send nothing, as that of a killed process.
type mute struct {
	net.PacketConn
	off atomic.Bool
}

func (m *mute) WriteTo(b []byte, to net.Addr) (int, error) {
	if m.off.Load() {
		return len(b), nil
	}
	return m.PacketConn.WriteTo(b, to)
}

// A node that is killed and back at once answers the call that finds its
// connection lost, before silence would have told. A busy machine may stand still
// for as long: then it is another node's turn.
func TestANodeThatIsBackAtOnceAnswers(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	for i, id := range []string{"n1", "n2", "n3", "n4"} {
		took, err := diesAndReturns(t, cl, c.nodes[id], i)
		if err == nil && took < dialTimeout-200*time.Millisecond {
			return
		}
		t.Logf("%s, after %v: %v", id, took, err)
	}
	t.Error("none of four did")
}

// diesAndReturns kills the i-th node with a connection open, starts it again, and says how
// long its next answer took.
func diesAndReturns(t *testing.T, cl *client.Client, n *fakeNode, i int) (time.Duration, error) {
	t.Helper()
	n.kill()
	s, err := net.ListenPacket("udp", n.socket.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	m := &mute{PacketConn: s}
	n.socket = m
	n.start(t)
	for range 20 { // until QUIC has found the path's MTU, and sends nothing else that is long
		if err := cl.Status(t.Context())[i].Err; err != nil {
			return 0, err
		}
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	m.off.Store(true)
	n.kill()
	n.restart(t)
	began := time.Now()
	err = cl.Status(t.Context())[i].Err
	return time.Since(began), err
}

// What a look at the envelope tells is said before anybody is asked.
func TestALocalCheckComesFirst(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	other := dealt.New(t, 3, "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1")
	foreign, err := tdh2.Wrap(rand.Reader, other.Deal("payroll", 3, "n1", "n2", "n3").Public, testContext.Canonical(), testDEK)
	if err != nil {
		t.Fatal(err)
	}
	for name, it := range map[string]client.Item{
		"truncated":           {Envelope: envelope[:tdh2.MinEnvelope-1], Context: testContext},
		"empty":               {Context: testContext},
		"another cluster's":   {Envelope: foreign, Context: testContext},
		"an unusable context": {Envelope: envelope, Context: api.Context{"": "x"}},
	} {
		_, err := cl.Unwrap(t.Context(), it.Envelope, it.Context, "test")
		if !errors.Is(err, client.ErrEnvelope) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range c.nodes {
		if len(n.requests()) != 0 {
			t.Errorf("%s was asked", n.id)
		}
	}
}

// An envelope whose proof fails is named as that, by the client's own check, whatever
// holders say of it, and no further holder is asked. One that says so of a good
// envelope only costs the way to another.
func TestAnEnvelopeWhoseProofFailsIsNobodysLie(t *testing.T) {
	refuse := func(e *api.Error) func(*api.UnwrapRequest, *api.UnwrapAnswer) error {
		return func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
			a.Items[0] = api.ItemAnswer{Refusal: e}
			return nil
		}
	}
	denied := refuse(api.Refuse(api.CodeDenied, "the request is not permitted"))
	for said, twist := range map[string]func(*api.UnwrapRequest, *api.UnwrapAnswer) error{
		"what it is":  nil,
		"only denied": denied,
		// A point: of the generator, so that it decodes.
		"a partial all the same": func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
			a.Items[0] = api.ItemAnswer{Epoch: 1, Partial: group.Generator().Bytes()}
			return nil
		},
	} {
		c := newFakeCluster(t)
		cl := c.client(t)
		envelope := c.wrapped(t, cl)
		altered := slices.Clone(envelope)
		altered[240] ^= 1
		for id, n := range c.nodes {
			n.with(func() {
				n.twist = func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
					if twist == nil {
						return nil
					}
					err := twist(r, a)
					a.Items[0].Index = uint32(c.key.Places[id])
					return err
				}
			})
		}
		for name, it := range map[string]client.Item{
			"another context":  {Envelope: envelope, Context: api.Context{"app": "payroll", "row": "43"}},
			"no context":       {Envelope: envelope},
			"one byte altered": {Envelope: altered, Context: testContext},
		} {
			_, err := cl.Unwrap(t.Context(), it.Envelope, it.Context, "test")
			if !errors.Is(err, client.ErrEnvelope) || !errors.Is(err, tdh2.ErrEnvelopeProof) {
				t.Errorf("holders say %s, %s: %v", said, name, err)
			}
		}
		asked := 0
		for _, n := range c.nodes {
			asked += len(n.requests())
		}
		if said != "only denied" && asked > 3*3 {
			t.Errorf("holders say %s: they were asked %d times for three envelopes", said, asked)
		}
	}

	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	c.nodes["n1"].with(func() { c.nodes["n1"].twist = refuse(api.Refuse(api.CodeEnvelope, "no")) })
	dek, err := cl.Unwrap(t.Context(), envelope, testContext, "test")
	if err != nil || !dek.Equal(testDEK) {
		t.Fatalf("one holder refuses a good envelope: %v", err)
	}
}

// R14: a false partial is named, and does not stop the others.
func TestALiarIsNamedAndReplaced(t *testing.T) {
	unproven := func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		_ = lying(r, a)
		for i := range a.Items {
			a.Items[i].Proof = nil
		}
		return nil
	}
	silent := func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		if r.Items[0].Prove {
			return &transport.Refusal{Code: string(api.CodeOverloaded), Sentence: "no proofs today"}
		}
		return lying(r, a)
	}
	changing := func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		if r.Items[0].Prove {
			return nil // the proof is of the true partial
		}
		return lying(r, a)
	}
	offCurve := func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		a.Items[0].Partial[64] ^= 1
		return nil
	}
	// R1: the index is the holder's place in the order, whatever the wire says.
	indexed := func(index uint32) func(*api.UnwrapRequest, *api.UnwrapAnswer) error {
		return func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
			a.Items[0].Index = index
			return nil
		}
	}
	for name, twist := range map[string]func(*api.UnwrapRequest, *api.UnwrapAnswer) error{
		"a wrong point with a proof of another": lying,
		"a wrong point without a proof":         unproven,
		"a wrong point and no answer after":     silent,
		"a right point only when proof is due":  changing,
		"a point off the curve":                 offCurve,
		"index 0":                               indexed(0),
		"another holder's index":                indexed(1),
		"index h+1":                             indexed(6),
		"index 2^32-1":                          indexed(1<<32 - 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := newFakeCluster(t)
			cl := c.client(t)
			envelope := c.wrapped(t, cl)
			c.nodes["n2"].with(func() { c.nodes["n2"].twist = twist })
			c.nodes["n3"].with(func() { c.nodes["n3"].delay = 20 * time.Millisecond })
			c.nodes["n4"].kill()
			c.nodes["n5"].with(func() { c.nodes["n5"].twist = refusing(api.CodeDenied) })
			// n1, n2, n3 are left, and one of them lies: no quorum, and the liar is named.
			_, err := cl.Unwrap(t.Context(), envelope, testContext, "test")
			q := quorumError(t, err)
			if !strings.Contains(err.Error(), "\n  n2: false-partial: ") {
				t.Errorf("the liar is not named: %v", err)
			}
			if strings.HasPrefix(name, "a right point only") && !strings.Contains(err.Error(), "its first partial differs") {
				t.Errorf("what it did is not said: %v", err)
			}
			for _, r := range q.Reasons {
				if r.Code == api.CodeFalsePartial && r.Node != "n2" {
					t.Errorf("%s is blamed", r.Node)
				}
			}
			// With n5 honest again there are three honest ones.
			c.nodes["n5"].with(func() { c.nodes["n5"].twist = nil })
			opens(t, cl, envelope)
			// The liar is asked last from now on: it is not needed any more, unless all
			// are slow at once.
			spared := false
			for range 20 {
				before := len(c.nodes["n2"].requests())
				opens(t, cl, envelope)
				spared = spared || len(c.nodes["n2"].requests()) == before
			}
			if !spared {
				t.Error("the liar was asked again, each time")
			}
		})
	}
}

func TestTwoLiarsOfFiveDoNotStopAnUnwrap(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	for _, n := range []string{"n1", "n2"} {
		c.nodes[n].with(func() { c.nodes[n].twist = lying })
	}
	for _, n := range []string{"n3", "n4", "n5"} { // the liars are the nearest
		c.nodes[n].with(func() { c.nodes[n].delay = 30 * time.Millisecond })
	}
	opens(t, cl, envelope)
}

// R10: partials of two epochs are never combined.
func TestEpochsAreNeverMixed(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	elsewhere := func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		a.Items[0].Epoch = 2
		return nil
	}
	c.nodes["n1"].with(func() { c.nodes["n1"].twist = elsewhere })
	c.nodes["n2"].with(func() { c.nodes["n2"].twist = elsewhere })
	opens(t, cl, envelope) // with n3, n4 and n5
	if n := len(c.nodes["n3"].requests()) + len(c.nodes["n4"].requests()) + len(c.nodes["n5"].requests()); n != 3 {
		t.Errorf("the three of one epoch were asked %d times", n)
	}
	c.nodes["n3"].kill()
	// The four partials are all right, but no three of one epoch: nothing opens.
	_, err := cl.Unwrap(t.Context(), envelope, testContext, "test")
	if q := quorumError(t, err); q.Got != 2 {
		t.Errorf("%d partials of one epoch", q.Got)
	}
	for _, n := range c.nodes {
		if n.proofs.Load() != 0 {
			t.Errorf("%s was asked for a proof", n.id)
		}
	}
}

func TestDeniedEverywhere(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	for _, n := range c.nodes {
		n.with(func() { n.twist = refusing(api.CodeDenied) })
	}
	_, err := cl.Unwrap(t.Context(), envelope, testContext, "test")
	q := quorumError(t, err)
	if !errors.Is(err, client.ErrDenied) || len(q.Reasons) != 5 || q.Got != 0 {
		t.Error(err)
	}
}

func TestUnauthenticated(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	for _, n := range c.nodes {
		n.with(func() {
			n.twist = func(*api.UnwrapRequest, *api.UnwrapAnswer) error {
				return &transport.Refusal{Code: transport.CodeUnauthenticated, Sentence: "who \x1b[31mare you"}
			}
		})
	}
	_, err := cl.Unwrap(t.Context(), envelope, testContext, "test")
	if !errors.Is(err, client.ErrUnauthenticated) || errors.Is(err, client.ErrDenied) {
		t.Error(err)
	}
	if strings.Contains(err.Error(), "\x1b") {
		t.Error("a node writes to the terminal")
	}
}

// If all proofs hold and the envelope does not open, it is corrupt: nobody is blamed.
func TestACorruptEnvelopeBlamesNobody(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	good := c.wrapped(t, cl)
	bad := corrupt(t, c.key.Public, testContext)
	_, err := cl.Unwrap(t.Context(), bad, testContext, "test")
	if !errors.Is(err, client.ErrEnvelope) || !errors.Is(err, tdh2.ErrCorruptEnvelope) || errors.Is(err, client.ErrQuorum) {
		t.Fatal(err)
	}
	var proofs int64
	for _, n := range c.nodes {
		proofs += n.proofs.Load()
	}
	if proofs != 3 {
		t.Errorf("%d proofs were asked for", proofs)
	}
	opens(t, cl, good)
}

// corrupt makes an envelope whose proof holds, around noise: what a faulty or
// hostile wrapper may store. The layout and the challenge are those of the
// envelope (crypto: TDH2, formula of the proof over label and every other byte).
func corrupt(t *testing.T, pk *tdh2.PublicKey, context api.Context) []byte {
	t.Helper()
	scalar := func() *group.Scalar {
		s, err := group.RandomScalar(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	r, s := scalar(), scalar()
	second := group.SecondGenerator()
	noise := make([]byte, 32+12+32+16)
	rand.Read(noise)
	version := []byte{0, 0, 0, byte(pk.Version)}
	u, uBar := group.BaseMul(r).Bytes(), second.Mul(r).Bytes()
	digest := tag.Hash(tag.EnvelopeChallenge, []byte{1}, []byte{1}, pk.Cluster[:], pk.KeyID[:], version,
		pk.W.Bytes(), context.Canonical(), u, uBar, group.BaseMul(s).Bytes(), second.Mul(s).Bytes(), noise)
	e := group.ScalarFromHash(digest[:])
	return slices.Concat([]byte{1, 1}, pk.Cluster[:], pk.KeyID[:], version, u, uBar, noise, e.Bytes(), s.Add(e.Mul(r)).Bytes())
}

func TestHedging(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	for range 3 {
		opens(t, cl, envelope)
	}
	// Two of those asked hang; the others are asked before any timeout.
	for _, n := range []string{"n1", "n2"} {
		c.nodes[n].with(func() { c.nodes[n].delay = time.Minute })
	}
	began := time.Now()
	opens(t, cl, envelope)
	if took := time.Since(began); took > 3500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestBatch(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	k, err := cl.Record(t.Context(), "payroll")
	if err != nil {
		t.Fatal(err)
	}
	// n1 lies about every third item only.
	c.nodes["n1"].with(func() {
		c.nodes["n1"].twist = func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
			for i := range a.Items {
				if i%3 == 2 {
					a.Items[i].Partial = group.BaseMul(group.SmallScalar(9)).Bytes()
				}
			}
			return nil
		}
	})
	var items []client.Item
	var deks []secret.Bytes
	for i := range 20 {
		sum := sha256.Sum256([]byte{byte(i)})
		dek := secret.New(sum[:])
		e, err := k.Wrap(rand.Reader, testContext, dek)
		if err != nil {
			t.Fatal(err)
		}
		items, deks = append(items, client.Item{Envelope: e, Context: testContext}), append(deks, dek)
	}
	items[4].Context = nil
	for i, r := range cl.UnwrapBatch(t.Context(), items, "test") {
		switch {
		case i == 4 && !errors.Is(r.Err, client.ErrEnvelope):
			t.Errorf("item 4 under another context: %v", r.Err)
		case i != 4 && r.Err != nil:
			t.Errorf("item %d: %v", i, r.Err)
		case i != 4 && !r.DEK.Equal(deks[i]):
			t.Errorf("item %d: another data key", i)
		}
	}
	if r := cl.UnwrapBatch(t.Context(), items[:1], strings.Repeat("x", api.MaxReason+1)); r[0].Err == nil {
		t.Error("a reason of any length")
	}
}

func TestAnAnswerOfTheWrongShape(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	for _, n := range c.nodes { // R3
		n.with(func() {
			n.twist = func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
				a.Items = nil
				return nil
			}
		})
	}
	_, err := cl.Unwrap(t.Context(), envelope, testContext, "test")
	if quorumError(t, err); !errors.Is(err, client.ErrAnswer) {
		t.Error(err)
	}
}

func TestACancelledUnwrapEnds(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	for _, n := range c.nodes {
		n.with(func() { n.delay = time.Minute })
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := cl.Unwrap(ctx, envelope, testContext, "test")
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err = cl.Unwrap(t.Context(), envelope, testContext, "test")
	if q := quorumError(t, err); len(q.Reasons) != 5 || q.Reasons[0].Code != api.CodeTimeout {
		t.Error(err)
	}
}

// Silent hosts, where not even "nobody listens there" comes back, cost a dial's
// timeout once, and a quorum without them costs none.
func TestSilentHosts(t *testing.T) {
	c := newFakeCluster(t)
	envelope := c.wrapped(t, c.client(t))
	silence := func(id string) {
		n := c.nodes[id]
		n.kill()
		s, err := net.ListenPacket("udp", n.socket.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
	}
	silence("n1")
	silence("n2")
	within(t, dialTimeout, "an unwrap with three of five there", func() { opens(t, c.client(t), envelope) })
	silence("n3")
	began := time.Now()
	_, err := c.client(t).Unwrap(t.Context(), envelope, testContext, "test")
	quorumError(t, err)
	if took := time.Since(began); took > refusalIn {
		t.Errorf("took %v to say that there is no quorum", took)
	}
	t.Logf("no quorum after %v: %v", time.Since(began), err)
}
