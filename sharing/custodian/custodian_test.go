package custodian_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/custodian"
)

// cheap is a cost for tests.
const cheap = 4

func pass(s string) secret.Bytes { return secret.New([]byte(s)) }

func create(t testing.TB) *custodian.Custodian {
	t.Helper()
	c, err := custodian.Create(rand.Reader, "aki")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sealed(t testing.TB, c *custodian.Custodian, passphrase string) []byte {
	t.Helper()
	b, err := c.SealCost(pass(passphrase), cheap)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAFileGivesBackBothKeys(t *testing.T) {
	c := create(t)
	again, err := custodian.Open(sealed(t, c, "correct horse"), pass("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	name, sign, open := c.Public()
	name2, sign2, open2 := again.Public()
	if name != "aki" || name2 != name || !bytes.Equal(sign, sign2) || open != open2 {
		t.Error("the public halves differ")
	}
	if len(sign) != 65 || !strings.HasPrefix(open, "age1") {
		t.Errorf("%d bytes, %s", len(sign), open)
	}
	if !again.SignKey().(*ecdsa.PrivateKey).Equal(c.SignKey().(*ecdsa.PrivateKey)) {
		t.Error("another signing key")
	}

	// What is encrypted to the public half opens with the private one.
	to, err := age.ParseX25519Recipient(open)
	if err != nil {
		t.Fatal(err)
	}
	var box bytes.Buffer
	w, err := age.Encrypt(&box, to)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, "a piece")
	_ = w.Close()
	r, err := age.Decrypt(&box, again.OpenKey())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "a piece" {
		t.Errorf("%q, %v", b, err)
	}
}

// ageFile makes an age file of any content under a passphrase or a recipient.
func ageFile(t *testing.T, content []byte, to age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, to)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(content)
	if err := errors.Join(w.Close(), text.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func scrypt(t *testing.T, passphrase string, cost int) *age.ScryptRecipient {
	t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(cost)
	return r
}

func TestWhatIsNotOpened(t *testing.T) {
	c := create(t)
	good := sealed(t, c, "right")
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	// A file whose stanza claims a cost of 2^30 would take minutes and a terabyte.
	dear := bytes.NewBuffer(nil)
	plain, err := io.ReadAll(armor.NewReader(bytes.NewReader(good)))
	if err != nil {
		t.Fatal(err)
	}
	text := armor.NewWriter(dear)
	_, _ = text.Write(bytes.Replace(plain, fmt.Appendf(nil, " %d\n", cheap), []byte(" 30\n"), 1))
	_ = text.Close()

	type content struct {
		Format uint32 `cbor:"1,keyasint"`
		Name   string `cbor:"2,keyasint"`
		Sign   []byte `cbor:"3,keyasint"`
		Open   string `cbor:"4,keyasint"`
	}
	with := func(f func(*content)) []byte {
		scalar := make([]byte, 32)
		scalar[31] = 9
		v := content{Format: 1, Name: "aki", Sign: scalar, Open: other.String()}
		f(&v)
		return ageFile(t, wire.Encode(v), scrypt(t, "right", cheap))
	}
	if _, err := custodian.Open(with(func(*content) {}), pass("right")); err != nil {
		t.Fatalf("the rows below differ from what is opened in one field: %v", err)
	}
	for _, row := range []struct {
		name, passphrase string
		file             []byte
		want             error
	}{
		{"a wrong passphrase", "wrong", good, custodian.ErrPassphrase},
		{"no passphrase", "", good, custodian.ErrPassphrase},
		{"an empty file", "right", nil, custodian.ErrFile},
		{"a file that is no age file", "right", []byte("hello"), custodian.ErrFile},
		{"a truncated file", "right", good[:len(good)/2], custodian.ErrFile},
		{"a file that is too long", "right", make([]byte, custodian.MaxFile+1), custodian.ErrFile},
		{"a file for a recipient", "right", ageFile(t, []byte("x"), other.Recipient()), custodian.ErrFile},
		{"a file that costs too much", "right", dear.Bytes(), custodian.ErrFile},
		{"an age file of something else", "right", ageFile(t, []byte("hello"), scrypt(t, "right", cheap)), custodian.ErrFile},
		{"an age file of too much", "right", ageFile(t, make([]byte, 2000), scrypt(t, "right", cheap)), custodian.ErrFile},
		{"another format", "right", with(func(c *content) { c.Format = 2 }), custodian.ErrFile},
		{"a name with a space", "right", with(func(c *content) { c.Name = "a b" }), custodian.ErrFile},
		{"a signing key of zero", "right", with(func(c *content) { c.Sign = make([]byte, 32) }), custodian.ErrFile},
		{"a signing key above the order", "right", with(func(c *content) { c.Sign = bytes.Repeat([]byte{255}, 32) }), custodian.ErrFile},
		{"a short signing key", "right", with(func(c *content) { c.Sign = c.Sign[:31] }), custodian.ErrFile},
		{"an opening key that is none", "right", with(func(c *content) { c.Open = "AGE-SECRET-KEY-1QQ" }), custodian.ErrFile},
	} {
		t.Run(row.name, func(t *testing.T) {
			began := time.Now()
			c, err := custodian.Open(row.file, pass(row.passphrase))
			if !errors.Is(err, row.want) || c != nil {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if time.Since(began) > 5*time.Second {
				t.Error("it burned time")
			}
			if row.want == custodian.ErrFile && errors.Is(err, custodian.ErrPassphrase) {
				t.Error("the passphrase is blamed")
			}
		})
	}
}

func TestNamesAndCosts(t *testing.T) {
	for _, name := range []string{"", "Aki", "a b", "-a", "a\n", strings.Repeat("a", 64)} {
		if _, err := custodian.Create(rand.Reader, name); !errors.Is(err, custodian.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	c := create(t)
	for _, cost := range []int{-1, 0, custodian.MaxCost + 1} {
		if _, err := c.SealCost(pass("x"), cost); !errors.Is(err, custodian.ErrCost) {
			t.Errorf("cost %d: %v", cost, err)
		}
	}
	if _, err := c.Seal(pass("")); !errors.Is(err, custodian.ErrPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
}

// R25: no way of printing shows a key.
func TestNothingPrintsASecret(t *testing.T) {
	c := create(t)
	scalar, err := c.SignKey().(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "c", c, "v", *c)
	all := fmt.Sprintf("%v %+v %#v %s %x %v %#v %s %s", c, c, c, c, c, *c, *c, j, log.String())
	for _, hidden := range []string{hex.EncodeToString(scalar), string(scalar), "SECRET", fmt.Sprint(scalar)} {
		if strings.Contains(strings.ToLower(all), strings.ToLower(hidden)) {
			t.Errorf("%q shows", hidden)
		}
	}
	if !strings.Contains(all, "aki") {
		t.Error("not even the name shows: is anything printed?")
	}
}

func FuzzOpen(f *testing.F) {
	c := create(f)
	f.Add(sealed(f, c, "right"))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n"))
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAA 19\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("-> scrypt")) {
			return // what scrypt costs is tested elsewhere
		}
		got, err := custodian.Open(b, pass("right"))
		if (got == nil) == (err == nil) {
			t.Fatal("neither a custodian nor an error")
		}
		if err != nil && !errors.Is(err, custodian.ErrFile) && !errors.Is(err, custodian.ErrPassphrase) {
			t.Fatal(err)
		}
	})
}
