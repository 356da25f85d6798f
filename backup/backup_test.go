package backup

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/authority"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/wire"
	"warifu.dev/node"
)

var made = time.UnixMilli(1_800_000_000_000)

// aNode is the directory of a node that has joined a cluster of its own.
func aNode(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(dir, "soft-hsm"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	line, err := node.Init(rand.Reader, dir, node.Config{
		Node: "n1", Region: "jp-east", Client: "127.0.0.1:1", Peer: "127.0.0.1:2", HSM: node.HSMConfig{Kind: "soft"},
	}, dev)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	custodian, err := authority.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	g := authority.Genesis{
		Format: authority.GenesisFormat, Created: made.UnixMilli(), Unseal: authority.UnsealHSM,
		Custodians: []authority.Custodian{{Name: "alice", Sign: custodian.PublicKey(), Open: "age1test"}},
	}
	rand.Read(g.Cluster[:])
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: 1})
	}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: 2, F: 1, PhaseSeconds: 60}
	g.Roster, g.Root.Holders = []authority.Node{line}, []string{line.ID}
	for i := range 2 { // the others are lines alone
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := authority.NewSigner(other)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("n%d", i+2)
		claim, err := authority.SignClaim(rand.Reader, signer, authority.AddressClaim{Node: id, Counter: 1, Client: "127.0.0.1:3", Peer: "127.0.0.1:4"})
		if err != nil {
			t.Fatal(err)
		}
		g.Roster = append(g.Roster, authority.Node{ID: id, Region: "sg", Key: signer.PublicKey(), Claim: claim})
		g.Root.Holders = append(g.Root.Holders, id)
	}
	doc := &authority.SignedGenesis{Body: wire.Encode(g)}
	if err := doc.Sign(rand.Reader, custodian); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Join(dir, doc.Encode(), nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t testing.TB, dir, name, content string) {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secretMarker is in every file that must not be in a backup.
const secretMarker = "this must not be in a backup"

// lived is the directory of a node that has been running.
func lived(t testing.TB) string {
	t.Helper()
	dir := aNode(t)
	for _, name := range []string{
		"chain", "seal/root-3.sealed", "seal/keyring-3.sealed", "raft/snapshot", "audit/checkpoint", "audit/archived-00000000",
		"audit/records-00000001", "audit/records-00000002", "audit/tile/0/000", "audit/tile/0/001.p/7",
	} {
		put(t, dir, name, "content of "+name)
	}
	for _, name := range []string{
		"pin", "slots", "lock", "identity.claim", "raft/floor", "raft/denies", "raft/wal-meta.db", "raft/00000001.wal", "raft/snapshot.new",
		"ceremony/abc", "seal/root-4.sealed.new", "audit/reserve", "audit/lock", "audit/checkpoint.new", "soft-hsm/key", "core", "audit/notes",
	} {
		put(t, dir, name, secretMarker)
	}
	return dir
}

func write(t testing.TB, dir string) ([]byte, *Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := Write(&b, dir, made)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m
}

// P8, R46: what is in a backup, and that nothing else is.
func TestABackupHasWhatMayBeCopiedAndNothingElse(t *testing.T) {
	b, m := write(t, lived(t))
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Path)
	}
	want := []string{
		"genesis", "roster-line", "node.toml", "identity.sealed", "chain", "seal/keyring-3.sealed", "seal/root-3.sealed", "raft/snapshot",
		"audit/checkpoint", "audit/archived-00000000", "audit/records-00000001", "audit/records-00000002", "audit/tile/0/000", "audit/tile/0/001.p/7",
	}
	if !slices.Equal(names, want) {
		t.Errorf("in it are %q, want %q", names, want)
	}
	if bytes.Contains(b, []byte(secretMarker)) {
		t.Error("what must not be in it is")
	}
	read, err := Verify(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(*read) != fmt.Sprint(*m) || m.Node != "n1" || m.Region != "jp-east" || m.Made != made.UnixMilli() {
		t.Errorf("read %+v, written %+v", read, m)
	}
	if _, err := Write(io.Discard, t.TempDir(), made); !errors.Is(err, ErrNoNode) {
		t.Errorf("a directory of nobody: %v", err)
	}
}

// entry is a file of an archive that a test puts together.
type entry struct {
	name    string
	content []byte
	kind    byte
}

func entries(t *testing.T, b []byte) (list []entry) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, entry{h.Name, content, h.Typeflag})
	}
}

