package cluster_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/transport"
)

const (
	tracedReleases = 1000
	warmUp         = 50 // requests until a connection has found its packet size
	spare          = 20 // releases beyond those, of which the trace may not tell
)

// The kernel is asked: in every one of 1,000 releases the record was written, and
// that file synced, before the datagram with the answer left. R26
func TestEveryReleaseIsSyncedBeforeItIsSent(t *testing.T) {
	began := time.Now()
	c, key, _ := start(t, cluster.Config{})
	node := c.IDs()[0]
	ask := holder(t, c, key, node)
	for i := range warmUp {
		ask(t, 1+i%2*2)
	}
	stop := strace(t, c.PID(node))
	var asked []release
	for i := range tracedReleases + spare {
		// One envelope, or three: so that an answer that is sent again, because
		// its acknowledgement is late, is not taken for the next one.
		asked = append(asked, ask(t, 1+i%2*2))
	}
	if one, three := asked[0].gives, asked[1].gives; three-one <= around {
		t.Fatalf("answers of %d and %d bytes cannot be told apart", one, three)
	}
	trace := stop()
	events, err := parseTrace(bytes.NewReader(trace), filepath.Join(c.Dir(node), "audit"), c.Address(node))
	if err != nil {
		t.Fatal(err)
	}
	synced, unread := 0, 0
	for i, r := range asked {
		switch err := syncedBeforeSent(events, r); {
		case err == nil:
			synced++
		case errors.Is(err, errUnread):
			unread++
			t.Logf("release %d: %v", i, err)
		default:
			t.Errorf("release %d: %v", i, err)
		}
		if i+1-synced > spare {
			t.Fatal("and so on")
		}
	}
	if synced < tracedReleases {
		t.Errorf("%d of %d releases were seen to be synced before they were sent", synced, tracedReleases)
	}
	t.Logf("%d releases, %d synced before sent, of %d the trace does not tell (%v)", len(asked), synced, unread, time.Since(began).Round(time.Second))
}

// holder returns how to ask one node, alone, for the partials of some envelopes.
func holder(t *testing.T, c *cluster.Cluster, key *client.Key, node string) func(*testing.T, int) release {
	t.Helper()
	pub, err := authority.ParsePublicKey(c.Genesis().NodeByID(node).Key)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := transport.SPKIOf(pub)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.NewIdentity(cluster.AppURI)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := transport.Dial(within(t, patience), transport.DialConfig{
		Certificate: cert, ServerKey: pin, ALPN: api.ClientProtocol, Addr: c.Address(node),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	envelope, err := key.Wrap(rand.Reader, trialContext, secret.New(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, items int) release {
		t.Helper()
		var r release
		rand.Read(r.id[:])
		q := api.UnwrapRequest{RequestID: r.id, Reason: "the test asks"}
		for range items {
			q.Items = append(q.Items, api.UnwrapItem{Envelope: envelope, Context: trialContext})
		}
		body := wire.Encode(q)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r.begin, r.asks = time.Now(), len(body)
		b, err := conn.Call(ctx, api.MethodUnwrap, body)
		r.end, r.gives = time.Now(), len(b)
		if err != nil {
			t.Fatal(err)
		}
		var answer api.UnwrapAnswer
		if err := wire.Decode(b, &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer.Items) != items {
			t.Fatalf("%d answers to %d items", len(answer.Items), items)
		}
		for _, it := range answer.Items {
			if it.Refusal != nil || len(it.Partial) != 65 {
				t.Fatalf("no partial: %+v", it)
			}
		}
		return r
	}
}

// strace watches a process until the function that it returns is called, which
// gives the trace.
func strace(t *testing.T, pid int) (stop func() []byte) {
	t.Helper()
	program, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: run script/deps --test")
	}
	out := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(program, "-f", "-p", fmt.Sprint(pid), "-o", out, "-ttt", "-T", "-yy", "-xx", "-s", "2048",
		"-e", "signal=none", "-e", "trace=write,pwrite64,fsync,fdatasync,sendto,sendmsg,sendmmsg,recvfrom,recvmsg,recvmmsg")
	said := &attached{seen: make(chan struct{})}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-said.seen:
	case <-done:
		if s := said.String(); strings.Contains(s, "Operation not permitted") {
			t.Fatalf("ptrace is not permitted here: run as root, or with CAP_SYS_PTRACE, where no sandbox forbids it: %s", s)
		}
		t.Fatalf("strace: %s", said)
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		t.Fatalf("strace does not attach: %s", said)
	}
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it lets the process go, and writes the rest
		<-done
	})
	t.Cleanup(end)
	return func() []byte {
		end()
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// attached is what strace says; seen is closed when it holds the process.
type attached struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
	seen chan struct{}
	once sync.Once
}

func (a *attached) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text.Write(b)
	if bytes.Contains(a.text.Bytes(), []byte(" attached")) {
		a.once.Do(func() { close(a.seen) })
	}
	return len(b), nil
}

func (a *attached) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.TrimSpace(a.text.String())
}
