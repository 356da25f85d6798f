package opening_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/tag"

	"warifu.dev/sharing/opening"
)

// token holds a key as a device does: it answers with the shared point, or fails.
type token struct {
	*ecdh.PrivateKey
	asked int
	fails error
	lies  bool
}

func (k *token) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	k.asked++
	if k.fails != nil {
		return nil, k.fails
	}
	z, err := k.PrivateKey.ECDH(peer)
	if k.lies && err == nil {
		z[3] ^= 1
	}
	return z, err
}

func newToken(t testing.TB, curve ecdh.Curve) *token {
	t.Helper()
	k, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &token{PrivateKey: k}
}

func identityOf(t testing.TB, k *token) *opening.Identity {
	t.Helper()
	id, err := opening.NewIdentity(k)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func encrypt(t testing.TB, plain string, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, plain)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decrypt(box []byte, by age.Identity) (string, error) {
	r, err := age.Decrypt(bytes.NewReader(box), by)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestBothKindsOfKeysOpenWhatIsEncryptedToThem(t *testing.T) {
	file, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	held := newToken(t, ecdh.P256())
	inToken := identityOf(t, held)
	for _, row := range []struct {
		recipient, begins string
		by, other         age.Identity
	}{
		{file.Recipient().String(), "age1", file, inToken},
		{inToken.Recipient(), "age1tag1", inToken, file},
	} {
		to, err := opening.ParseRecipient(row.recipient)
		if err != nil || !strings.HasPrefix(row.recipient, row.begins) {
			t.Fatalf("%s: %v", row.recipient, err)
		}
		box := encrypt(t, "a piece", to)
		if got, err := decrypt(box, row.by); err != nil || got != "a piece" {
			t.Errorf("%s: %q, %v", row.begins, got, err)
		}
		if got, err := decrypt(box, row.other); err == nil {
			t.Errorf("%s: opened by the other key: %q", row.begins, got)
		}
	}
	// The key is not asked about a box that is not its own.
	asked := held.asked
	if _, err := decrypt(encrypt(t, "x", identityRecipient(t, newToken(t, ecdh.P256()))), inToken); err == nil || held.asked != asked {
		t.Errorf("%v, asked %d times", err, held.asked-asked)
	}
}

func identityRecipient(t testing.TB, k *token) age.Recipient {
	t.Helper()
	to, err := opening.ParseRecipient(identityOf(t, k).Recipient())
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestATokenThatFailsOrLiesOpensNothing(t *testing.T) {
	gone := errors.New("the token was pulled")
	k := newToken(t, ecdh.P256())
	box := encrypt(t, "a piece", identityRecipient(t, k))
	k.fails = gone
	if _, err := decrypt(box, identityOf(t, k)); !errors.Is(err, gone) {
		t.Errorf("%v, expected what the token says", err)
	}
	k.fails, k.lies = nil, true
	if got, err := decrypt(box, identityOf(t, k)); err == nil {
		t.Errorf("opened by a wrong point: %q", got)
	}
	k.lies = false
	if got, err := decrypt(box, identityOf(t, k)); err != nil || got != "a piece" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := opening.NewIdentity(newToken(t, ecdh.P384())); !errors.Is(err, opening.ErrKey) {
		t.Errorf("P-384: %v", err)
	}
	if _, err := opening.NewIdentity(nil); !errors.Is(err, opening.ErrKey) {
		t.Errorf("no key: %v", err)
	}
}

func TestWhatIsNoOpeningKey(t *testing.T) {
	good := identityOf(t, newToken(t, ecdh.P256())).Recipient()
	hybrid := bytes.Repeat([]byte{1}, 1184+65)
	pq := "age1tagpq1"
	if r, err := tag.NewHybridRecipient(hybrid); err == nil {
		pq = r.String()
	}
	for name, s := range map[string]string{
		"nothing":               "",
		"a word":                "age1test",
		"an altered key":        good[:len(good)-1] + map[bool]string{true: "p", false: "q"}[strings.HasSuffix(good, "q")],
		"a key in capitals":     strings.ToUpper(good),
		"half a key":            good[:len(good)/2],
		"a post-quantum key":    pq,
		"an SSH key":            "ssh-ed25519 AAAA",
		"a private key":         "AGE-SECRET-KEY-1QQ",
		"too many characters":   "age1" + strings.Repeat("q", 300),
		"a plugin's recipient":  "age1warifu1qqqq",
		"two keys on one line":  good + " " + good,
		"a key and a line feed": good + "\n",
	} {
		if r, err := opening.ParseRecipient(s); !errors.Is(err, opening.ErrKey) || r != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRecipient(f *testing.F) {
	f.Add(identityOf(f, newToken(f, ecdh.P256())).Recipient())
	f.Add("age1tag1qq")
	f.Add("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := opening.ParseRecipient(s)
		if (r == nil) == (err == nil) || err != nil && !errors.Is(err, opening.ErrKey) {
			t.Fatal(r, err)
		}
	})
}

// A stanza that somebody else wrote, whatever is in it.
func FuzzUnwrap(f *testing.F) {
	id := identityOf(f, newToken(f, ecdh.P256()))
	s, err := identityRecipient(f, newToken(f, ecdh.P256())).Wrap(make([]byte, 16))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s[0].Args[0], s[0].Args[1], s[0].Body)
	f.Add("", "", []byte(nil))
	f.Fuzz(func(t *testing.T, tagged, enc string, body []byte) {
		if _, err := id.Unwrap([]*age.Stanza{{Type: "p256tag", Args: []string{tagged, enc}, Body: body}}); err == nil {
			t.Fatal("opened")
		}
	})
}
