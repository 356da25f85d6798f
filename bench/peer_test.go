package bench_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/bench"
	"warifu.dev/internal/secret"
)

const recordedToken = "s.a-token-of-the-recording"

// counting gives 32 bytes of one, then of two, and so on.
type counting struct{ n byte }

func (c *counting) Read(p []byte) (int, error) {
	c.n++
	return copy(p, bytes.Repeat([]byte{c.n}, len(p))), nil
}

func peerAt(url string) bench.PeerConfig {
	return bench.PeerConfig{Kind: bench.PeerVault, URL: url, Token: secret.New([]byte(recordedToken)), Key: "warifu-bench", Rand: &counting{}}
}

var oneAtATime = bench.Shape{Load: bench.Load{N: 2, InFlight: 1}, Batch: 1}

// Each operation of the API is asked for as it was recorded, and no other; the process
// that listens is found, and its CPU is in the table.
func TestAPeerIsAskedAsWasRecorded(t *testing.T) {
	server := replayed(t, "each-operation.json")
	p, err := bench.NewPeer(t.Context(), peerAt(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Version != "2.4.4" {
		t.Errorf("version %q", p.Version)
	}
	singly, err := p.Shapes(t.Context(), oneAtATime)
	if err != nil {
		t.Fatal(err)
	}
	batches := oneAtATime
	batches.N, batches.Batch = 1, 2
	all, err := p.Shapes(t.Context(), batches)
	if err != nil {
		t.Fatal(err)
	}
	server.told(t)
	all = append(singly, all...)
	if len(all) != 6 {
		t.Errorf("%d shapes", len(all))
	}
	for _, m := range all {
		if m.Taken.Failures() > 0 || m.Items <= 0 || m.Taken.Latency.P50 <= 0 || !strings.HasPrefix(m.Shape.Name, "peer, ") {
			t.Errorf("%+v", m)
		}
		if cpuIsKnown && (p.PID != os.Getpid() || len(m.CPU) != 2 || m.CPU[1].Process != bench.PeerVault) {
			t.Errorf("process %d, %+v", p.PID, m.CPU)
		}
	}
}

// Whatever else the peer answers is a failure with a name, and the run no good.
func TestAWrongAnswerOfAPeerIsNamed(t *testing.T) {
	for file, row := range map[string]struct {
		kind, says string
		batch      int
	}{
		"wrong":                {"", "came back different", 1},
		"denied":               {bench.PeerRefuses, "permission denied", 1},
		"bad-ciphertext":       {bench.PeerRefuses, "no prefix", 1},
		"internal":             {bench.PeerFails, "internal error", 1},
		"sealed-meanwhile":     {bench.PeerFails, "Vault is sealed", 1},
		"redirect":             {bench.PeerRedirects, "307", 1},
		"cut":                  {bench.PeerCut, "unexpected EOF", 1},
		"no-content":           {"other status", "204", 1},
		"not-json":             {bench.PeerMalformed, "invalid character", 1},
		"no-data":              {bench.PeerMalformed, "without data", 1},
		"one-of-a-batch":       {bench.PeerRefuses, "400", 2},
		"one-of-a-batch-taken": {bench.PeerRefuses, "message authentication failed", 2},
		"fewer-of-a-batch":     {bench.PeerMalformed, "1 results of 2", 2},
	} {
		t.Run(file, func(t *testing.T) {
			server := replayed(t, file+".json")
			p, err := bench.NewPeer(t.Context(), peerAt(server.URL))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			m, err := p.Measure(t.Context(), "decrypt", bench.Shape{Load: bench.Load{N: 1, InFlight: 1}, Batch: row.batch}, nil)
			if err != nil {
				t.Fatal(err)
			}
			server.told(t)
			taken := m.Taken
			if row.kind == "" && taken.Wrong != 1 || row.kind != "" && taken.Failed[row.kind] != 1 || taken.Failures() != 1 || !strings.Contains(taken.First, row.says) {
				t.Errorf("%d wrong, failed %v, the first: %s", taken.Wrong, taken.Failed, taken.First)
			}
			run := bench.Run{Shapes: []bench.Measured{*m}, Peer: &p.PeerInfo}
			if !errors.Is(run.Err(), bench.ErrNotAsItShould) {
				t.Errorf("such a run ends with %v", run.Err())
			}
			told, err := json.Marshal(run)
			if err != nil || bytes.Contains(told, []byte(recordedToken)) {
				t.Errorf("the token is in the report, or %v", err)
			}
		})
	}
}

func TestAPeerThatIsNotReadyIsNotMeasured(t *testing.T) {
	for file, says := range map[string]string{"sealed": "sealed", "standby": "standby", "not-begun": "sealed"} {
		server := replayed(t, file+".json")
		var named *bench.PeerError
		if _, err := bench.NewPeer(t.Context(), peerAt(server.URL)); !errors.As(err, &named) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", file, err)
		}
		server.told(t)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var named *bench.PeerError
	if _, err := bench.NewPeer(t.Context(), peerAt(gone.URL)); !errors.As(err, &named) || named.Kind != bench.PeerSilent {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestAPeerThatCannotBeAskedIsRefused(t *testing.T) {
	for name, change := range map[string]func(*bench.PeerConfig){
		"another kind":                func(c *bench.PeerConfig) { c.Kind = "kes" },
		"no URL":                      func(c *bench.PeerConfig) { c.URL = "" },
		"not a URL":                   func(c *bench.PeerConfig) { c.URL = "http://[::1" },
		"a token on the open network": func(c *bench.PeerConfig) { c.URL = "http://192.0.2.1:8200" },
		"a password in the URL":       func(c *bench.PeerConfig) { c.URL = "http://me:pw@127.0.0.1:8200" },
		"a path":                      func(c *bench.PeerConfig) { c.URL = "http://127.0.0.1:8200/v1" },
		"no token":                    func(c *bench.PeerConfig) { c.Token = secret.Bytes{} },
		"no key":                      func(c *bench.PeerConfig) { c.Key = "" },
		"a key that is a path":        func(c *bench.PeerConfig) { c.Key = "../../sys/seal" },
		"roots that are none":         func(c *bench.PeerConfig) { c.Roots = []byte("-----") },
	} {
		conf := peerAt("http://127.0.0.1:1")
		change(&conf)
		_, err := bench.NewPeer(t.Context(), conf)
		var asked *bench.PeerError
		if err == nil || errors.As(err, &asked) || strings.Contains(err.Error(), ":pw@") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pretend answers like a transit engine, over TLS: a ciphertext is its plaintext.
type pretend struct {
	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu
	n     atomic.Int64
	lie   atomic.Int64 // every so manieth decryption; 0: none
}

func (f *pretend) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	type item struct {
		Plaintext  []byte `json:"plaintext,omitempty"`
		Ciphertext string `json:"ciphertext,omitempty"`
	}
	if q.URL.Path == "/v1/sys/health" {
		fmt.Fprint(w, `{"version":"pretended"}`)
		return
	}
	var in struct {
		item
		Batch []item `json:"batch_input"`
	}
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	one := func(i item) (o item) {
		switch n := f.n.Add(1); {
		case strings.Contains(q.URL.Path, "/datakey/"):
			o.Ciphertext = "vault:v1:" + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%032d", n))
			if strings.Contains(q.URL.Path, "/plaintext/") {
				o.Plaintext = fmt.Appendf(nil, "%032d", n)
			}
		case i.Plaintext != nil:
			o.Ciphertext = "vault:v1:" + base64.StdEncoding.EncodeToString(i.Plaintext)
		default:
			o.Plaintext, _ = base64.StdEncoding.DecodeString(strings.TrimPrefix(i.Ciphertext, "vault:v1:"))
			if lie := f.lie.Load(); lie > 0 && n%lie == 0 {
				o.Plaintext[0] ^= 1
			}
		}
		return o
	}
	time.Sleep(time.Millisecond) // so that several are in flight
	var data any
	if in.Batch == nil {
		data = one(in.item)
	} else {
		var out []item
		for _, i := range in.Batch {
			out = append(out, one(i))
		}
		data = map[string]any{"batch_results": out}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

// Many in flight share connections that are kept, and one false answer among them all
// is seen.
func TestAPeerIsAskedByManyAtATime(t *testing.T) {
	f := &pretend{conns: map[net.Conn]bool{}}
	server := httptest.NewUnstartedServer(f)
	server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.conns[c] = true
	}
	server.Start()
	defer server.Close()
	p, err := bench.NewPeer(t.Context(), peerAt(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const inFlight = 16
	shape := bench.Shape{Load: bench.Load{N: 300, InFlight: inFlight}, Batch: 1, Envelopes: 8}
	all, err := p.Shapes(t.Context(), shape)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Taken.Failures() > 0 || m.Taken.N != shape.N {
			t.Errorf("%+v", m)
		}
	}
	f.mu.Lock()
	if n := len(f.conns); len(all) != 4 || n > 4*inFlight { // one that is dialled may find another free
		t.Errorf("%d shapes over %d connections, %d in flight", len(all), n, inFlight)
	}
	f.mu.Unlock()
	f.lie.Store(200)
	m, err := p.Measure(t.Context(), "decrypt", shape, nil)
	if err != nil || m.Taken.Wrong == 0 {
		t.Errorf("a false plaintext is not seen: %v", err)
	}
	f.lie.Store(1)
	for _, made := range []string{"encrypt", "datakey/plaintext"} {
		if m, err := p.Measure(t.Context(), made, oneAtATime, nil); err != nil || m.Taken.Wrong == 0 {
			t.Errorf("%s, of what opens to something else: %v", made, err)
		}
	}
	for name, bad := range map[string]func(s *bench.Shape) string{
		"a batch of data keys": func(s *bench.Shape) string { s.Batch = 2; return "datakey/plaintext" },
		"an unknown operation": func(*bench.Shape) string { return "sign" },
		"nothing in flight":    func(s *bench.Shape) string { s.InFlight = 0; return "decrypt" },
	} {
		s := oneAtATime
		operation := bad(&s)
		if _, err := p.Measure(t.Context(), operation, s, nil); err == nil {
			t.Errorf("%s: measured", name)
		}
	}
}

// The token goes to the one address that was named, and over TLS that is trusted.
func TestAPeerOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(&pretend{})
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of who does not trust it
	server.StartTLS()
	defer server.Close()
	if _, err := bench.NewPeer(t.Context(), peerAt(server.URL)); err == nil {
		t.Error("whoever answers is trusted")
	}
	conf := peerAt(server.URL)
	conf.Roots = pemOf(server.Certificate().Raw)
	p, err := bench.NewPeer(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if m, err := p.Measure(t.Context(), "decrypt", oneAtATime, nil); err != nil || m.Taken.Failures() > 0 {
		t.Errorf("%+v, %v", m, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Measure(ctx, "decrypt", oneAtATime, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("asked after the end: %v", err)
	}
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// cpuIsKnown says whether a process can be found by its port, and its CPU read.
const cpuIsKnown = runtime.GOOS == "linux"

// The replay takes nothing but what was recorded, or no test above says anything.
func TestTheReplayIsStrict(t *testing.T) {
	good := func(r *replay) *http.Request {
		q, err := http.NewRequest(http.MethodPost, r.URL+"/v1/transit/datakey/plaintext/warifu-bench", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		q.Header = http.Header{"Content-Type": {"application/json"}, "X-Vault-Request": {"true"}, "X-Vault-Token": {recordedToken}}
		return q
	}
	for name, change := range map[string]func(*http.Request){
		"":                func(*http.Request) {},
		"another method":  func(q *http.Request) { q.Method = http.MethodPut },
		"another path":    func(q *http.Request) { q.URL.Path += "s" },
		"a query":         func(q *http.Request) { q.URL.RawQuery = "help=1" },
		"another token":   func(q *http.Request) { q.Header.Set("X-Vault-Token", "s.another") },
		"no token":        func(q *http.Request) { q.Header.Del("X-Vault-Token") },
		"a header more":   func(q *http.Request) { q.Header.Set("X-Vault-Namespace", "n") },
		"another body":    func(q *http.Request) { q.Body, q.ContentLength = io.NopCloser(strings.NewReader("{ }")), 3 },
		"no content type": func(q *http.Request) { q.Header.Del("Content-Type") },
	} {
		r := replayed(t, "each-operation.json")
		q := good(r)
		change(q)
		by := &http.Transport{DisableCompression: true}
		a, err := by.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		by.CloseIdleConnections()
		if taken := a.StatusCode == http.StatusOK; taken != (name == "") || taken == (len(r.strange) > 0) {
			t.Errorf("%q: %d", name, a.StatusCode)
		}
	}
}
