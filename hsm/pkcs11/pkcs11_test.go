//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"warifu.dev/hsm"
	"warifu.dev/hsm/hsmtest"
	"warifu.dev/hsm/pkcs11/softhsm"
	"warifu.dev/internal/secret"
)

const (
	userPIN = "user-1234"
	soPIN   = "so-5678"
)

// tokens is the directory of tokens of each running test.
var tokens = map[testing.TB]string{}

// newToken makes a token in the test's own directory, which this process sees
// from now on. No device may be open then: SoftHSM would not look again.
func newToken(t testing.TB, label string) Config {
	t.Helper()
	module, err := softhsm.Module()
	if err != nil {
		t.Fatal(err)
	}
	dir, ok := tokens[t]
	if !ok {
		dir = t.TempDir()
		tokens[t] = dir
		t.Setenv(softhsm.ConfVariable, softhsm.Conf(dir))
		t.Cleanup(func() { delete(tokens, t) })
	}
	serial, err := softhsm.NewToken(dir, label, userPIN, soPIN)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Module: module, TokenLabel: label, Serial: serial, PIN: secret.New([]byte(userPIN))}
}

// faults stands before the module, counts log-ins and plants faults.
type faults struct {
	cryptoki
	logins int
	flags  uint                   // added to the token's
	after  func(string) error     // after the named call did its work
	attrs  func([]*p11.Attribute) // spoils the template of a new key
}

func (f *faults) through(api cryptoki) cryptoki { f.cryptoki = api; return f }

func (f *faults) Login(sh p11.SessionHandle, user uint, pin string) error {
	f.logins++
	return f.cryptoki.Login(sh, user, pin)
}

func (f *faults) GetTokenInfo(slot uint) (p11.TokenInfo, error) {
	info, err := f.cryptoki.GetTokenInfo(slot)
	info.Flags |= f.flags
	return info, err
}

func (f *faults) GenerateKey(sh p11.SessionHandle, m []*p11.Mechanism, a []*p11.Attribute) (p11.ObjectHandle, error) {
	if f.attrs != nil {
		f.attrs(a)
	}
	h, err := f.cryptoki.GenerateKey(sh, m, a)
	return h, f.then("GenerateKey", err)
}

func (f *faults) DestroyObject(sh p11.SessionHandle, h p11.ObjectHandle) error {
	return f.then("DestroyObject", f.cryptoki.DestroyObject(sh, h))
}

func (f *faults) Encrypt(sh p11.SessionHandle, b []byte) ([]byte, error) {
	out, err := f.cryptoki.Encrypt(sh, b)
	return out, f.then("Encrypt", err)
}

func (f *faults) then(call string, err error) error {
	if err == nil && f.after != nil {
		return f.after(call)
	}
	return err
}

// once fails the first call of a name with a code, after it did its work.
func once(name string, code p11.Error) func(string) error {
	done := false
	return func(call string) error {
		if call != name || done {
			return nil
		}
		done = true
		return code
	}
}

