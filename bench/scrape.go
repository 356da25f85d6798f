package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"warifu.dev/transport"
)

// Names of what a node shows and is read here; see docs/operations.md.
const (
	termShown       = "warifu_raft_term"
	syncsShown      = "warifu_audit_syncs_total"
	overloadedShown = "warifu_overloaded_total"
	sentShown       = "warifu_sent_bytes_total"
	allocatedShown  = "go_memstats_alloc_bytes_total"
	mallocsShown    = "go_memstats_mallocs_total"
)

const (
	maxShown    = 1 << 20 // bytes of one node's numbers, which are some 20 kB
	shownWithin = 10 * time.Second
)

// scrape reads the numbers that a node shows at an address: those without labels.
func scrape(ctx context.Context, address string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, shownWithin)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, fmt.Errorf("read a node's numbers: %w", err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read a node's numbers: %s", r.Status)
	}
	return readNumbers(io.LimitReader(r.Body, maxShown))
}

// readNumbers reads Prometheus' text format, and passes over what has labels.
func readNumbers(in io.Reader) (map[string]float64, error) {
	out := map[string]float64{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || name == "#" || strings.Contains(name, "{") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read a node's numbers: %s: %w", name, err)
		}
		out[name] = v
	}
	return out, lines.Err()
}

// Count is what one process did beside using its CPU, for each item.
type Count struct {
	Process     string  `json:"process"`
	Allocated   float64 `json:"allocated_bytes"` // on the heap
	Allocations float64 `json:"allocations"`
	Syncs       float64 `json:"syncs,omitempty"`      // of the audit; a client has none
	Sent        float64 `json:"sent_bytes,omitempty"` // of QUIC; those of all together are on the wire
}

// tally is how far the counters of this process and of some nodes were.
type tally struct {
	numbers map[string]string
	own     Count
	nodes   map[string]Count
}

// ownCount is this process's.
func ownCount() Count {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"}}
	metrics.Read(s)
	return Count{Process: "client", Allocated: float64(s[0].Value.Uint64()), Allocations: float64(s[1].Value.Uint64()), Sent: float64(transport.Sent())}
}

// newTally reads the counters of this process, and of the nodes that show theirs.
func newTally(ctx context.Context, numbers map[string]string) (*tally, error) {
	t := &tally{numbers: numbers, nodes: map[string]Count{}}
	for name, address := range numbers {
		shown, err := scrape(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.nodes[name] = Count{Process: name, Allocated: shown[allocatedShown], Allocations: shown[mallocsShown], Syncs: shown[syncsShown], Sent: shown[sentShown]}
	}
	t.own = ownCount()
	return t, nil
}

// since is what each process did from then on, for each of some items: the client first,
// then the nodes in the order of names. Without a node that shows its numbers there is
// nothing.
func (t *tally) since(ctx context.Context, items int, names []string) ([]Count, error) {
	if len(t.numbers) == 0 {
		return nil, nil
	}
	each := func(now, then Count) Count {
		n := float64(items)
		return Count{
			Process: now.Process, Allocated: (now.Allocated - then.Allocated) / n, Allocations: (now.Allocations - then.Allocations) / n,
			Syncs: (now.Syncs - then.Syncs) / n, Sent: (now.Sent - then.Sent) / n,
		}
	}
	out := []Count{each(ownCount(), t.own)}
	now, err := newTally(ctx, t.numbers)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, shows := t.nodes[name]; shows {
			out = append(out, each(now.nodes[name], t.nodes[name]))
		}
	}
	return out, nil
}
