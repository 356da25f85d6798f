//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
)

// token is a token with one session on it. Owned by the device's goroutine;
// module.calls is held while it is used.
type token struct {
	module *module
	api    cryptoki
	label  string
	serial string // empty until found, unless configured
	pin    secret.Bytes

	live    bool // session is open and logged in, as far as we know
	session p11.SessionHandle
	refused error // the token refused the PIN: nothing is tried again
}

// connect finds the token, opens a session and logs in.
func (t *token) connect() error {
	if t.refused != nil {
		return t.refused
	}
	// Others in this process may have finalised the module.
	if err := t.api.Initialize(); err != nil && !errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return fmt.Errorf("initialise the module: %w: %w", hsm.ErrModule, err)
	}
	slot, info, err := t.find()
	if err != nil {
		return err
	}
	t.serial = clean(info.SerialNumber)
	session, err := t.api.OpenSession(slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	if err := t.login(slot, session, info.Flags); err != nil {
		t.api.CloseSession(session) // what counts is why the log-in failed
		return err
	}
	t.session, t.live = session, true
	return nil
}

// find finds the slot of our token. Tokens of the right label are looked at for
// the serial, so that a wrong one is told from none.
func (t *token) find() (uint, p11.TokenInfo, error) {
	slots, err := t.api.GetSlotList(true)
	if err != nil {
		return 0, p11.TokenInfo{}, fmt.Errorf("list slots: %w", err)
	}
	var (
		found  p11.TokenInfo
		at     uint
		fits   int
		others []string // right label, wrong serial
	)
	for _, slot := range slots {
		info, err := t.api.GetTokenInfo(slot)
		if err != nil || info.Flags&p11.CKF_TOKEN_INITIALIZED == 0 {
			continue // pulled a moment ago, or never made a token
		}
		if t.label != "" && clean(info.Label) != t.label {
			continue
		}
		if t.serial != "" && clean(info.SerialNumber) != t.serial {
			others = append(others, clean(info.SerialNumber))
			continue
		}
		found, at = info, slot
		fits++
	}
	switch {
	case fits == 1:
		return at, found, nil
	case fits > 1:
		return 0, found, fmt.Errorf("%d tokens fit, configure the serial: %w", fits, hsm.ErrWrongToken)
	case t.label != "" && len(others) > 0:
		return 0, found, fmt.Errorf("the token labelled %q has serial %s, configured is %s: %w",
			t.label, strings.Join(others, ", "), t.serial, hsm.ErrWrongToken)
	default:
		return 0, found, fmt.Errorf("%d slots hold no token of label %q and serial %q: %w", len(slots), t.label, t.serial, hsm.ErrNoToken)
	}
}

// clean takes the padding off a field of a token.
func clean(field string) string { return strings.TrimRight(field, " \x00") }

// login tries the PIN once, and not at all if a failure would lock the token.
func (t *token) login(slot uint, session p11.SessionHandle, flags uint) error {
	switch {
	case flags&p11.CKF_USER_PIN_INITIALIZED == 0:
		return fmt.Errorf("the token has no user PIN yet: %w", hsm.ErrNoToken)
	case flags&p11.CKF_USER_PIN_LOCKED != 0:
		return fmt.Errorf("the PIN was not tried, the token has locked it: %w", hsm.ErrPINLocked)
	case flags&p11.CKF_USER_PIN_FINAL_TRY != 0:
		return fmt.Errorf("the PIN was not tried, since a wrong one would lock it: %w", hsm.ErrPINLocked)
	}
	pin := string(t.pin.Reveal())
	err := t.api.Login(session, p11.CKU_USER, pin)
	if errors.Is(err, p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)) {
		// Others in this process are, so this PIN was not looked at.
		if err = t.api.Logout(session); err != nil {
			return fmt.Errorf("log out to log in: %w", err)
		}
		err = t.api.Login(session, p11.CKU_USER, pin)
	}
	var code p11.Error
	if !errors.As(err, &code) {
		return err
	}
	switch code {
	case p11.CKR_PIN_INCORRECT, p11.CKR_PIN_INVALID, p11.CKR_PIN_LEN_RANGE:
		t.refused = fmt.Errorf("log in, tried once%s: %w", t.warning(slot), hsm.ErrWrongPIN)
	case p11.CKR_PIN_EXPIRED:
		t.refused = fmt.Errorf("log in: the token demands that the PIN be changed first: %w", hsm.ErrWrongPIN)
	case p11.CKR_PIN_LOCKED:
		t.refused = fmt.Errorf("log in: %w", hsm.ErrPINLocked)
	default:
		return fmt.Errorf("log in: %w", err)
	}
	return t.refused
}