func openWith(t *testing.T, c Config, f *faults) *Device {
	t.Helper()
	d, err := open(c, f.through)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// raw makes a call on the owner's goroutine, past all that a Device refuses.
func raw(t *testing.T, d *Device, call func(ctx *p11.Ctx, tok *token) error) {
	t.Helper()
	err := d.ask(func(tok *token) error {
		if err := call(tok.module.ctx, tok); err != nil {
			return fmt.Errorf("raw call: %v", err) // no code: nothing is to be recovered
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	of := map[*testing.T]Config{} // one token for each subtest
	hsmtest.Run(t, func(t *testing.T) hsm.Device {
		if _, ok := of[t]; !ok {
			of[t] = newToken(t, "conformance")
		}
		d, err := Open(of[t])
		must(t, err)
		return d
	})
}

func FuzzOpen(f *testing.F) {
	d, err := Open(newToken(f, "fuzz"))
	if err != nil {
		f.Fatal(err)
	}
	defer d.Close()
	hsmtest.FuzzOpen(f, d, d.Open)
}

func TestAWrongPINIsTriedOnce(t *testing.T) { // R33
	c := newToken(t, "wrong-pin")
	wrong := c
	wrong.PIN = secret.New([]byte("not-the-pin"))
	var f faults
	if _, err := open(wrong, f.through); !errors.Is(err, hsm.ErrWrongPIN) || f.logins != 1 {
		t.Fatalf("%d log-ins, got %v", f.logins, err)
	} else if !strings.Contains(err.Error(), "few are left") { // SoftHSM's CKF_USER_PIN_COUNT_LOW
		t.Errorf("no warning in %v", err)
	}
	var g faults
	d := openWith(t, c, &g) // a right one still opens it
	if g.logins != 1 {
		t.Errorf("%d log-ins", g.logins)
	}

	// The PIN is changed while the device is open, and the session dies.
	raw(t, d, func(ctx *p11.Ctx, tok *token) error { return ctx.SetPIN(tok.session, userPIN, "changed-pin") })
	kill(t, d)
	for range 3 {
		if _, err := d.HasKey("k"); !errors.Is(err, hsm.ErrWrongPIN) {
			t.Fatalf("got %v", err)
		}
	}
	if g.logins != 2 {
		t.Errorf("the changed PIN was tried %d times", g.logins-1)
	}
}

// kill closes every session of the device's token under it.
func kill(t *testing.T, d *Device) {
	t.Helper()
	raw(t, d, func(ctx *p11.Ctx, tok *token) error {
		slot, _, err := tok.find()
		if err != nil {
			return err
		}
		return ctx.CloseAllSessions(slot)
	})
}

func TestAPINNearItsLockIsNotTried(t *testing.T) {
	c := newToken(t, "final-try")
	for _, flags := range []uint{p11.CKF_USER_PIN_FINAL_TRY, p11.CKF_USER_PIN_LOCKED} {
		f := faults{flags: flags}
		if _, err := open(c, f.through); !errors.Is(err, hsm.ErrPINLocked) || f.logins != 0 {
			t.Errorf("flags %#x: %d log-ins, got %v", flags, f.logins, err)
		}
	}
	f := faults{flags: p11.CKF_USER_PIN_COUNT_LOW}
	openWith(t, c, &f)
}

func TestOnlyTheConfiguredTokenOpens(t *testing.T) {
	a, b, other := newToken(t, "twin"), newToken(t, "twin"), newToken(t, "other")
	refused := func(why string, c Config, want error) {
		t.Helper()
		var f faults
		if _, err := open(c, f.through); !errors.Is(err, want) || f.logins != 0 {
			t.Errorf("%s: %d log-ins, got %v", why, f.logins, err)
		}
	}
	unpinned := func(c Config) Config { c.Serial = ""; return c }
	relabelled := func(c Config, label string) Config { c.TokenLabel = label; return c }

	refused("two tokens of one label", unpinned(a), hsm.ErrWrongToken)
	refused("a serial of another token", relabelled(a, "other"), hsm.ErrWrongToken)
	refused("no such label", relabelled(a, "none"), hsm.ErrNoToken)
	noSerial := relabelled(a, "")
	noSerial.Serial = "0000"
	refused("no such serial", noSerial, hsm.ErrNoToken)
	noPIN := a
	noPIN.PIN = secret.Bytes{}
	refused("no PIN", noPIN, hsm.ErrWrongPIN)
	missing := a
	missing.Module += ".none"
	refused("no module", missing, hsm.ErrModule)
	missing.Module = softhsm.Conf(tokens[t])
	refused("a module that is none", missing, hsm.ErrModule)
	missing.Module = ""
	refused("no module configured", missing, hsm.ErrModule)

	// Several tokens of one module are open side by side, each once.
	var f faults
	for _, c := range []Config{a, b, unpinned(other)} {
		d := openWith(t, c, new(faults))
		if c.Serial != "" && d.Serial() != c.Serial {
			t.Errorf("serial %q, want %q", d.Serial(), c.Serial)
		}
		must(t, d.CreateKey("k"))
	}
	c := a
	c.PIN = secret.New([]byte("not-the-pin"))
	if _, err := open(c, f.through); !errors.Is(err, hsm.ErrTokenInUse) || f.logins != 0 {
		t.Errorf("a second device on a token: %d log-ins, got %v", f.logins, err)
	}
}

func TestTheTokenKeepsTheKey(t *testing.T) { // R33
	d := openWith(t, newToken(t, "template"), new(faults))
	must(t, d.CreateKey("k"))
	raw(t, d, func(ctx *p11.Ctx, tok *token) error {
		key, err := tok.key("k")
		if err != nil {
			return err
		}
		for typ, want := range map[uint]byte{
			p11.CKA_TOKEN: 1, p11.CKA_PRIVATE: 1, p11.CKA_SENSITIVE: 1, p11.CKA_ALWAYS_SENSITIVE: 1,
			p11.CKA_EXTRACTABLE: 0, p11.CKA_NEVER_EXTRACTABLE: 1, p11.CKA_LOCAL: 1,
			p11.CKA_ENCRYPT: 1, p11.CKA_DECRYPT: 1, p11.CKA_WRAP: 0, p11.CKA_UNWRAP: 0,
			p11.CKA_SIGN: 0, p11.CKA_VERIFY: 0, p11.CKA_DERIVE: 0,
			p11.CKA_MODIFIABLE: 0, p11.CKA_COPYABLE: 0, p11.CKA_DESTROYABLE: 1,
		} {
			got, err := ctx.GetAttributeValue(tok.session, key, []*p11.Attribute{p11.NewAttribute(typ, nil)})
			if err != nil || !slices.Equal(got[0].Value, []byte{want}) {
				t.Errorf("attribute %#x: %x, %v, want %d", typ, got[0].Value, err, want)
			}
		}
		if got, err := ctx.GetAttributeValue(tok.session, key, []*p11.Attribute{p11.NewAttribute(p11.CKA_VALUE, nil)}); err == nil {
			t.Errorf("the token hands out %d bytes of the key", len(got[0].Value))
		}
		for _, spoil := range []uint{p11.CKA_WRAP, p11.CKA_EXTRACTABLE, p11.CKA_DERIVE} {
			if err := ctx.SetAttributeValue(tok.session, key, []*p11.Attribute{p11.NewAttribute(spoil, true)}); err == nil {
				t.Errorf("attribute %#x can be set", spoil)
			}
		}
		if _, err := ctx.CopyObject(tok.session, key, []*p11.Attribute{p11.NewAttribute(p11.CKA_WRAP, true)}); err == nil {
			t.Error("the key can be copied")
		}
		wrapping, err := ctx.GenerateKey(tok.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, []*p11.Attribute{
			p11.NewAttribute(p11.CKA_VALUE_LEN, keyLength), p11.NewAttribute(p11.CKA_WRAP, true), p11.NewAttribute(p11.CKA_DECRYPT, true),
		})
		if err != nil {
			return err
		}
		if _, err := ctx.WrapKey(tok.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_WRAP, nil)}, wrapping, key); err == nil {
			t.Error("the key can be wrapped")
		}
		return nil
	})
}

// plant makes a key as ours but with some attributes otherwise.
func plant(t *testing.T, d *Device, label string, otherwise ...*p11.Attribute) {
	t.Helper()
	raw(t, d, func(ctx *p11.Ctx, tok *token) error {
		_, err := ctx.GenerateKey(tok.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, spoiled(template(prefix+label), otherwise...))
		return err
	})
}

func spoiled(attrs []*p11.Attribute, otherwise ...*p11.Attribute) []*p11.Attribute {
	for _, o := range otherwise {
		for i := range attrs {
			if attrs[i].Type == o.Type {
				attrs[i] = o
			}
		}
	}
	return attrs
}

func TestCheckNamesAPlantedKey(t *testing.T) { // R33
	c := newToken(t, "planted")
	d := openWith(t, c, new(faults))
	must(t, d.CreateKey("good"))
	for _, p := range made[4:] { // past class, type, length and token
		value := !p.value.(bool)
		if p.typ == p11.CKA_DESTROYABLE {
			continue // could not be cleaned away; below
		}
		label := "bad-" + p.name
		plant(t, d, label, p11.NewAttribute(p.typ, value))
		if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) || !strings.Contains(err.Error(), label) || !strings.Contains(err.Error(), p.name) {
			t.Errorf("%s = %v: got %v", p.name, value, err)
		}
		must(t, d.DestroyKey(label))
		must(t, d.Check())
	}

	plant(t, d, "short", p11.NewAttribute(p11.CKA_VALUE_LEN, 16))
	if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) {
		t.Errorf("a key of 128 bits: got %v", err)
	}
	must(t, d.DestroyKey("short"))

	// A key that was brought in from outside is known there.
	raw(t, d, func(ctx *p11.Ctx, tok *token) error {
		attrs := slices.DeleteFunc(template(prefix+"imported"), func(a *p11.Attribute) bool { return a.Type == p11.CKA_VALUE_LEN })
		_, err := ctx.CreateObject(tok.session, append(attrs, p11.NewAttribute(p11.CKA_VALUE, make([]byte, keyLength))))
		return err
	})
	if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) || !strings.Contains(err.Error(), "imported") {
		t.Errorf("an imported key: got %v", err)
	}
	must(t, d.DestroyKey("imported"))

	// Two keys of one label: neither is used, both can be destroyed.
	plant(t, d, "good")
	if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) {
		t.Errorf("two keys of one label: got %v", err)
	}
	if _, err := d.Seal("good", secret.Clone([]byte("x")), nil); !errors.Is(err, hsm.ErrTemplate) {
		t.Errorf("seal under one of two keys: got %v", err)
	}
	must(t, d.DestroyKey("good"))
	must(t, d.Check())

	plant(t, d, "not a label")
	if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) {
		t.Errorf("a label that is none: got %v", err)
	}
	if labels, err := d.Labels(); err != nil || len(labels) != 0 {
		t.Errorf("labels %q, %v", labels, err)
	}
}