func archive(t *testing.T, list []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range list {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o600, Size: int64(len(e.content))}
		if e.kind == tar.TypeSymlink {
			h.Size, h.Linkname = 0, string(e.content)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.kind == tar.TypeReg {
			if _, err := w.Write(e.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestABackupThatIsNotWholeIsRefused(t *testing.T) {
	b, _ := write(t, lived(t))
	other, _ := write(t, lived(t))
	whole := entries(t, b)
	if _, err := Verify(bytes.NewReader(archive(t, whole))); err != nil {
		t.Fatalf("put together again: %v", err)
	}
	last := len(whole) - 1
	for sentence, list := range map[string]func([]entry) []entry{
		"nothing at all":             func([]entry) []entry { return nil },
		"no manifest":                func(l []entry) []entry { return l[:last] },
		"a file left out":            func(l []entry) []entry { return slices.Delete(l, 5, 6) },
		"two files in another order": func(l []entry) []entry { l[4], l[5] = l[5], l[4]; return l },
		"a file twice":               func(l []entry) []entry { return slices.Insert(l, 5, l[4]) },
		"a file more": func(l []entry) []entry {
			return slices.Insert(l, last, entry{"audit/records-00000009", nil, tar.TypeReg})
		},
		"a file that does not belong": func(l []entry) []entry {
			return slices.Insert(l, 1, entry{"raft/floor", []byte("x"), tar.TypeReg})
		},
		"a path that leads out": func(l []entry) []entry {
			return slices.Insert(l, 1, entry{"audit/tile/../../pin", []byte("x"), tar.TypeReg})
		},
		"a link": func(l []entry) []entry {
			return slices.Insert(l, 1, entry{"audit/checkpoint", []byte("/etc/passwd"), tar.TypeSymlink})
		},
		"something after it":    func(l []entry) []entry { return append(l, entry{"audit/records-00000009", nil, tar.TypeReg}) },
		"a manifest of nothing": func(l []entry) []entry { l[last].content = []byte("{}"); return l },
		"a manifest with a field": func(l []entry) []entry {
			l[last].content = replace(l[last].content, `"format"`, `"x":1,"format"`)
			return l
		},
		"a manifest of the future": func(l []entry) []entry {
			l[last].content = replace(l[last].content, `"format": 1`, `"format": 2`)
			return l
		},
		"of another node, by name": func(l []entry) []entry {
			l[last].content = replace(l[last].content, `"node": "n1"`, `"node": "n2"`)
			return l
		},
		"with another cluster's genesis": func(l []entry) []entry {
			l[0] = entries(t, other)[0]
			return l
		},
		"an identity altered": func(l []entry) []entry {
			l[3].content = append([]byte{l[3].content[0] ^ 1}, l[3].content[1:]...)
			return l
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			if m, err := Verify(bytes.NewReader(archive(t, list(slices.Clone(whole))))); !errors.Is(err, ErrBackup) || m != nil {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
	// Cut anywhere, and with any byte altered that is content.
	for at := 0; at < bytes.Index(b, whole[last].content)+len(whole[last].content); at += 211 { // what follows is padding
		if _, err := Verify(bytes.NewReader(b[:at])); !errors.Is(err, ErrBackup) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
	for _, e := range whole[:last] {
		at := bytes.Index(b, e.content)
		if len(e.content) == 0 || at < 0 {
			t.Fatalf("%s is not in it", e.name)
		}
		altered := slices.Clone(b)
		altered[at+len(e.content)/2] ^= 1
		if _, err := Verify(bytes.NewReader(altered)); !errors.Is(err, ErrBackup) {
			t.Errorf("%s altered: %v", e.name, err)
		}
	}
	// What the disk says is not the backup's fault.
	broken := errors.New("a bad sector")
	if _, err := Verify(io.MultiReader(bytes.NewReader(b[:2000]), failing{broken})); !errors.Is(err, broken) || errors.Is(err, ErrBackup) {
		t.Errorf("a bad disk: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func replace(b []byte, old, by string) []byte {
	return []byte(strings.Replace(string(b), old, by, 1))
}

// While the node seals anew, again and again, each backup has one whole generation or
// two, as the node's own directory has at every moment, and never halves.
func TestTheSealedStoreIsOfOneMoment(t *testing.T) {
	dir := lived(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		// As package keyring does: keyring, then root, beside their places and renamed; then
		// the old root, then the old keyring.
		for g := 4; ; g++ {
			for _, name := range []string{"keyring", "root"} {
				at := filepath.Join(dir, "seal", fmt.Sprintf("%s-%d.sealed", name, g))
				if os.WriteFile(at+".new", fmt.Appendf(nil, "%s of %d", name, g), 0o600) != nil || os.Rename(at+".new", at) != nil {
					return
				}
			}
			for _, name := range []string{"root", "keyring"} {
				os.Remove(filepath.Join(dir, "seal", fmt.Sprintf("%s-%d.sealed", name, g-1)))
			}
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
		}
	}()
	generations := map[string]bool{}
	for range 60 {
		b, _ := write(t, dir)
		roots := 0
		have := map[string]bool{}
		for _, e := range entries(t, b) {
			have[e.name] = true
			if strings.HasPrefix(e.name, "seal/") && len(e.content) == 0 {
				t.Fatalf("%s was gone when it was read, and is there with nothing in it", e.name)
			}
		}
		for name := range have {
			g, is := strings.CutPrefix(name, "seal/root-")
			if !is {
				continue
			}
			roots++
			generations[g] = true
			if !have["seal/keyring-"+g] {
				t.Fatalf("the root share of %s is there, and its keyring is not: %v", g, have)
			}
		}
		if roots == 0 {
			t.Fatalf("no generation at all: %v", have)
		}
	}
	close(stop)
	<-stopped
	if len(generations) < 2 {
		t.Errorf("only %d generation was met: the test shows nothing", len(generations))
	}
}

func FuzzVerify(f *testing.F) {
	b, _ := write(f, lived(f))
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, own, err := Read(bytes.NewReader(b))
		if (m == nil) != (err != nil) || err != nil && (own != nil || !errors.Is(err, ErrBackup)) {
			t.Fatalf("%+v, %v", m, err)
		}
		if again, verr := Verify(bytes.NewReader(b)); (again == nil) != (m == nil) || (verr == nil) != (err == nil) {
			t.Fatalf("Read says %v, Verify %v", err, verr)
		}
	})
}
