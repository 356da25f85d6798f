package cluster_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

// capture keeps every packet that passed a relay.
type capture struct {
	mu      sync.Mutex
	packets map[cluster.Channel][][]byte // guarded by mu
}

func (c *capture) tap(p cluster.Packet) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets[p.Channel] = append(c.packets[p.Channel], slices.Clone(p.Data))
	return true
}

func (c *capture) scan(s *scanner, channel cluster.Channel) (found []form, packets int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.packets[channel] {
		found = append(found, s.find(p)...)
	}
	return found, len(c.packets[channel])
}

// A cluster runs, data keys are unwrapped, all nodes stop. Then this test, which
// holds every token and PIN, rebuilds each secret there is, the two private keys
// included that no node ever had, and looks for them in every file of every node,
// its audit and its log with the stacks of a crash among them, in every packet, and
// in what callers are told. R25
func TestSecretsStayApart(t *testing.T) {
	seen := &capture{packets: map[cluster.Channel][][]byte{}}
	c, key, cl := start(t, cluster.Config{Tap: seen.tap})
	envelopes, deks := unwrapSome(t, key, cl, 24)
	tally, items, inside := encryptSome(t, c, cl, 8)

	canary := newCanary(t)
	planted := newScanner([]secretBytes{canary})
	plantPackets(t, c, canary, seen, planted)

	told := tellsCallers(t, c, cl, envelopes[0])
	aborted := c.IDs()[0]
	abort(t, c, aborted)
	for _, id := range c.IDs() {
		if id == aborted {
			continue
		}
		if err := c.Stop(id); err != nil {
			t.Fatal(err)
		}
	}
	var loots []*loot
	for _, id := range c.IDs() {
		l, err := take(c, id, key.ID(), tally.ID())
		if err != nil {
			t.Fatal(err)
		}
		loots = append(loots, l)
	}
	t.Run("two nodes open nothing, any three do", func(t *testing.T) {
		checkAttack(t, key, loots, tdh2.ErrNotOpened, deks[0], func(loots []*loot) ([]byte, error) {
			return attack(key, loots, envelopes[0], trialContext)
		})
	})
	t.Run("the keys of two nodes' sets open nothing, those of any three do", func(t *testing.T) {
		checkAttack(t, tally, loots, tprf.ErrNotOpened, inside[0], func(loots []*loot) ([]byte, error) {
			return attackSymmetric(tally, loots, items[0], trialContext)
		})
	})

	secrets := everySecret(t, c, key, loots, slices.Concat(deks, inside))
	scan := newScanner(secrets)
	total := 0
	for _, id := range c.IDs() {
		plantFiles(t, c.NodeDir(id), canary, planted)
		found, files, err := scan.findBelow(c.NodeDir(id))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			t.Errorf("%s, as %s, in %s", f.secret, f.as, f.path)
		}
		total += files
	}
	if dumps, err := filepath.Glob("core*"); err != nil || len(dumps) > 0 {
		t.Errorf("a node that was aborted left %v, %v", dumps, err)
	}
	for _, f := range scan.find(told) {
		t.Errorf("%s, as %s, in what callers are told", f.secret, f.as)
	}
	for f, text := range plantings(canary) {
		if !slices.Contains(planted.find(slices.Concat(told, []byte(text), told)), f) {
			t.Errorf("planted as %s, the scan of what callers are told does not find it", f.as)
		}
	}
	for _, channel := range []cluster.Channel{cluster.ToClients, cluster.ToPeers} {
		found, packets := seen.scan(scan, channel)
		for _, f := range found {
			t.Errorf("%s, as %s, in a packet of the channel %s", f.secret, f.as, channel)
		}
		if packets < 100 {
			t.Errorf("only %d packets of the channel %s were seen", packets, channel)
		}
		t.Logf("%d packets of the channel %s", packets, channel)
	}
	t.Logf("%d secrets, %d forms each, %d files", len(secrets), len(formsOf(canary)), total)
}

