package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
	"warifu.dev/client/home"
)

// reasonVariable names the environment variable with the stated reason.
const reasonVariable = "WARIFU_REASON"

var (
	errOtherCluster = errors.New("this recipient is of another cluster than the one known here")
	errIdentityData = errors.New("not an identity that this plugin knows: it names something, and there is only the home directory")
	errReason       = errors.New(reasonVariable + " is too long")
)

// atHome is what age's requests are answered from: the home directory, and a
// client of its cluster, each opened when it is first needed.
type atHome struct {
	opened *home.Home
	client *client.Client
}

func (h *atHome) open() (*home.Home, error) {
	if h.opened != nil {
		return h.opened, nil
	}
	dir, err := home.Dir()
	if err != nil {
		return nil, err
	}
	h.opened, err = home.Open(dir)
	return h.opened, err
}

// connect makes the client. It calls nobody yet.
func (h *atHome) connect() (*client.Client, error) {
	if h.client != nil {
		return h.client, nil
	}
	at, err := h.open()
	if err != nil {
		return nil, err
	}
	cert, err := at.Identity()
	if err != nil {
		return nil, err
	}
	h.client, err = client.New(client.Config{Genesis: at.Genesis, Claims: at.Claims, Certificate: cert, Region: at.Region, Source: at.Source})
	return h.client, err
}

func (h *atHome) close() {
	if h.client != nil {
		h.client.Close()
	}
}

// recipient finds the key that a recipient names: among the records that were
// kept, or else by asking the cluster.
func (h *atHome) recipient(ctx context.Context, data []byte) (age.Recipient, error) {
	ref, err := agefile.ParseReference(data)
	if err != nil {
		return nil, err
	}
	at, err := h.open()
	if err != nil {
		return nil, err
	}
	if ref.Genesis != at.Genesis.Hash() {
		return nil, fmt.Errorf("%w (%s)", errOtherCluster, at.Dir)
	}
	k, err := at.Record(ref.Key)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = h.ask(ctx, ref.Key)
	}
	if err != nil {
		return nil, err
	}
	return agefile.NewRecipient(k, ref.Context)
}

func (h *atHome) ask(ctx context.Context, id api.KeyID) (*client.Key, error) {
	c, err := h.connect()
	if err != nil {
		return nil, err
	}
	return c.RecordByID(ctx, id)
}

// identity opens by asking the cluster, as whoever the home directory calls as.
func (h *atHome) identity(ctx context.Context, data []byte) (age.Identity, error) {
	if len(data) != 0 {
		return nil, errIdentityData
	}
	reason := os.Getenv(reasonVariable)
	if len(reason) > api.MaxReason {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are taken", errReason, len(reason), api.MaxReason)
	}
	c, err := h.connect()
	if err != nil {
		return nil, err
	}
	return spoken{agefile.NewIdentity(ctx, c, reason)}, nil
}

// spoken makes an identity's failures fit for age, which prints them as they are.
type spoken struct{ age.Identity }

func (s spoken) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	fileKey, err := s.Identity.Unwrap(stanzas)
	return fileKey, oneLine(err)
}

// oneLine is err on one line: each node's reason follows after a semicolon.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	var parts []string
	for line := range strings.Lines(err.Error()) {
		parts = append(parts, strings.TrimSpace(line))
	}
	return &flattened{strings.Join(parts, "; "), err}
}

type flattened struct {
	line string
	err  error
}

func (f *flattened) Error() string { return f.line }
func (f *flattened) Unwrap() error { return f.err }
