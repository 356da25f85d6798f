package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The part of the transit API of HashiCorp Vault and OpenBao that is driven here:
//
//	POST /v1/MOUNT/datakey/plaintext/KEY  {}                              ──▶ plaintext, ciphertext
//	POST /v1/MOUNT/datakey/wrapped/KEY    {}                              ──▶ ciphertext
//	POST /v1/MOUNT/encrypt/KEY            {"plaintext": ...}              ──▶ ciphertext
//	POST /v1/MOUNT/decrypt/KEY            {"ciphertext": ...}             ──▶ plaintext
//	                                      {"batch_input": [ one, ... ]}   ──▶ batch_results: [ one, ... ]
//	GET  /v1/sys/health                                                   ──▶ sealed, standby, version
//
// Plaintexts are base64, ciphertexts begin with "vault:v" and the key's version. See
// the API's pages "Transit secrets engine" and "/sys/health".

// transitItem is one item of a request or of an answer. encoding/json has the
// plaintext in base64.
type transitItem struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Error      string `json:"error,omitempty"` // of an item of a batch
}

type transitRequest struct {
	transitItem
	Batch []transitItem `json:"batch_input,omitempty"`
}

type transitAnswer struct {
	Data *struct {
		transitItem
		Batch []transitItem `json:"batch_results"`
	} `json:"data"`
}

const ciphertextBegins = "vault:v"

func (p *Peer) keyPath(operation string) string {
	return "/v1/" + p.conf.Mount + "/" + operation + "/" + p.conf.Key
}

// dataKey has the peer make one. Its plaintext, where the peer shows it, is compared
// later with what its ciphertext opens to.
func (p *Peer) dataKey(ctx context.Context, operation string, into *transitItem) error {
	var a transitAnswer
	if err := p.post(ctx, p.keyPath(operation), struct{}{}, &a); err != nil {
		return err
	}
	d := a.Data
	switch {
	case d == nil || !strings.HasPrefix(d.Ciphertext, ciphertextBegins):
		return peerError(PeerMalformed, "an answer without a ciphertext")
	case operation == "datakey/plaintext" && len(d.Plaintext) != 32:
		return peerError(PeerMalformed, "a data key of %d bytes", len(d.Plaintext))
	case operation == "datakey/wrapped" && len(d.Plaintext) != 0:
		return peerError(PeerMalformed, "a wrapped data key came with its plaintext")
	}
	*into = d.transitItem
	return nil
}

// encrypt fills in the ciphertexts of some plaintexts.
func (p *Peer) encrypt(ctx context.Context, some []transitItem, batch bool) error {
	in := make([]transitItem, len(some))
	for i := range some {
		in[i].Plaintext = some[i].Plaintext
	}
	out, err := p.items(ctx, "encrypt", in, batch)
	if err != nil {
		return err
	}
	for i := range out {
		if !strings.HasPrefix(out[i].Ciphertext, ciphertextBegins) {
			return peerError(PeerMalformed, "an answer without a ciphertext")
		}
		some[i].Ciphertext = out[i].Ciphertext
	}
	return nil
}

// decrypt opens ciphertexts, and compares each with the plaintext that is known; of a
// wrapped data key nothing is but its length.
func (p *Peer) decrypt(ctx context.Context, some []transitItem, batch bool) error {
	in := make([]transitItem, len(some))
	for i := range some {
		in[i].Ciphertext = some[i].Ciphertext
	}
	out, err := p.items(ctx, "decrypt", in, batch)
	if err != nil {
		return err
	}
	for i := range out {
		if want := some[i].Plaintext; want == nil && len(out[i].Plaintext) != 32 || want != nil && !bytes.Equal(out[i].Plaintext, want) {
			return ErrWrong
		}
	}
	return nil
}

// items puts in one request, of a batch or of the one item that there is.
func (p *Peer) items(ctx context.Context, operation string, in []transitItem, batch bool) ([]transitItem, error) {
	var q transitRequest
	if batch {
		q.Batch = in
	} else {
		q.transitItem = in[0]
	}
	var a transitAnswer
	if err := p.post(ctx, p.keyPath(operation), q, &a); err != nil {
		return nil, err
	}
	if a.Data == nil {
		return nil, peerError(PeerMalformed, "an answer without data")
	}
	out := a.Data.Batch
	if !batch {
		out = []transitItem{a.Data.transitItem}
	}
	if len(out) != len(in) {
		return nil, peerError(PeerMalformed, "%d results of %d items", len(out), len(in))
	}
	for _, o := range out {
		if o.Error != "" {
			return nil, peerError(PeerRefuses, "an item of a batch: %s", o.Error)
		}
	}
	return out, nil
}

// health asks whether the peer is the one to be asked, and for its version.
func (p *Peer) health(ctx context.Context) (version string, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base.JoinPath("/v1/sys/health").String(), nil)
	if err != nil {
		return "", err
	}
	status, body, err := p.do(q)
	if err != nil {
		return "", err
	}
	var h struct {
		Sealed  bool   `json:"sealed"`
		Standby bool   `json:"standby"`
		Version string `json:"version"`
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return "", peerError(PeerMalformed, "its health: %w", err)
	}
	switch {
	case h.Sealed:
		return "", peerError(PeerFails, "it is sealed")
	case h.Standby:
		return "", peerError(PeerRedirects, "it is a standby; name the active one")
	case status != http.StatusOK || h.Version == "":
		return "", peerError(PeerMalformed, "it says of its health %d, and version %q", status, h.Version)
	}
	return h.Version, nil
}

// post puts in one request, with the token.
func (p *Peer) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base.JoinPath(path).String(), bytes.NewReader(b))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("X-Vault-Request", "true") // which a proxy in front of one may ask for
	q.Header.Set("X-Vault-Token", string(p.conf.Token.Reveal()))
	status, body, err := p.do(q)
	if err != nil {
		return err
	}
	if err := statusError(status, body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return peerError(PeerMalformed, "%w", err)
	}
	return nil
}

// statusError names what is no answer.
func statusError(status int, body []byte) error {
	kind := peerUnasked
	switch status / 100 {
	case 2:
		if status == http.StatusOK {
			return nil
		}
	case 3:
		kind = PeerRedirects
	case 4:
		kind = PeerRefuses
	case 5:
		kind = PeerFails
	}
	var said struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(body, &said) // what says nothing has its status to say
	return peerError(kind, "%d %s %s", status, http.StatusText(status), strings.Join(said.Errors, "; "))
}

// do reads one answer whole, so that its connection can be used again.
func (p *Peer) do(q *http.Request) (status int, body []byte, err error) {
	r, err := p.http.Do(q)
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return 0, nil, err
		}
		return 0, nil, peerError(PeerSilent, "%w", err)
	}
	defer r.Body.Close()
	body, err = io.ReadAll(io.LimitReader(r.Body, maxPeerAnswer+1))
	switch {
	case err != nil:
		return 0, nil, peerError(PeerCut, "after %d bytes: %w", len(body), err)
	case len(body) > maxPeerAnswer:
		return 0, nil, peerError(PeerMalformed, "an answer of more than %d bytes", maxPeerAnswer)
	}
	return r.StatusCode, body, nil
}

// peerTransport keeps as many connections as are in flight, and asks no proxy.
func peerTransport(roots []byte) (*http.Transport, error) {
	t := &http.Transport{
		MaxIdleConnsPerHost: maxInFlight, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if roots != nil {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(roots) {
			return nil, fmt.Errorf("the peer's roots: no certificate in PEM")
		}
	}
	return t, nil
}
