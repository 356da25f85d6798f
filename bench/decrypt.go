package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// Config says what to measure.
type Config struct {
	Client   *client.Client
	Key      *client.Key
	N        int            // unwraps in each of the two parts
	InFlight int            // of the second part
	PIDs     map[string]int // the nodes' processes by name, where they are on this machine
	Dir      string         // on the disk that the audit is measured on; empty: the system's temporary directory
}

// Check holds the numbers against their bounds.
func (c *Config) Check() error { return Load{N: c.N, InFlight: c.InFlight}.Check() }

const (
	warmUp  = 50 // unwraps before any is counted: connections, distances, caches
	idleFor = time.Second
)

// reason is what the nodes' audits say of these unwraps.
const reason = "warifu-bench"

var benchContext = api.Context{"purpose": "measurement", "tenant": "warifu-bench"}

// Decrypt measures unwraps, one at a time and many in flight, and the steps of one.
func Decrypt(ctx context.Context, conf Config) (*Report, error) {
	if err := conf.Check(); err != nil {
		return nil, err
	}
	if conf.Client == nil || conf.Key == nil {
		return nil, errors.New("bench: a client and a key are required")
	}
	r := &Report{
		Machine: ThisMachine(), Began: time.Now().UTC(),
		Key: conf.Key.Name(), Threshold: conf.Key.Threshold(), Holders: len(conf.Key.Holders()),
	}
	if _, err := conf.part(ctx, "warm-up", warmUp, 1); err != nil {
		return nil, err
	}
	idle, err := newMeter(conf.PIDs)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(idleFor):
	}
	if r.Idle, err = idle.stop(0); err != nil {
		return nil, err
	}
	one, err := conf.part(ctx, "one at a time", conf.N, 1)
	if err != nil {
		return nil, err
	}
	many, err := conf.part(ctx, fmt.Sprintf("%d in flight", conf.InFlight), conf.N, conf.InFlight)
	if err != nil {
		return nil, err
	}
	if r.Steps, err = Steps(conf.Dir); err != nil {
		return nil, err
	}
	one.Explained = r.explain(one, AuditAlone)
	many.Explained = r.explain(many, AuditShared)
	r.Parts = []Part{*one, *many}
	return r, nil
}

// Part is what some unwraps took.
type Part struct {
	Name       string        `json:"name"`
	Unwraps    int           `json:"unwraps"`
	InFlight   int           `json:"in_flight"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	Longest    time.Duration `json:"longest_ns"`
	Throughput float64       `json:"unwraps_per_second"`
	CPU        []CPU         `json:"cpu"` // per unwrap; the client first, then nodes by name
	Explained  []Explained   `json:"explained,omitempty"`
}

// CPU is the CPU time of one process.
type CPU struct {
	Process string        `json:"process"`
	Each    time.Duration `json:"per_unwrap_ns,omitempty"`
	Share   float64       `json:"of_one_core"` // 1 is a whole core, all the while
}

// part makes n envelopes, and then unwraps each once.
func (c *Config) part(ctx context.Context, name string, n, inFlight int) (*Part, error) {
	envelopes, deks := make([][]byte, n), make([][]byte, n)
	for i := range n {
		deks[i] = make([]byte, 32)
		rand.Read(deks[i])
		var err error
		if envelopes[i], err = c.Key.Wrap(rand.Reader, benchContext, secret.Clone(deks[i])); err != nil {
			return nil, err
		}
	}
	m, err := newMeter(c.PIDs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t, err := Load{N: n, InFlight: inFlight}.Run(ctx, func(ctx context.Context, i int) error {
		dek, err := c.Client.Unwrap(ctx, envelopes[i], benchContext, reason)
		if err == nil && string(dek.Reveal()) != string(deks[i]) {
			err = ErrWrong
		}
		if err != nil {
			cancel(fmt.Errorf("%s, unwrap %d of %d: %w", name, i+1, n, err))
		}
		return err
	})
	if err != nil {
		return nil, context.Cause(ctx)
	}
	p := &Part{
		Name: name, Unwraps: n, InFlight: inFlight, Throughput: float64(n) / t.Elapsed.Seconds(),
		P50: t.Latency.P50, P99: t.Latency.P99, Longest: t.Latency.Longest,
	}
	p.CPU, err = m.stop(n)
	return p, err
}

// meter knows what every process had used when it began.
type meter struct {
	pids  map[string]int
	began time.Time
	own   time.Duration
	nodes map[string]time.Duration
}

// newMeter begins to measure this process and those given.
func newMeter(pids map[string]int) (*meter, error) {
	m := &meter{pids: pids, nodes: map[string]time.Duration{}}
	for name, pid := range pids {
		used, err := cpuOf(pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.nodes[name] = used
	}
	m.own, m.began = ownCPU(), time.Now()
	return m, nil
}

// stop says what each process has used since, by unwrap if there were any.
func (m *meter) stop(unwraps int) ([]CPU, error) {
	elapsed := time.Since(m.began)
	line := func(name string, used time.Duration) CPU {
		c := CPU{Process: name, Share: used.Seconds() / elapsed.Seconds()}
		if unwraps > 0 {
			c.Each = used / time.Duration(unwraps)
		}
		return c
	}
	out := []CPU{line("client", ownCPU()-m.own)}
	var nodes []CPU
	for name, pid := range m.pids {
		used, err := cpuOf(pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		nodes = append(nodes, line(name, used-m.nodes[name]))
	}
	slices.SortFunc(nodes, func(a, b CPU) int { return strings.Compare(a.Process, b.Process) })
	return append(out, nodes...), nil
}