// tellsCallers is what nodes and the client say in words: status and warnings,
// anchors, and refusals with their reasons.
func tellsCallers(t *testing.T, c *cluster.Cluster, cl *client.Client, envelope []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	refused := func(what string, err error) {
		if err == nil {
			t.Fatalf("%s was not refused", what)
		}
		fmt.Fprintf(&b, "%v %+v %q\n", err, err, err)
	}
	_, err := cl.Unwrap(within(t, patience), envelope, api.Context{"file": "another"}, "the test asks")
	refused("another context", err)
	altered := slices.Clone(envelope)
	altered[len(altered)-1] ^= 1
	_, err = cl.Unwrap(within(t, patience), altered, trialContext, "the test asks")
	refused("an altered envelope", err)
	_, err = cl.AuditTail(within(t, patience), c.IDs()[0], 1)
	refused("the audit, for an application", err)
	asks, err := c.Custodian()
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	for _, s := range asks.Status(within(t, patience)) {
		if s.Err != nil {
			t.Fatal(s.Err)
		}
		text, err := json.Marshal(s.Answer)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	anchors, err := asks.Anchors(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range anchors {
		fmt.Fprintf(&b, "%s %+v %x\n", a.Node(), a.Anchor(), a.Entry())
	}
	return b.Bytes()
}

// abort makes a node crash: the runtime writes every stack into its log, and a
// kernel that may would write a core.
func abort(t *testing.T, c *cluster.Cluster, id string) {
	t.Helper()
	if err := syscall.Kill(c.PID(id), syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	eventually(t, id+" is gone", func() bool { return c.PID(id) == 0 })
	b, err := os.ReadFile(c.LogPath(id))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("SIGABRT")) || !bytes.Contains(b, []byte("goroutine ")) {
		t.Error("the crash left no stacks: nothing was tried")
	}
}

var trialContext = api.Context{"file": "ledger.db", "tenant": "acme"}

// unwrapSome wraps data keys offline and has them unwrapped by the cluster.
func unwrapSome(t *testing.T, key *client.Key, cl *client.Client, n int) (envelopes, deks [][]byte) {
	t.Helper()
	var items []client.Item
	for range n {
		dek := make([]byte, 32)
		rand.Read(dek)
		e, err := key.Wrap(rand.Reader, trialContext, secret.Clone(dek))
		if err != nil {
			t.Fatal(err)
		}
		envelopes, deks = append(envelopes, e), append(deks, dek)
		items = append(items, client.Item{Envelope: e, Context: trialContext})
	}
	for i, r := range cl.UnwrapBatch(within(t, patience), items, "the test asks") {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if string(r.DEK.Reveal()) != string(deks[i]) {
			t.Fatalf("data key %d came back different", i)
		}
	}
	return envelopes, deks
}

// encryptSome has a symmetric key born, encrypts data keys under it and has them opened.
func encryptSome(t *testing.T, c *cluster.Cluster, cl *client.Client, n int) (key *client.Key, items, deks [][]byte) {
	t.Helper()
	ctx := within(t, patience)
	err := c.PutPolicy(ctx, policy.Document{
		Format:   policy.Format,
		Text:     `permit (principal == Warifu::Principal::"` + cluster.AppURI + `", action, resource);`,
		Entities: `[{"uid": {"type": "Warifu::Principal", "id": "` + cluster.AppURI + `"}, "parents": [], "attrs": {}}]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	order := c.Genesis().Root
	order.Purpose, order.Name = authority.PurposeEncrypt, "tally"
	if _, err := c.Submit(ctx, authority.KindKey, wire.Encode(order), api.Digest{}); err != nil {
		t.Fatal(err)
	}
	if key, err = cl.WaitKey(ctx, order.Name); err != nil {
		t.Fatal(err)
	}
	var asked []client.Item
	for i := range n {
		dek := make([]byte, 32)
		rand.Read(dek)
		var e []byte
		eventually(t, fmt.Sprintf("the data key %d is encrypted", i), func() bool {
			e, err = cl.Encrypt(ctx, key, trialContext, secret.Clone(dek), "the test asks")
			return err == nil
		})
		items, deks = append(items, e), append(deks, dek)
		asked = append(asked, client.Item{Envelope: e, Context: trialContext})
	}
	for i, r := range cl.UnwrapBatch(ctx, asked, "the test asks") {
		if r.Err != nil || !r.DEK.Equal(secret.Clone(deks[i])) {
			t.Fatalf("data key %d came back different: %v", i, r.Err)
		}
	}
	return key, items, deks
}

// everySecret lists all that no node's disk and no packet may hold in the clear.
func everySecret(t *testing.T, c *cluster.Cluster, key *client.Key, loots []*loot, deks [][]byte) []secretBytes {
	t.Helper()
	var out []secretBytes
	add := func(name string, b []byte) {
		if len(b) < 32 {
			t.Fatalf("%s has %d bytes", name, len(b))
		}
		out = append(out, secretBytes{name, b})
	}
	root, err := rootOf(loots[:key.Threshold()])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := rootOf(loots[len(loots)-key.Threshold():]); err != nil || !again.Equal(root) {
		t.Fatalf("two quorums rebuild different root keys: %v", err)
	}
	add("the root key", root.Bytes())
	x, err := keyOf(loots[:key.Threshold()])
	if err != nil {
		t.Fatal(err)
	}
	add("the named key", x.Bytes())
	for _, l := range loots {
		add("identity key of "+l.node, l.identity)
		add("root share of "+l.node, l.root)
		add("keyring salt of "+l.node, l.salt)
		add("keyring key of "+l.node, l.ringKey)
		add("share of the named key of "+l.node, l.shares[0].Scalar)
		for _, of := range l.shares {
			add("endorsement key of "+l.node, of.Endorsement)
		}
		for k := range slices.Chunk(l.shares[1].Sets.Bytes().Reveal(), tprf.SetKeySize) {
			add("set key of "+l.node, k)
		}
	}
	for i, dek := range deks {
		add(fmt.Sprintf("data key %d", i), dek)
	}
	for _, cust := range c.CustodianKeys() {
		add("signing key of "+cust.Name(), privateBytes(t, cust.SignKey().(*ecdsa.PrivateKey)))
		add("opening key of "+cust.Name(), []byte(cust.OpenKey().(fmt.Stringer).String()))
	}
	return out
}

func privateBytes(t *testing.T, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newCanary(t *testing.T) secretBytes {
	t.Helper()
	b := make([]byte, 32)
	rand.Read(b)
	return secretBytes{"the canary", b}
}

// plantFiles checks that the scan of a node's files would find each form.
func plantFiles(t *testing.T, nodeDir string, canary secretBytes, planted *scanner) {
	t.Helper()
	paths := map[form]string{}
	for f, text := range plantings(canary) {
		paths[f] = filepath.Join(nodeDir, "data", "audit", fmt.Sprintf("planted-%d", len(paths)))
		if err := os.WriteFile(paths[f], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, _, err := planted.findBelow(nodeDir)
	if err != nil {
		t.Fatal(err)
	}
	for f, path := range paths {
		if !slices.Contains(found, finding{f, path}) {
			t.Errorf("planted as %s, the scan of the files does not find it", f.as)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// plantPackets sends each form through a relay of each channel and checks that
// the scan of the packets finds it.
func plantPackets(t *testing.T, c *cluster.Cluster, canary secretBytes, seen *capture, planted *scanner) {
	t.Helper()
	claim := c.Genesis().NodeByID(c.IDs()[0]).Claim
	for channel, address := range map[cluster.Channel]string{cluster.ToClients: claim.Client, cluster.ToPeers: claim.Peer} {
		socket, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		for _, text := range plantings(canary) {
			if _, err := socket.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range formsOf(canary) {
			eventually(t, "a planted packet is seen as "+f.as, func() bool {
				found, _ := seen.scan(planted, channel)
				return slices.Contains(found, f)
			})
		}
	}
}
