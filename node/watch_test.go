package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/consensus"
	"warifu.dev/internal/wire"
	"warifu.dev/node/ops"
)

func (f *fakeReplica) Replication() consensus.Replication { return consensus.Replication{} }

func TestTheOperatorsAddressIsLoopback(t *testing.T) {
	text := "node = \"n1\"\nregion = \"r\"\nclient = \"127.0.0.1:1\"\npeer = \"127.0.0.1:2\"\n[hsm]\nkind = \"soft\"\n[ops]\nlisten = "
	c, err := ParseConfig([]byte(text + `"127.0.0.1:9090"`))
	if err != nil || c.Ops.Listen != "127.0.0.1:9090" {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := ParseConfig([]byte(text + `"0.0.0.0:9090"`)); !errors.Is(err, ErrConfig) || !errors.Is(err, ops.ErrNotLoopback) || !strings.Contains(err.Error(), `"0.0.0.0"`) {
		t.Errorf("any address: %v", err)
	}
	if b, err := (&Config{Node: "n1"}).encode(); err != nil || strings.Contains(string(b), "ops") {
		t.Errorf("nothing is configured, and init writes\n%s, %v", b, err)
	}
}

// Each reason is said, not the first alone, and none when the node serves.
func TestWhyANodeIsNotReady(t *testing.T) {
	n, r := fakeNode(t)
	_, log, closeLog := newTestJournal(t, t.TempDir())
	defer closeLog()
	n.audit, n.device = log, openSoft(t, t.TempDir())
	n.fresh = freshness{}
	all := strings.Join(n.unready(), "\n")
	for _, part := range []string{"this node is sealed", "has not heard from a majority"} {
		if !strings.Contains(all, part) {
			t.Errorf("%q is not in\n%s", part, all)
		}
	}
	r.stopped = consensus.ErrFork
	if why := n.unready(); len(why) != 1 || !strings.Contains(why[0], "stopped serving: fork") {
		t.Errorf("stopped: %q", why)
	}
}

func TestTheMedianOfPeersClocks(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		sentence string
		ahead    []time.Duration
		peers    int
		offset   time.Duration
		compared bool
		warns    string
	}{
		{"nobody answered", nil, 4, 0, false, ""},
		{"fewer than half answered", []time.Duration{9 * s}, 4, 0, false, ""},
		{"two of four: the mean", []time.Duration{1 * s, 3 * s}, 4, 2 * s, true, ""},
		{"one that lies does not matter", []time.Duration{3600 * s, 0, s}, 4, s, true, ""},
		{"ahead of all", []time.Duration{9 * s, 10 * s, 11 * s, 12 * s}, 4, 10500 * time.Millisecond, true, "10.5s ahead of"},
		{"behind all", []time.Duration{-7 * s, -8 * s, -9 * s}, 4, -8 * s, true, "8s behind"},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			c := &peerClocks{}
			c.round(tt.ahead, tt.peers)
			if offset, compared := c.ahead(); offset != tt.offset || compared != tt.compared {
				t.Errorf("got %v, %v", offset, compared)
			}
			if w := c.warning(); (w == "") != (tt.warns == "") || !strings.Contains(w, tt.warns) {
				t.Errorf("warns %q", w)
			}
		})
	}
}

// get asks a node's own operator's address, which its log names.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	a, err := http.Get(url)
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

// Three nodes, one of which has a clock that is 30 s ahead: its operator sees that it
// gets ready, and what its numbers are.
func TestAnOperatorSeesANodeGetReady(t *testing.T) {
	c := newCluster(t)
	config := filepath.Join(c.dirs[2], configName)
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(b, "\n[ops]\nlisten = \"127.0.0.1:0\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var watched sync.WaitGroup
	defer watched.Wait()
	defer stop()
	var log buffer
	watched.Go(func() {
		o := options(c.dirs[2], openSoft(t, c.dirs[2]), slog.New(slog.NewTextHandler(&log, nil)))
		o.Now = func() time.Time { return time.Now().Add(30 * time.Second) }
		if err := Run(ctx, o); err != nil {
			t.Errorf("the watched node: %v", err)
		}
	})
	listens := regexp.MustCompile(`livez, readyz and metrics.* address=(\S+)`)
	var url string
	for range 600 {
		if m := listens.FindStringSubmatch(log.String()); m != nil {
			url = "http://" + m[1]
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if url == "" {
		t.Fatalf("it listens nowhere: %s", log.String())
	}
	if code, body := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("livez: %d %s", code, body)
	}
	if code, body := get(t, url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "not ready: ") {
		t.Errorf("alone and unborn it is ready: %d %s", code, body)
	}
	c.runSome(c.dirs[:2], func() {
		offset := regexp.MustCompile(`(?m)^warifu_clock_offset_seconds (\S+)$`)
		ready, ahead := 0, 0.0
		for range 900 {
			ready, _ = get(t, url+"/readyz")
			_, body := get(t, url+"/metrics")
			if m := offset.FindStringSubmatch(body); m != nil {
				ahead, _ = strconv.ParseFloat(m[1], 64)
			}
			if ready == http.StatusOK && ahead != 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if ready != http.StatusOK || ahead < 25 || ahead > 35 {
			t.Fatalf("readyz says %d, the clock is %v s ahead", ready, ahead)
		}
		_, body := get(t, url+"/metrics")
		for _, line := range []string{"warifu_serving 1", `warifu_state{state="serving"} 1`, "warifu_audit_ok 1", "warifu_raft_leader_known 1"} {
			if !slices.Contains(strings.Split(body, "\n"), line) {
				t.Errorf("no line %s in\n%s", line, body)
			}
		}
		if !regexp.MustCompile(`warifu_hsm_seconds_count\{call="seal"\} [1-9]`).MatchString(body) {
			t.Errorf("the HSM sealed the root share, and no call was counted:\n%s", body)
		}
	})
}

// A device that is counted is the device.
func TestTheCountedDeviceIsTheDevice(t *testing.T) {
	dev := openSoft(t, t.TempDir())
	m := metered{dev, ops.NewMeters()}
	if m.Serial() != dev.Serial() || m.Kind() != dev.Kind() {
		t.Error("another device")
	}
	_, err := m.Open("nothing", []byte("x"), nil)
	_, want := dev.Open("nothing", []byte("x"), nil)
	if err == nil || errors.Unwrap(err) == nil || err.Error() != want.Error() {
		t.Errorf("%v, and %v without the count", err, want)
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
}

// A member says what its clock shows, whoever of the roster asks.
func TestAMemberSaysWhatItsClockShows(t *testing.T) {
	n, _ := fakeNode(t)
	n.now = func() time.Time { return time.UnixMilli(1234567) }
	b, err := peerServer{n}.Serve(t.Context(), nil, api.MethodPeerClock, nil)
	if err != nil {
		t.Fatal(err)
	}
	var a api.ClockAnswer
	if err := wire.Decode(b, &a); err != nil || a.Time != 1234567 {
		t.Fatalf("%+v, %v", a, err)
	}
}
