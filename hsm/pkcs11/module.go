//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	p11 "github.com/miekg/pkcs11"

	"warifu.dev/hsm"
)

// cryptoki is what we call of PKCS#11. *p11.Ctx is one; tests put faults
// before it.
type cryptoki interface {
	Initialize(...p11.InitializeOption) error
	Finalize() error
	GetSlotList(tokenPresent bool) ([]uint, error)
	GetTokenInfo(slot uint) (p11.TokenInfo, error)
	OpenSession(slot, flags uint) (p11.SessionHandle, error)
	CloseSession(p11.SessionHandle) error
	GetSessionInfo(p11.SessionHandle) (p11.SessionInfo, error)
	Login(sh p11.SessionHandle, user uint, pin string) error
	Logout(p11.SessionHandle) error
	FindObjectsInit(p11.SessionHandle, []*p11.Attribute) error
	FindObjects(sh p11.SessionHandle, max int) ([]p11.ObjectHandle, bool, error)
	FindObjectsFinal(p11.SessionHandle) error
	GetAttributeValue(p11.SessionHandle, p11.ObjectHandle, []*p11.Attribute) ([]*p11.Attribute, error)
	GenerateKey(p11.SessionHandle, []*p11.Mechanism, []*p11.Attribute) (p11.ObjectHandle, error)
	GenerateKeyPair(sh p11.SessionHandle, m []*p11.Mechanism, public, private []*p11.Attribute) (p11.ObjectHandle, p11.ObjectHandle, error)
	DeriveKey(p11.SessionHandle, []*p11.Mechanism, p11.ObjectHandle, []*p11.Attribute) (p11.ObjectHandle, error)
	DestroyObject(p11.SessionHandle, p11.ObjectHandle) error
	EncryptInit(p11.SessionHandle, []*p11.Mechanism, p11.ObjectHandle) error
	Encrypt(p11.SessionHandle, []byte) ([]byte, error)
	DecryptInit(p11.SessionHandle, []*p11.Mechanism, p11.ObjectHandle) error
	Decrypt(p11.SessionHandle, []byte) ([]byte, error)
	SignInit(p11.SessionHandle, []*p11.Mechanism, p11.ObjectHandle) error
	Sign(p11.SessionHandle, []byte) ([]byte, error)
}

// module is a PKCS#11 library, loaded once per process and never unloaded. It
// is initialised while a device is open on it, and no longer: SoftHSM learns of
// new tokens only when it is initialised again.
type module struct {
	path string
	ctx  *p11.Ctx

	// calls is held during every call into the library by a device.
	calls sync.Mutex

	users  int             // devices on it; guarded by modules.mu
	ours   bool            // initialised by us, not by others in this process; guarded by modules.mu
	tokens map[string]bool // serials of the tokens open here; guarded by modules.mu
}

var modules = struct {
	mu     sync.Mutex
	byPath map[string]*module
}{byPath: map[string]*module{}}

// acquire loads and initialises the library at path for one device more.
func acquire(path string) (*module, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", hsm.ErrModule, err)
	}
	modules.mu.Lock()
	defer modules.mu.Unlock()
	m := modules.byPath[real]
	if m == nil {
		ctx := p11.New(real)
		if ctx == nil {
			return nil, fmt.Errorf("load %s, which is no PKCS#11 library of this machine's kind: %w", real, hsm.ErrModule)
		}
		m = &module{path: real, ctx: ctx, tokens: map[string]bool{}}
		modules.byPath[real] = m
	}
	if m.users == 0 {
		err := m.ctx.Initialize()
		if err != nil && !errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
			return nil, fmt.Errorf("initialise %s: %w: %w", real, hsm.ErrModule, err)
		}
		m.ours = err == nil
	}
	m.users++
	return m, nil
}

// release undoes acquire; the last one finalises what acquire initialised.
func (m *module) release() error {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	m.users--
	if m.users > 0 || !m.ours {
		return nil
	}
	err := m.ctx.Finalize()
	if err != nil && !errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		return fmt.Errorf("finalise %s: %w: %w", m.path, hsm.ErrModule, err)
	}
	return nil
}

// claim makes the caller the only device of this process on a token: the log-in
// is per process, and a second one would pass with any PIN.
func (m *module) claim(serial string) error {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	if m.tokens[serial] {
		return fmt.Errorf("token of serial %s: %w", serial, hsm.ErrTokenInUse)
	}
	m.tokens[serial] = true
	return nil
}

// disclaim undoes claim.
func (m *module) disclaim(serial string) {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	delete(m.tokens, serial)
}
