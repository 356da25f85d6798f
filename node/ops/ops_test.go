package ops

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for address, fits := range map[string]bool{
		"127.0.0.1:9090": true, "[::1]:9090": true, "127.8.0.1:0": true,
		"0.0.0.0:9090": false, "[::]:9090": false, ":9090": false, "192.0.2.1:9090": false, "10.0.0.1:9090": false,
		"localhost:9090": false, "example.com:9090": false,
	} {
		if err := CheckAddress(address); (err == nil) != fits || err != nil && !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if CheckAddress("127.0.0.1") == nil {
		t.Error("an address without a port is taken")
	}
}

// shown is a server whose facts and reasons a test changes between requests.
type shown struct {
	facts  Facts
	why    []string
	meters *Meters
	url    string
}

func serve(t *testing.T) *shown {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &shown{meters: NewMeters(), url: "http://" + l.Addr().String()}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, Config{
			Listener: l, Meters: s.meters, Facts: func() Facts { return s.facts }, Unready: func() []string { return s.why },
			Log: slog.New(slog.DiscardHandler),
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			t.Error("it still listens")
		}
	})
	return s
}

func (s *shown) get(t *testing.T, path string) (int, string) {
	t.Helper()
	a, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

func TestANodeThatIsNotReadySaysWhy(t *testing.T) {
	s := serve(t)
	if code, body := s.get(t, "/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("livez: %d %q", code, body)
	}
	if code, body := s.get(t, "/readyz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	s.why = []string{"this node is sealed", "sealed: needs 2 more of alice, bob"}
	if code, body := s.get(t, "/readyz"); code != http.StatusServiceUnavailable || body != "not ready: this node is sealed\nnot ready: sealed: needs 2 more of alice, bob\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	if code, _ := s.get(t, "/livez"); code != http.StatusOK {
		t.Errorf("a node that is not ready lives: %d", code)
	}
	if code, _ := s.get(t, "/"); code != http.StatusNotFound {
		t.Errorf("anything else: %d", code)
	}
	a, err := http.Post(s.url+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a post: %d", a.StatusCode)
	}
}

// sample is a line of the text format that is no comment: name, labels, value.
var sample = regexp.MustCompile(`(?m)^(warifu_[a-z_]+)(\{[^}]*\})? (\S+)$`)

func full() Facts {
	return Facts{
		State: "serving", Serving: true, FreshAge: 1500 * time.Millisecond, Term: 3, Leads: true, HasLeader: true,
		Stored: 12, Committed: 11, Applied: 10, Ceremonies: 2, Overlapping: 7, Unerased: 8, AuditOK: true, AuditRecords: 40, AuditBytes: 4096, Sent: 77,
		DiskFree: 1 << 30, AuditQueue: 5, JournalQueue: 6, ClockOffset: -250 * time.Millisecond, ClockCompare: true,
	}
}

func (m *Meters) each() {
	m.Decided("released", "")
	m.Decided("refused", "denied")
	m.Took("sync", time.Millisecond)
	m.Called("open", time.Millisecond, errors.New("gone"))
}

func TestEachNumberIsShown(t *testing.T) {
	s := serve(t)
	s.facts = full()
	s.meters.each()
	_, body := s.get(t, "/metrics")
	for _, line := range []string{
		"warifu_serving 1", "warifu_fresh_age_seconds 1.5", "warifu_raft_term 3", "warifu_raft_leads 1", "warifu_raft_leader_known 1",
		"warifu_raft_stored_index 12", "warifu_raft_committed_index 11", "warifu_raft_applied_index 10", "warifu_ceremonies_open 2", "warifu_epochs_overlapping 7", "warifu_epochs_unerased 8",
		"warifu_audit_ok 1", "warifu_audit_records 40", "warifu_audit_bytes 4096", "warifu_sent_bytes_total 77", "warifu_disk_free_bytes 1.073741824e+09",
		"warifu_clock_offset_seconds -0.25", `warifu_state{state="serving"} 1`, `warifu_queue_length{queue="audit"} 5`,
		`warifu_queue_length{queue="journal"} 6`, `warifu_gate_decisions_total{code="",outcome="released"} 1`,
		`warifu_gate_decisions_total{code="denied",outcome="refused"} 1`, `warifu_gate_seconds_count{part="sync"} 1`,
		`warifu_gate_seconds_sum{part="sync"} 0.001`, `warifu_hsm_seconds_count{call="open"} 1`, `warifu_hsm_errors_total{call="open"} 1`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, body)
		}
	}
	// What is not known is absent, and never a number that somebody could believe.
	s.facts = Facts{State: "sealed", FreshAge: -1, DiskFree: -1}
	_, body = s.get(t, "/metrics")
	for _, name := range []string{"warifu_fresh_age_seconds", "warifu_disk_free_bytes", "warifu_clock_offset_seconds"} {
		if strings.Contains(body, name) {
			t.Errorf("%s is shown, and not known", name)
		}
	}
	if !strings.Contains(body, "\nwarifu_serving 0\n") {
		t.Error("it does not serve, and does not say so")
	}
}

// R25: no label but these, whose values are our own words: who asks, for which key,
// and why is the audit's alone.
func TestLabelsAreFew(t *testing.T) {
	s := serve(t)
	s.facts = full()
	s.meters.each()
	_, body := s.get(t, "/metrics")
	label := regexp.MustCompile(`([a-z_]+)="`)
	for _, m := range sample.FindAllStringSubmatch(body, -1) {
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains([]string{"state", "queue", "outcome", "code", "part", "call", "le"}, l[1]) {
				t.Errorf("%s has the label %s", m[1], l[1])
			}
		}
	}
}

const page = "../../docs/operations.md"

// The page's table of metrics is what the node shows, in the words that it shows.
func TestThePageListsEachMetric(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t)
	s.facts = full()
	s.meters.each()
	_, body := s.get(t, "/metrics")
	help := regexp.MustCompile(`(?m)^# HELP (warifu_[a-z_]+) (.*)$`)
	seen := 0
	for _, m := range help.FindAllStringSubmatch(body, -1) {
		seen++
		if row := "| `" + m[1] + "` | " + m[2] + " |"; !strings.Contains(string(text), row) {
			t.Errorf("the page lacks the row\n%s", row)
		}
	}
	if listed := strings.Count(string(text), "\n| `warifu_"); listed != seen || seen < 20 {
		t.Errorf("the page lists %d metrics, the node shows %d", listed, seen)
	}
}

// One machine's monitoring takes no more than its connections: who comes after waits
// until one is closed, and is served then.
func TestConnectionsAreBounded(t *testing.T) {
	s := serve(t)
	address := strings.TrimPrefix(s.url, "http://")
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		return err
	}
	var open []net.Conn
	for range maxConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	late, err := net.Dial("tcp", address) // the system's queue takes it
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	late.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if err := ask(late); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("one more than the bound: %v", err)
	}
	open[0].Close()
	late.SetDeadline(time.Now().Add(time.Minute))
	if _, err := late.Read(make([]byte, 1)); err != nil {
		t.Fatalf("after one was closed: %v", err)
	}
}