func TestAKeyThatCannotBeDestroyedIsNotSaidToBeGone(t *testing.T) {
	d := openWith(t, newToken(t, "indestructible"), new(faults))
	plant(t, d, "stays", p11.NewAttribute(p11.CKA_DESTROYABLE, false))
	if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) {
		t.Errorf("check: got %v", err)
	}
	if err := d.DestroyKey("stays"); !errors.Is(err, hsm.ErrTemplate) {
		t.Errorf("destroy: got %v", err)
	}
	if has, err := d.HasKey("stays"); err != nil || !has {
		t.Errorf("has: %v, %v", has, err)
	}
}

func TestATokenThatIgnoresTheTemplateIsRefused(t *testing.T) {
	f := faults{attrs: func(a []*p11.Attribute) { spoiled(a, p11.NewAttribute(p11.CKA_EXTRACTABLE, true)) }}
	d := openWith(t, newToken(t, "ignores"), &f)
	if err := d.CreateKey("k"); !errors.Is(err, hsm.ErrTemplate) {
		t.Fatalf("got %v", err)
	}
	if has, err := d.HasKey("k"); err != nil || has {
		t.Fatalf("the key was left behind: %v, %v", has, err)
	}
}

func TestOthersKeysAreLeftAlone(t *testing.T) {
	d := openWith(t, newToken(t, "shared"), new(faults))
	raw(t, d, func(ctx *p11.Ctx, tok *token) error {
		_, err := ctx.GenerateKey(tok.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)},
			spoiled(template("theirs"), p11.NewAttribute(p11.CKA_EXTRACTABLE, true)))
		return err
	})
	must(t, d.Check())
	if labels, err := d.Labels(); err != nil || len(labels) != 0 {
		t.Errorf("labels %q, %v", labels, err)
	}
	if err := d.DestroyKey("theirs"); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("got %v", err)
	}
}

