package cluster_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/quic-go/quic-go"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench/cluster"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/custodian"
	"warifu.dev/sharing/unseal"
	"warifu.dev/transport"
	"warifu.dev/warifutest"
)

var (
	floodCalls = flag.Int("flood", 100, "how many calls of each kind fall on the running ceremonies")
	floodTimed = flag.Bool("flood-timed", false, "hold the ceremonies' time under the flood against their undisturbed time")
)

// floodVariable names the file with the orders of a process that only floods: this
// test's own binary, started again at the lowest priority, as callers' machines are
// others than the nodes'.
const floodVariable = "WARIFU_TEST_FLOOD"

// floodOrders is what the flooding process is told.
type floodOrders struct {
	Genesis   []byte
	App       identityFile // whom the policy permits to unwrap
	Custodian identityFile // one of the cluster's, who is hostile
	Posts     [][]byte     // of this cluster's ceremonies, as the nodes signed them
	Piece     []byte       // that a custodian handed to PieceNode, and that was taken
	PieceNode string
	Calls     int
}

// identityFile is a certificate with its key.
type identityFile struct{ Certificate, Key []byte }

func fileOf(t *testing.T, cert tls.Certificate) identityFile {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return identityFile{cert.Certificate[0], der}
}

func (f identityFile) certificate() (tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(f.Key)
	return tls.Certificate{Certificate: [][]byte{f.Certificate}, PrivateKey: key}, err
}

// floodKinds are who calls, and by which names they may be refused; whoever comes too
// often may always hear so. A node that has just started is stale to those whom it
// does not know yet.
var floodKinds = map[string][]api.Code{
	"strangers":                     {api.CodeUnauthenticated},
	"custodians of another cluster": {api.CodeUnauthenticated},
	"applications":                  {api.CodeDenied, api.CodeRefusedEntry, api.CodeStale},
	"replays":                       {api.CodeRefusedEntry, api.CodePiece, api.CodeStale},
}

// floodSources are where they call from: other machines than the nodes and those who
// have a part in the ceremonies.
var floodSources = map[string]string{
	"strangers": "127.0.0.2", "custodians of another cluster": "127.0.0.3", "applications": "127.0.0.4", "replays": "127.0.0.5",
}

// floodWorkers is how many callers of a kind call at a time.
const floodWorkers = 4

// A running ceremony ends while it is flooded by those who have no part in it, and each
// of their calls is refused by name (R23). With -flood-timed it ends within twice its
// undisturbed time, which is measured right before.
func TestACeremonyEndsUnderAFlood(t *testing.T) {
	c, _, _ := start(t, cluster.Config{Sealed: true, Attended: true})
	const apart = "sg-1" // the node that is sealed and opened again
	orders := floodOrders{Genesis: c.Genesis().Signed().Encode(), Calls: *floodCalls, PieceNode: apart}
	if err := c.Stop(apart); err != nil {
		t.Fatal(err)
	}
	orders.Posts = postsIn(t, filepath.Join(c.Dir(apart), "raft"))
	if err := c.Restart(apart); err != nil {
		t.Fatal(err)
	}
	orders.Piece = handPiece(t, c, apart)
	appCert, err := c.NewIdentity(cluster.AppURI)
	if err != nil {
		t.Fatal(err)
	}
	orders.App = fileOf(t, appCert)
	orders.Custodian = fileOf(t, selfSignedBy(t, c.CustodianKeys()[2].SignKey().(*ecdsa.PrivateKey)))
	serve := func() {
		t.Helper()
		if err := c.WaitServing(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	serve()

	watch := warifutest.NewDirect(c.Genesis(), selfSignedBy(t, c.CustodianKeys()[0].SignKey().(*ecdsa.PrivateKey)), nil)
	t.Cleanup(watch.Close)
	born := 0
	round := func() (birth, opening time.Duration) {
		t.Helper()
		born++
		name := fmt.Sprintf("flooded-%d", born)
		began := time.Now()
		if err := c.OrderKey(within(t, patience), name, 30); err != nil {
			t.Fatal(err)
		}
		for !isBorn(t, watch, c.IDs()[0], name) {
			if birth = time.Since(began); birth > patience {
				t.Fatalf("%s is not born in %v", name, birth)
			}
			time.Sleep(10 * time.Millisecond)
		}
		birth = time.Since(began)
		if err := c.Kill(apart); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if err := c.Restart(apart); err != nil {
			t.Fatal(err)
		}
		serve()
		return birth, time.Since(began)
	}
	measure := func(enough func(rounds int) bool) (births, openings []time.Duration) {
		for rounds := 0; !enough(rounds); rounds++ {
			b, o := round()
			births, openings = append(births, b), append(openings, o)
		}
		return births, openings
	}
	least := 1
	if *floodTimed {
		least = 7
	}
	quietBirths, quietOpenings := measure(func(rounds int) bool { return rounds >= least })
	flooded := startFlood(t, &orders)
	births, openings := measure(func(rounds int) bool { return rounds >= least && flooded.over() })
	report := flooded.wait(t)
	t.Logf("ceremonies under a flood of %d calls of each kind: %d births (median %v, undisturbed %v, slowest %v), %d unseals (median %v, undisturbed %v, slowest %v)",
		*floodCalls, len(births), median(births), median(quietBirths), slices.Max(births), len(openings), median(openings), median(quietOpenings), slices.Max(openings))
	for kind, may := range floodKinds {
		counts, calls := report[kind], 0
		t.Logf("%s: %v", kind, counts)
		for name, n := range counts {
			switch {
			case name == noAnswer:
				continue
			case name != string(api.CodeOverloaded) && !slices.Contains(may, api.Code(name)):
				t.Errorf("%d calls of %s: %s", n, kind, name)
			}
			calls += n
		}
		if calls != *floodCalls {
			t.Errorf("%s: %d calls, not %d", kind, calls, *floodCalls)
		}
	}
	if !*floodTimed {
		return
	}
	for what, times := range map[string][2][]time.Duration{"births": {births, quietBirths}, "unseals": {openings, quietOpenings}} {
		if under, quiet := median(times[0]), median(times[1]); under > 2*quiet {
			t.Errorf("%s take %v under the flood, and %v without", what, under, quiet)
		}
	}
	if !t.Failed() {
		fmt.Printf("flood: %d calls, each refused by name; births took %v (undisturbed %v), unseals %v (undisturbed %v)\n",
			len(floodKinds)**floodCalls, median(births), median(quietBirths), median(openings), median(quietOpenings))
	}
}

// isBorn asks a node for a key's record, which is there when the key may be used.
func isBorn(t *testing.T, asks *warifutest.Direct, node, name string) bool {
	b, err := asks.Call(t.Context(), node, api.MethodKeyRecord, wire.Encode(api.KeyRecordRequest{Name: name}))
	if err != nil {
		return false
	}
	var a api.KeyRecordAnswer
	if err := wire.Decode(b, &a); err != nil {
		t.Fatal(err)
	}
	r, err := authority.ParseSignedRecord(a.Record)
	return err == nil && len(r.Signatures) >= 3
}

func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2].Round(time.Millisecond)
}

