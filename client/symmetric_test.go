package client_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/tprf"
	"warifu.dev/transport"
)

const testPrincipal = "spiffe://demo/app"

// symmetric puts a symmetric key in the place of the cluster's, of the first h nodes.
func symmetric(t *testing.T, threshold, h int) *fakeCluster {
	t.Helper()
	c := newFakeClusterOf(t, min(threshold, 3))
	holders := []string{"n1", "n2", "n3", "n4", "n5"}[:h]
	c.key = c.DealSymmetric("payroll", threshold, holders...)
	record := c.Sign(c.key.Record, holders...)
	for _, n := range c.nodes {
		n.with(func() { n.record = record })
	}
	return c
}

// named is a client whose certificate names a principal; log may be nil.
func (c *fakeCluster) named(t *testing.T, log *slog.Logger) *client.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse(testPrincipal)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{uri}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(client.Config{
		Genesis: c.Genesis, Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, Log: log,
		Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func sets(wired []uint16) (out []tprf.Set) {
	for _, s := range wired {
		out = append(out, tprf.Set(s))
	}
	return out
}

func joined(values []tprf.Value) (out []byte) {
	for _, v := range values {
		out = append(out, v[:]...)
	}
	return out
}

// sum answers as an honest holder of a symmetric key.
func (n *fakeNode) sum(asked []uint16, it api.UnwrapItem) api.ItemAnswer {
	k := n.cluster.key
	c, err := tprf.Parse(it.Envelope)
	if err != nil {
		return api.ItemAnswer{Refusal: api.Refuse(api.CodeEnvelope, "%v", err)}
	}
	values, err := k.Sets[n.id].Values(sets(asked), c.Input(it.Context.Canonical()))
	if err != nil {
		return api.ItemAnswer{Refusal: api.Refuse(api.CodeMalformed, "%v", err)}
	}
	a := api.ItemAnswer{Epoch: 1, Index: uint32(k.Places[n.id])}
	if it.Prove {
		n.proofs.Add(1)
		a.Values = joined(values)
		return a
	}
	var sum tprf.Value
	for _, v := range values {
		sum = sum.XOR(v)
	}
	a.Partial = sum[:]
	return a
}

// encrypt answers as an honest holder, and then as it is told to twist that.
func (n *fakeNode) encrypt(ctx context.Context, caller *transport.Caller, body []byte) ([]byte, error) {
	var r api.EncryptRequest
	if err := wire.Decode(body, &r); err != nil {
		return nil, err
	}
	k := n.cluster.key
	n.mu.Lock()
	n.toldTo = append(n.toldTo, r)
	delay, twist := n.delay, n.twist
	n.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answer := api.UnwrapAnswer{Header: api.AnswerHeader{Node: n.id}}
	for _, it := range r.Items {
		key := tprf.Key{Cluster: k.Record.Cluster, ID: it.Key, Version: it.Version}
		values, err := k.Sets[n.id].Values(sets(r.Sets), tprf.ItemInput(key, it.Context.Canonical(), caller.Chain[0].URIs[0].String(), it.Commitment))
		if err != nil {
			return nil, err
		}
		answer.Items = append(answer.Items, api.ItemAnswer{Epoch: 1, Index: uint32(k.Places[n.id]), Values: joined(values)})
	}
	if twist != nil {
		asked := api.UnwrapRequest{}
		for _, it := range r.Items {
			asked.Items = append(asked.Items, api.UnwrapItem{Envelope: it.Commitment[:], Use: it.Use})
		}
		if err := twist(&asked, &answer); err != nil {
			return nil, err
		}
	}
	return wire.Encode(answer), nil
}

// falsely flips a bit in whatever a holder gives.
func falsely(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
	for i := range a.Items {
		for _, b := range [][]byte{a.Items[i].Partial, a.Items[i].Values} {
			if len(b) > 0 {
				b[0] ^= 1
			}
		}
	}
	return nil
}

func (c *fakeCluster) symmetricKey(t *testing.T, cl *client.Client) *client.Key {
	t.Helper()
	k, err := cl.Record(t.Context(), "payroll")
	if err != nil {
		t.Fatal(err)
	}
	if !k.Symmetric() {
		t.Fatal("the key is not symmetric")
	}
	return k
}

func encrypts(t *testing.T, cl *client.Client, k *client.Key) []byte {
	t.Helper()
	envelope, err := cl.Encrypt(t.Context(), k, testContext, testDEK, "test")
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func TestAQuorumEncryptsAndOpens(t *testing.T) {
	for _, shape := range [][2]int{{3, 5}, {2, 3}, {2, 5}, {3, 3}, {5, 5}, {4, 5}} {
		t.Run(fmt.Sprintf("%d of %d", shape[0], shape[1]), func(t *testing.T) {
			c := symmetric(t, shape[0], shape[1])
			cl := c.named(t, nil)
			k := c.symmetricKey(t, cl)
			f := 1
			if shape[0] == shape[1] {
				f = 0 // there is nobody to check with
			}
			if k.Copies() != f+1 {
				t.Fatalf("%d copies", k.Copies())
			}
			envelope := encrypts(t, cl, k)
			opens(t, cl, envelope)
			asked := 0
			for _, n := range c.nodes {
				n.with(func() { asked += len(n.toldTo) })
			}
			if asked < shape[0]+f {
				t.Errorf("%d holders were asked to encrypt, t+f is %d", asked, shape[0]+f)
			}
			if id, version, err := client.NamedIn(envelope); err != nil || id != k.ID() || version != 1 {
				t.Errorf("it names %v, %d, %v", id, version, err)
			}
		})
	}
}

func TestABatchOfASymmetricKey(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	secrets := make([]client.Secret, 40)
	for i := range secrets {
		secrets[i] = client.Secret{DEK: secret.New(bytes.Repeat([]byte{byte(i + 1)}, 1+i)), Context: api.Context{"row": fmt.Sprint(i)}}
	}
	secrets[7].DEK = secret.New(nil)
	secrets[8].Context = api.Context{"": "x"}
	c.nodes["n2"].with(func() { c.nodes["n2"].twist = falsely })
	made := cl.EncryptBatch(t.Context(), k, secrets, "test")
	var items []client.Item
	for i, m := range made {
		if bad := i == 7 || i == 8; (m.Err != nil) != bad {
			t.Fatalf("%d: %v", i, m.Err)
		}
		items = append(items, client.Item{Envelope: m.Envelope, Context: secrets[i].Context})
	}
	for i, r := range cl.UnwrapBatch(t.Context(), items, "test") {
		if i == 7 || i == 8 {
			if !errors.Is(r.Err, client.ErrEnvelope) {
				t.Errorf("%d: %v", i, r.Err)
			}
			continue
		}
		if r.Err != nil || !r.DEK.Equal(secrets[i].DEK) {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
}

// One liar among those asked: what was encrypted opens, with any of the others.
func TestALiarDoesNotSpoilWhatIsEncrypted(t *testing.T) {
	for _, shape := range [][2]int{{3, 5}, {2, 5}, {2, 4}} {
		for liar := range shape[1] {
			c := symmetric(t, shape[0], shape[1])
			cl := c.named(t, nil)
			k := c.symmetricKey(t, cl)
			n := c.nodes[fmt.Sprintf("n%d", liar+1)]
			n.with(func() { n.twist = falsely })
			envelope := encrypts(t, cl, k)
			n.with(func() { n.twist = nil })
			opens(t, cl, envelope)
		}
	}
}

// Where h-t < 2f one liar keeps encryption from happening: it is said, and nothing comes
// out that nobody could open.
func TestALiarAmongTooFewStopsEncryption(t *testing.T) {
	c := symmetric(t, 2, 3)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	c.nodes["n2"].with(func() { c.nodes["n2"].twist = falsely })
	envelope, err := cl.Encrypt(t.Context(), k, testContext, testDEK, "test")
	if envelope != nil || !errors.Is(err, client.ErrDisagree) || !errors.Is(err, client.ErrQuorum) || !strings.Contains(err.Error(), "n2") {
		t.Fatal(err)
	}
	c.nodes["n2"].with(func() { c.nodes["n2"].twist = nil })
	opens(t, cl, encrypts(t, cl, k))
}

// R14: a false sum is found out by what opens, and whoever gave it is set aside.
func TestALiarIsFoundByWhatOpens(t *testing.T) {
	onlyTheSum := func(q *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		if len(q.Items) > 0 && q.Items[0].Prove {
			return nil
		}
		return falsely(q, a)
	}
	onlyTheParts := func(q *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		if len(q.Items) > 0 && !q.Items[0].Prove {
			return nil
		}
		return falsely(q, a)
	}
	for sentence, twist := range map[string]func(*api.UnwrapRequest, *api.UnwrapAnswer) error{"always": falsely, "in the sum alone": onlyTheSum} {
		for liar := range 5 {
			c := symmetric(t, 3, 5)
			var log lines
			cl := c.named(t, slog.New(slog.NewTextHandler(&log, nil)))
			envelope := encrypts(t, cl, c.symmetricKey(t, cl))
			n := c.nodes[fmt.Sprintf("n%d", liar+1)]
			n.with(func() { n.twist = twist; n.asked = nil })
			opens(t, cl, envelope)
			was := len(n.requests())
			said := strings.Contains(log.String(), "a node gave a false partial")
			if said && !strings.Contains(log.String(), "node="+n.id) || strings.Count(log.String(), "false partial\"") > 1 {
				t.Errorf("%s: blamed another than %s: %s", sentence, n.id, log.String())
			}
			if was > 0 && !said {
				t.Errorf("%s: %s lied, and is not blamed", sentence, n.id)
			}
			opens(t, cl, envelope)
			if was > 0 && len(n.requests()) != was {
				t.Errorf("%s: %s is asked again", sentence, n.id)
			}
		}
	}
	// Whose sum was right is not blamed for what nobody needed of it.
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	envelope := encrypts(t, cl, c.symmetricKey(t, cl))
	for _, n := range c.nodes {
		n.with(func() { n.twist = onlyTheParts })
	}
	opens(t, cl, envelope)
}

func TestTwoLiarsOfFive(t *testing.T) {
	c := symmetric(t, 3, 5)
	var log lines
	cl := c.named(t, slog.New(slog.NewTextHandler(&log, nil)))
	envelope := encrypts(t, cl, c.symmetricKey(t, cl))
	for _, id := range []string{"n1", "n4"} {
		c.nodes[id].with(func() { c.nodes[id].twist = falsely })
	}
	opens(t, cl, envelope)
	for _, id := range []string{"n2", "n3", "n5"} {
		if strings.Contains(log.String(), "node="+id) {
			t.Errorf("%s is blamed: %s", id, log.String())
		}
	}
}

// Nothing opens: the envelope was altered, or its context is another. Nobody is blamed.
func TestNobodyIsBlamedBeforeSomethingOpens(t *testing.T) {
	c := symmetric(t, 3, 5)
	var log lines
	cl := c.named(t, slog.New(slog.NewTextHandler(&log, nil)))
	envelope := encrypts(t, cl, c.symmetricKey(t, cl))
	altered := bytes.Clone(envelope)
	altered[len(altered)-1] ^= 1
	for sentence, item := range map[string]client.Item{
		"another context": {Envelope: envelope, Context: api.Context{"app": "ledger"}},
		"altered":         {Envelope: altered, Context: testContext},
	} {
		for _, liar := range []bool{false, true} {
			n := c.nodes["n3"]
			n.with(func() {
				if n.twist = nil; liar {
					n.twist = falsely
				}
			})
			_, err := cl.Unwrap(t.Context(), item.Envelope, item.Context, "test")
			if !errors.Is(err, client.ErrEnvelope) {
				t.Errorf("%s: %v", sentence, err)
			}
		}
	}
	if strings.Contains(log.String(), "false partial") {
		t.Errorf("somebody is blamed: %s", log.String())
	}
	c.nodes["n3"].with(func() { c.nodes["n3"].twist = nil })
	opens(t, cl, envelope)
}

// Holders that are down or refuse are replaced, and their sets are shared out anew.
func TestTheSetsOfWhoIsNotThereAreSharedOutAnew(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	envelope := encrypts(t, cl, k)
	c.nodes["n1"].kill()
	opens(t, cl, envelope)
	opens(t, cl, encrypts(t, cl, k))
	c.nodes["n3"].with(func() { c.nodes["n3"].twist = refusing(api.CodeStale) })
	opens(t, cl, envelope)
	// Three are left, of whom one refuses to encrypt: four are needed to be sure.
	_, err := cl.Encrypt(t.Context(), k, testContext, testDEK, "test")
	q := quorumError(t, err)
	if q.Need != 4 || q.Got != 3 || !slices.ContainsFunc(q.Reasons, func(r client.NodeReason) bool { return r.Node == "n3" && r.Code == api.CodeStale }) {
		t.Errorf("%+v", q)
	}
	c.nodes["n5"].kill()
	_, err = cl.Unwrap(t.Context(), envelope, testContext, "test")
	if q := quorumError(t, err); q.Need != 3 || q.Got != 2 {
		t.Errorf("%+v", q)
	}
}

func TestASlowHolderIsNotWaitedFor(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	envelope := encrypts(t, cl, k)
	opens(t, cl, envelope)
	for _, n := range c.nodes {
		n.with(func() { n.asked = nil })
	}
	opens(t, cl, envelope)
	for _, n := range c.nodes {
		if len(n.requests()) > 0 { // one of the three nearest
			n.with(func() { n.delay = 18 * time.Second })
			break
		}
	}
	begun := time.Now()
	opens(t, cl, envelope)
	opens(t, cl, encrypts(t, cl, k))
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestRefusalsOfASymmetricKeyAreListed(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	envelope := encrypts(t, cl, k)
	for _, n := range c.nodes {
		n.with(func() { n.twist = refusing(api.CodeDenied) })
	}
	_, err := cl.Encrypt(t.Context(), k, testContext, testDEK, "test")
	if q := quorumError(t, err); !errors.Is(err, client.ErrDenied) || len(q.Reasons) != 5 {
		t.Error(err)
	}
	_, err = cl.Unwrap(t.Context(), envelope, testContext, "test")
	if q := quorumError(t, err); !errors.Is(err, client.ErrDenied) || len(q.Reasons) != 5 {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = cl.Encrypt(ctx, k, testContext, testDEK, "test"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhatASymmetricKeyIsNotFor(t *testing.T) {
	asymmetric := newFakeCluster(t)
	theirs, err := asymmetric.client(t).Record(t.Context(), "payroll")
	if err != nil {
		t.Fatal(err)
	}
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	if _, err := k.Wrap(rand.Reader, testContext, testDEK); !errors.Is(err, client.ErrSymmetric) {
		t.Errorf("wrapped offline: %v", err)
	}
	if _, err := cl.Encrypt(t.Context(), theirs, testContext, testDEK, ""); !errors.Is(err, client.ErrAsymmetric) {
		t.Errorf("by an asymmetric key: %v", err)
	}
	if _, err := c.client(t).Encrypt(t.Context(), k, testContext, testDEK, ""); !errors.Is(err, client.ErrNoPrincipal) {
		t.Errorf("as nobody: %v", err)
	}
	if _, err := cl.Encrypt(t.Context(), k, testContext, testDEK, strings.Repeat("x", api.MaxReason+1)); err == nil {
		t.Error("a reason that is too long")
	}
	stopped, err := k.With(c.Life(c.key.Record.Key, authority.Suspended, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Encrypt(t.Context(), stopped, testContext, testDEK, ""); !errors.Is(err, client.ErrKeyState) {
		t.Errorf("a suspended key: %v", err)
	}
	envelope := encrypts(t, cl, k)
	if err := k.Check(envelope, testContext); err != nil {
		t.Error(err)
	}
	if err := theirs.Check(envelope, testContext); !errors.Is(err, client.ErrEnvelope) {
		t.Error(err)
	}
	// An envelope of the other type that names the key is refused, and nobody is asked.
	forged, err := theirs.Wrap(rand.Reader, testContext, testDEK)
	if err != nil {
		t.Fatal(err)
	}
	copy(forged[2:70], envelope[2:70]) // cluster, key and version
	if _, err := cl.Unwrap(t.Context(), forged, testContext, ""); !errors.Is(err, client.ErrEnvelope) {
		t.Error(err)
	}
	if err := k.Check(forged, testContext); !errors.Is(err, client.ErrEnvelope) {
		t.Error(err)
	}
	foreign := bytes.Clone(envelope)
	foreign[2] ^= 1
	if _, err := cl.Unwrap(t.Context(), foreign, testContext, ""); !errors.Is(err, client.ErrEnvelope) {
		t.Error(err)
	}
}

// What no honest holder answers is false at once.
func TestAnswersOfASymmetricKeyThatAreFalse(t *testing.T) {
	for sentence, twist := range map[string]func(*api.ItemAnswer){
		"another index":     func(a *api.ItemAnswer) { a.Index++ },
		"another epoch":     func(a *api.ItemAnswer) { a.Epoch = 2 },
		"a byte is missing": func(a *api.ItemAnswer) { a.Partial, a.Values = shorter(a.Partial), shorter(a.Values) },
		"nothing":           func(a *api.ItemAnswer) { a.Partial, a.Values = nil, nil },
		"both":              func(a *api.ItemAnswer) { a.Partial, a.Values = make([]byte, 32), make([]byte, 32) },
	} {
		c := symmetric(t, 3, 5)
		var log lines
		cl := c.named(t, slog.New(slog.NewTextHandler(&log, nil)))
		k := c.symmetricKey(t, cl)
		for _, id := range []string{"n1", "n2"} {
			c.nodes[id].with(func() {
				c.nodes[id].twist = func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
					for i := range a.Items {
						twist(&a.Items[i])
					}
					return nil
				}
			})
		}
		if _, err := cl.Encrypt(t.Context(), k, testContext, testDEK, ""); !errors.Is(err, client.ErrQuorum) {
			t.Errorf("%s: %v", sentence, err)
		}
		for _, id := range []string{"n1", "n2"} {
			if !strings.Contains(log.String(), "node="+id) {
				t.Errorf("%s: %s is not blamed", sentence, id)
			}
		}
	}
}

func shorter(b []byte) []byte { return b[:max(len(b)-1, 0)] }

// String is all that was logged.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