func TestADeadSessionIsReplaced(t *testing.T) { // R33
	var f faults
	d := openWith(t, newToken(t, "dead"), &f)
	must(t, d.CreateKey("k"))
	blob, err := d.Seal("k", secret.Clone([]byte("secret")), []byte("aad"))
	must(t, err)

	works := func(t *testing.T) {
		t.Helper()
		opened, err := d.Open("k", blob, []byte("aad"))
		if err != nil || string(opened.Reveal()) != "secret" {
			t.Fatalf("got %v", err)
		}
	}
	t.Run("every session of the token was closed", func(t *testing.T) { kill(t, d); works(t) })
	t.Run("somebody logged out, so that private keys are invisible", func(t *testing.T) {
		raw(t, d, func(ctx *p11.Ctx, tok *token) error { return ctx.Logout(tok.session) })
		works(t)
	})
	t.Run("somebody logged out, and nobody claims that a key is missing", func(t *testing.T) {
		raw(t, d, func(ctx *p11.Ctx, tok *token) error { return ctx.Logout(tok.session) })
		if has, err := d.HasKey("k"); err != nil || !has {
			t.Fatalf("has: %v, %v", has, err)
		}
	})
	t.Run("an operation was left open in the session", func(t *testing.T) {
		raw(t, d, func(ctx *p11.Ctx, tok *token) error {
			return ctx.FindObjectsInit(tok.session, nil)
		})
		works(t)
	})
	t.Run("the module was finalised by others", func(t *testing.T) {
		raw(t, d, func(ctx *p11.Ctx, tok *token) error { return ctx.Finalize() })
		works(t)
	})
	t.Run("the device fails once", func(t *testing.T) {
		f.after = once("Encrypt", p11.CKR_DEVICE_ERROR)
		before := f.logins
		if _, err := d.Seal("k", secret.Clone([]byte("x")), nil); err != nil || f.logins != before+1 {
			t.Fatalf("%d log-ins, got %v", f.logins-before, err)
		}
	})
	t.Run("the device fails for good, and is asked twice", func(t *testing.T) {
		calls := 0
		f.after = func(call string) error { calls++; return p11.Error(p11.CKR_DEVICE_ERROR) }
		if _, err := d.Seal("k", secret.Clone([]byte("x")), nil); !errors.Is(err, hsm.ErrDevice) || calls != 2 {
			t.Fatalf("%d calls, got %v", calls, err)
		}
		f.after = nil
		works(t) // and comes back
	})
	t.Run("the session dies when the key is made already", func(t *testing.T) {
		f.after = once("GenerateKey", p11.CKR_SESSION_HANDLE_INVALID)
		must(t, d.CreateKey("made"))
		if err := d.CreateKey("made"); !errors.Is(err, hsm.ErrKeyExists) {
			t.Fatalf("got %v", err)
		}
		must(t, d.Check())
	})
	t.Run("the session dies when the key is destroyed already", func(t *testing.T) {
		f.after = once("DestroyObject", p11.CKR_DEVICE_REMOVED)
		must(t, d.DestroyKey("made"))
		if err := d.DestroyKey("made"); !errors.Is(err, hsm.ErrNoKey) {
			t.Fatalf("got %v", err)
		}
	})
	f.after = nil
}

func TestALogInOfOthersDoesNotStandForThePIN(t *testing.T) {
	c := newToken(t, "others")
	m, err := acquire(c.Module)
	must(t, err)
	defer m.release()
	tok := token{module: m, api: m.ctx, label: c.TokenLabel, serial: c.Serial, pin: secret.Clone(c.PIN.Reveal())}
	must(t, tok.connect()) // logged in without a claim, as others would
	c.PIN = secret.New([]byte("not-the-pin"))
	if _, err := Open(c); !errors.Is(err, hsm.ErrWrongPIN) {
		t.Fatalf("got %v", err)
	}
}
