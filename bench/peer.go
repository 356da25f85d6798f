package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"warifu.dev/internal/secret"
)

// PeerVault is the one kind of peer that there is: what speaks the transit API of
// HashiCorp Vault, as OpenBao does.
const PeerVault = "vault"

// How to have a peer measured, for a report that has none.
const howToAddAPeer = "--peer vault=URL adds one, with its token in $WARIFU_PEER_TOKEN or in the file of --peer-token-file"

// PeerConfig says what else is measured beside a cluster.
type PeerConfig struct {
	Kind  string       // [PeerVault]
	URL   string       // where it listens, without a path
	Token secret.Bytes // it is sent to that address and to no other
	Mount string       // of its transit engine; empty: transit
	Key   string       // by name; it is there already
	PID   int          // of its process; 0: of who listens at a loopback URL here, if it is to be found
	Roots []byte       // PEM, which an https URL is trusted by; nil: what the system trusts
	Rand  io.Reader    // for plaintexts; nil: crypto/rand
}

// PeerInfo is what a report says of a peer.
type PeerInfo struct {
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Version string `json:"version"`
	PID     int    `json:"pid,omitempty"`
	Why     string `json:"cpu_not_measured,omitempty"`
}

func (p PeerInfo) String() string {
	out := fmt.Sprintf("%s %s at %s", p.Kind, p.Version, p.URL)
	if p.Why != "" {
		out += ", CPU not measured: " + p.Why
	}
	return out
}

// Peer is a peer that answers.
type Peer struct {
	PeerInfo
	conf PeerConfig
	base *url.URL
	http *http.Client
}

// Kinds of what goes wrong with a peer, as [Taken] counts them.
const (
	PeerRefuses   = "4xx"          // the peer says no
	PeerFails     = "5xx"          // the peer cannot
	PeerRedirects = "redirect"     // a standby; the token is not sent on
	PeerCut       = "cut"          // the answer ends before its end
	PeerMalformed = "malformed"    // it is not what the API answers
	PeerSilent    = "no answer"    // the connection
	peerUnasked   = "other status" // 1xx and 2xx beside 200
)

// PeerError is a failure of a peer, by its name.
type PeerError struct {
	Kind string
	Err  error
}

func (e *PeerError) Error() string { return e.Kind + ": " + e.Err.Error() }

// Unwrap is for errors.Is.
func (e *PeerError) Unwrap() error { return e.Err }

func peerError(kind, format string, args ...any) error {
	return &PeerError{kind, fmt.Errorf(format, args...)}
}

const (
	// maxPeerAnswer bounds what is read of one answer: a batch of 256 has 40 kB.
	maxPeerAnswer = 1 << 20
	// peerWithin bounds one request, as Vault's own client does.
	peerWithin = time.Minute
)

// check says where a peer is. What is not on this machine is asked over TLS: the token
// would be there for others to read.
func (c *PeerConfig) check() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the peer's URL: %w", errors.Unwrap(err)) // which does not repeat what may have a password in it
	case c.Kind != PeerVault:
		return nil, fmt.Errorf("no such kind of peer: %q", c.Kind)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, errors.New("a peer's URL is http://HOST:PORT or https://HOST:PORT")
	case u.Scheme == "http" && !loopback(u):
		return nil, errors.New("a peer that is not on this machine is asked by https alone, since its token travels with each request")
	case c.Token.Len() == 0:
		return nil, errors.New("the peer's token is missing: " + howToAddAPeer)
	case strings.ContainsAny(c.Mount+c.Key, "?#% ") || c.Key == "" || strings.Contains(c.Key, "/"):
		return nil, errors.New("the name of the peer's key, or of its mount, is none")
	}
	return u, nil
}

func loopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// NewPeer asks a peer how it is, and finds its process. Close ends its connections.
func NewPeer(ctx context.Context, conf PeerConfig) (*Peer, error) {
	base, err := conf.check()
	if err != nil {
		return nil, err
	}
	if conf.Mount == "" {
		conf.Mount = "transit"
	}
	if conf.Rand == nil {
		conf.Rand = rand.Reader
	}
	by, err := peerTransport(conf.Roots)
	if err != nil {
		return nil, err
	}
	p := &Peer{
		PeerInfo: PeerInfo{Kind: conf.Kind, URL: base.Scheme + "://" + base.Host},
		conf:     conf, base: base,
		http: &http.Client{
			Transport: by, Timeout: peerWithin,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if p.Version, err = p.health(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("the peer at %s: %w", p.URL, err)
	}
	p.find()
	return p, nil
}

// find looks for the peer's process.
func (p *Peer) find() {
	switch {
	case p.conf.PID != 0:
		p.PID = p.conf.PID
	case !loopback(p.base):
		p.Why = "it is not on this machine"
		return
	default:
		port, err := strconv.Atoi(p.base.Port())
		if err != nil {
			p.Why = "its URL has no port to find its process by"
			return
		}
		if p.PID, err = listening(port); err != nil {
			p.Why = err.Error()
			return
		}
	}
	if _, err := cpuOf(p.PID); err != nil {
		p.PID, p.Why = 0, err.Error()
	}
}

// Close ends the connections.
func (p *Peer) Close() { p.http.CloseIdleConnections() }

func (p *Peer) pids() map[string]int {
	if p.PID == 0 {
		return nil
	}
	return map[string]int{p.Kind: p.PID}
}

// peerName is before the names of a peer's shapes.
const peerName = "peer, "

// PeerOperations are what a peer is asked for. Each is checked: what was encrypted is
// decrypted and compared, and so is a data key.
var PeerOperations = []string{"datakey/plaintext", "datakey/wrapped", "encrypt", "decrypt"}

// inBatches says whether the transit API takes an operation for many items at a time.
func inBatches(operation string) bool { return operation == "encrypt" || operation == "decrypt" }

// Shapes asks the peer in one way for each operation that can be asked for so.
func (p *Peer) Shapes(ctx context.Context, shape Shape) (out []Measured, err error) {
	idle, err := idleOf(ctx, p.pids())
	if err != nil {
		return nil, err
	}
	for _, operation := range PeerOperations {
		if shape.Batch > 1 && !inBatches(operation) {
			continue
		}
		m, err := p.Measure(ctx, operation, shape, idle)
		if err != nil {
			return nil, err
		}
		out = append(out, *m)
	}
	return out, nil
}

// Measure asks the peer for one operation in one way. Its connections are kept alive,
// as many as are in flight; a shape's clients make no difference to it. What opens
// nothing at a peer that never changes what it has encrypted, envelopes, is made new.
func (p *Peer) Measure(ctx context.Context, operation string, shape Shape, idle []CPU) (*Measured, error) {
	shape.Name, shape.Clients, shape.Encrypts = peerName+operation, 1, false
	if err := shape.Check(); err != nil {
		return nil, err
	}
	if shape.Batch > 1 && !inBatches(operation) {
		return nil, fmt.Errorf("bench: a peer takes %s one at a time", operation)
	}
	n := shape.N * shape.Batch
	distinct := n
	if shape.Envelopes > 0 {
		distinct = min(shape.Envelopes, n)
	}
	sealed := make([]transitItem, n) // what the operation made, or was given
	var do func(ctx context.Context, i int) error
	of := func(i int) []transitItem { return sealed[i*shape.Batch : (i+1)*shape.Batch] }
	check := func(context.Context) error { return nil }
	switch operation {
	case "encrypt":
		if err := p.plaintexts(sealed); err != nil {
			return nil, err
		}
		do, check = func(ctx context.Context, i int) error { return p.encrypt(ctx, of(i), shape.Batch > 1) }, func(ctx context.Context) error {
			return p.opens(ctx, sealed)
		}
	case "decrypt":
		if err := p.plaintexts(sealed[:distinct]); err != nil {
			return nil, err
		}
		for i := 0; i < distinct; i += maxBatch {
			if err := p.encrypt(ctx, sealed[i:min(i+maxBatch, distinct)], true); err != nil {
				return nil, fmt.Errorf("%s, before anything is counted: %w", shape.Name, err)
			}
		}
		for i := distinct; i < n; i++ {
			sealed[i] = sealed[i%distinct]
		}
		do = func(ctx context.Context, i int) error { return p.decrypt(ctx, of(i), shape.Batch > 1) }
	case "datakey/plaintext", "datakey/wrapped":
		do = func(ctx context.Context, i int) error { return p.dataKey(ctx, operation, &sealed[i]) }
		check = func(ctx context.Context) error { return p.opens(ctx, sealed) }
	default:
		return nil, fmt.Errorf("bench: a peer does not %q", operation)
	}
	out, err := measure(ctx, shape, p.pids(), nil, idle, do)
	if err != nil {
		return nil, err
	}
	if err := check(ctx); err != nil {
		out.Taken.failed(err)
	}
	return out, nil
}

// plaintexts makes data keys of 32 bytes.
func (p *Peer) plaintexts(into []transitItem) error {
	for i := range into {
		key := make([]byte, 32)
		if _, err := io.ReadFull(p.conf.Rand, key); err != nil {
			return err
		}
		into[i].Plaintext = key
	}
	return nil
}

// opens has the peer decrypt what it made, after the clocks have stopped. What failed
// when it was to be made, and was counted then, is passed over.
func (p *Peer) opens(ctx context.Context, sealed []transitItem) error {
	var made []transitItem
	for _, s := range sealed {
		if s.Ciphertext != "" {
			made = append(made, s)
		}
	}
	for i := 0; i < len(made); i += maxBatch {
		if err := p.decrypt(ctx, made[i:min(i+maxBatch, len(made))], true); err != nil {
			return fmt.Errorf("open what it made: %w", err)
		}
	}
	return nil
}