// postsIn reads what nodes have posted out of a stopped node's log.
func postsIn(t *testing.T, dir string) (posts [][]byte) {
	t.Helper()
	aside := t.TempDir()
	if err := os.CopyFS(aside, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(aside)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	first, _ := log.FirstIndex()
	last, _ := log.LastIndex()
	for i := first; i <= last; i++ {
		var l raft.Log
		if err := log.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if e, err := authority.ParseEntry(l.Data); l.Type == raft.LogCommand && err == nil && e.Author != "" && e.Kind != authority.KindAnchor {
			posts = append(posts, slices.Clone(l.Data))
		}
	}
	if len(posts) < 10 {
		t.Fatalf("the log holds %d posts", len(posts))
	}
	return posts
}

// handPiece has the second custodian open one node in part, and returns what it
// sent there.
func handPiece(t *testing.T, c *cluster.Cluster, node string) []byte {
	t.Helper()
	const place = 1
	who := c.CustodianKeys()[place]
	direct := warifutest.NewDirect(c.Genesis(), selfSignedBy(t, who.SignKey().(*ecdsa.PrivateKey)), nil)
	defer direct.Close()
	var sent []byte
	eventually(t, node+" takes a piece", func() bool {
		b, err := direct.Call(t.Context(), node, api.MethodUnsealOffer, nil)
		var o api.UnsealOffer
		if err != nil || wire.Decode(b, &o) != nil || !o.Locked {
			return false
		}
		s := unseal.Seal{Cluster: c.Genesis().Cluster, Node: node, Generation: o.Generation}
		piece, err := unseal.OpenBox(s, place, o.Box, who.OpenKey())
		if err != nil {
			t.Fatal(err)
		}
		handed, err := unseal.HandOver(s, o.Attempt, o.Door, place, piece)
		if err != nil {
			t.Fatal(err)
		}
		sent = wire.Encode(api.UnsealPiece{Generation: o.Generation, Attempt: o.Attempt, Handed: handed})
		_, err = direct.Call(t.Context(), node, api.MethodUnsealPiece, sent)
		return err == nil
	})
	return sent
}

// selfSignedBy is a custodian's certificate, of this cluster or of another.
func selfSignedBy(t *testing.T, key *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	cert, err := selfSigned(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func selfSigned(key *ecdsa.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "custodian"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// flooding is the process that floods.
type flooding struct {
	done chan error
	out  bytes.Buffer
}

func startFlood(t *testing.T, o *floodOrders) *flooding {
	t.Helper()
	file := filepath.Join(t.TempDir(), "orders")
	b, err := json.Marshal(o)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), floodVariable+"="+file)
	f := &flooding{done: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = &f.out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { f.done <- cmd.Wait() }()
	return f
}

func (f *flooding) over() bool { return len(f.done) > 0 }

// wait returns how the calls of each kind ended.
func (f *flooding) wait(t *testing.T) map[string]map[string]int {
	t.Helper()
	if err := <-f.done; err != nil {
		t.Fatal(err)
	}
	var report map[string]map[string]int
	if err := json.Unmarshal(f.out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// noAnswer is the name of a call that nobody answered, as the node was down or its
// socket's buffer full. It is made again.
const noAnswer = "no answer"

// flood is what the flooding process does.
func flood(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var o floodOrders
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	signed, _, err := authority.ParseSignedGenesis(o.Genesis)
	if err != nil {
		return err
	}
	g, err := signed.Verify()
	if err != nil {
		return err
	}
	app, err := o.App.certificate()
	if err != nil {
		return err
	}
	hostile, err := o.Custodian.certificate()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	report := map[string]map[string]int{}
	var all sync.WaitGroup
	for kind := range floodKinds {
		report[kind] = map[string]int{}
		for w := range floodWorkers {
			calls := o.Calls / floodWorkers
			if w < o.Calls%floodWorkers {
				calls++
			}
			cert := app
			switch {
			case kind == "replays" && w%2 == 0:
				cert = hostile
			case kind == "strangers", kind == "custodians of another cluster":
				other, err := custodian.Create(rand.Reader, "custodian-1")
				if err == nil {
					cert, err = selfSigned(other.SignKey().(*ecdsa.PrivateKey))
				}
				if err != nil {
					return err
				}
			}
			all.Go(func() {
				counts := floodAs(kind, g, cert, &o, calls)
				mu.Lock()
				defer mu.Unlock()
				for name, n := range counts {
					report[kind][name] += n
				}
			})
		}
	}
	all.Wait()
	return json.NewEncoder(os.Stdout).Encode(report)
}

// floodAs calls so many times, and counts the names of the answers.
func floodAs(kind string, g *authority.VerifiedGenesis, cert tls.Certificate, o *floodOrders, calls int) map[string]int {
	direct := warifutest.NewDirect(g, cert, func(_ context.Context, addr string) (net.PacketConn, string, error) {
		socket, err := net.ListenPacket("udp", net.JoinHostPort(floodSources[kind], "0"))
		return socket, addr, err
	})
	defer direct.Close()
	socket, err := net.ListenPacket("udp", net.JoinHostPort(floodSources[kind], "0"))
	if err != nil {
		panic(err) // the loopback's own addresses
	}
	defer socket.Close()
	atPeers := &quic.Transport{Conn: socket}
	defer atPeers.Close()
	ids := make([]string, len(g.Roster))
	for i, n := range g.Roster {
		ids[i] = n.ID
	}
	counts := map[string]int{}
	for made := 0; made < calls; {
		node, method, body := ids[mathrand.IntN(len(ids))], uint16(api.MethodUnsealOffer), []byte(nil)
		switch post := wire.Encode(api.SubmitRequest{Entry: o.Posts[mathrand.IntN(len(o.Posts))]}); {
		case kind == "custodians of another cluster":
			method, body = api.MethodUnsealPiece, o.Piece
		case kind == "applications":
			calls := []func(){
				func() { method, body = api.MethodUnsealPiece, o.Piece },
				func() { method, body = api.MethodSubmit, post },
				func() { method, body = api.MethodDeny, post },
				func() { method = api.MethodStatus },
				func() {},
			}
			calls[mathrand.IntN(len(calls))]()
		case kind == "replays" && made%2 == 0 && isCustodian(g, cert):
			node, method, body = o.PieceNode, api.MethodUnsealPiece, o.Piece
		case kind == "replays":
			method, body = api.MethodSubmit, post
		}
		var err error
		if kind == "strangers" && made%2 == 1 {
			err = callAsPeer(g.NodeByID(node), cert, atPeers)
		} else {
			_, err = direct.Call(context.Background(), node, method, body)
		}
		var refusal *transport.Refusal
		switch {
		case err == nil:
			counts[fmt.Sprintf("method %d is answered", method)]++
		case errors.As(err, &refusal):
			counts[refusal.Code]++
		case errors.Is(err, transport.ErrBusy):
			counts[string(api.CodeOverloaded)]++
		default:
			counts[noAnswer]++
			time.Sleep(100 * time.Millisecond)
			continue
		}
		made++
	}
	return counts
}

// callAsPeer calls the socket that is for the other nodes.
func callAsPeer(n *authority.Node, cert tls.Certificate, from *quic.Transport) error {
	key, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		return err
	}
	spki, err := transport.SPKIOf(key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	conn, err := transport.Dial(ctx, transport.DialConfig{
		Transport: from, Certificate: cert, ServerKey: spki, ALPN: transport.ALPNPeer, Addr: n.Claim.Peer,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Call(ctx, api.MethodPeerFresh, nil)
	return err
}

func isCustodian(g *authority.VerifiedGenesis, cert tls.Certificate) bool {
	key, err := cert.PrivateKey.(*ecdsa.PrivateKey).PublicKey.Bytes()
	return err == nil && g.CustodianByKey(authority.FingerprintOf(key)) != nil
}