// warning says how far the token is from locking the PIN.
func (t *token) warning(slot uint) string {
	info, err := t.api.GetTokenInfo(slot)
	switch {
	case err != nil:
		return ""
	case info.Flags&p11.CKF_USER_PIN_LOCKED != 0:
		return " (the token has locked the PIN now)"
	case info.Flags&p11.CKF_USER_PIN_FINAL_TRY != 0:
		return " (one more wrong PIN locks the token)"
	case info.Flags&p11.CKF_USER_PIN_COUNT_LOW != 0:
		return " (the token counts wrong PINs: few are left)"
	}
	return ""
}

// do makes one call on a live session, and repeats it once on a new session if
// the old one turns out to be dead.
func (t *token) do(call func() error) error {
	retry := t.live
	for {
		if !t.live {
			if err := t.connect(); err != nil {
				return inOurWords(err)
			}
		}
		err := call()
		if !isDead(err) {
			return inOurWords(err)
		}
		t.drop()
		if !retry {
			return inOurWords(err)
		}
		retry = false
	}
}

// drop gives up the session, which is most likely dead already.
func (t *token) drop() {
	if t.live {
		t.api.CloseSession(t.session)
		t.live = false
	}
}

// close logs out and forgets the PIN.
func (t *token) close() error {
	defer t.pin.Wipe()
	if !t.live {
		return nil
	}
	t.live = false
	err := t.api.Logout(t.session)
	if e := t.api.CloseSession(t.session); err == nil {
		err = e
	}
	if isDead(err) {
		return nil // nothing is open any more
	}
	return inOurWords(err)
}

// isDead tells whether an error means that the session is of no more use, while
// a new one may be.
func isDead(err error) bool {
	var code p11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case p11.CKR_SESSION_HANDLE_INVALID, p11.CKR_SESSION_CLOSED, p11.CKR_USER_NOT_LOGGED_IN,
		p11.CKR_DEVICE_ERROR, p11.CKR_DEVICE_REMOVED, p11.CKR_TOKEN_NOT_PRESENT, p11.CKR_TOKEN_NOT_RECOGNIZED,
		p11.CKR_OPERATION_ACTIVE, p11.CKR_OPERATION_NOT_INITIALIZED, p11.CKR_CRYPTOKI_NOT_INITIALIZED:
		return true
	}
	return false
}

// inOurWords makes an error of PKCS#11 one of ours.
func inOurWords(err error) error {
	var code p11.Error
	if !errors.As(err, &code) {
		return err
	}
	switch code {
	case p11.CKR_ACTION_PROHIBITED, p11.CKR_ATTRIBUTE_READ_ONLY:
		return fmt.Errorf("the key forbids it: %w: %w", hsm.ErrTemplate, err)
	case p11.CKR_TOKEN_NOT_PRESENT, p11.CKR_TOKEN_NOT_RECOGNIZED, p11.CKR_DEVICE_REMOVED:
		return fmt.Errorf("the token was pulled: %w: %w", hsm.ErrNoToken, err)
	case p11.CKR_DEVICE_MEMORY:
		return fmt.Errorf("the token is full: %w: %w", hsm.ErrDevice, err)
	case p11.CKR_TOKEN_WRITE_PROTECTED, p11.CKR_SESSION_READ_ONLY:
		return fmt.Errorf("the token is write-protected: %w: %w", hsm.ErrDevice, err)
	case p11.CKR_MECHANISM_INVALID, p11.CKR_MECHANISM_PARAM_INVALID:
		return fmt.Errorf("the token does not do this operation as we need it: %w: %w", hsm.ErrDevice, err)
	case p11.CKR_TEMPLATE_INCONSISTENT, p11.CKR_ATTRIBUTE_TYPE_INVALID, p11.CKR_ATTRIBUTE_VALUE_INVALID:
		return fmt.Errorf("the token does not make keys of our template: %w: %w", hsm.ErrDevice, err)
	}
	return fmt.Errorf("%w: %w", hsm.ErrDevice, err)
}
