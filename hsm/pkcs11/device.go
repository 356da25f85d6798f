//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"sync"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
)

// Device is a token on a PKCS#11 module.
type Device struct {
	serial string

	requests chan request  // to the owner
	closing  chan struct{} // closed by the first Close
	done     chan struct{} // closed by the owner when all is quiet
	once     sync.Once
	closeErr error // written by the owner before done is closed
}

var _ hsm.Device = (*Device)(nil)

// request is a call to be made by the owner.
type request struct {
	call   func(*token) error
	answer chan<- error // has room for one
}

// Open opens a token and logs in. The PIN is tried once. Errors: hsm.ErrModule,
// hsm.ErrNoToken, hsm.ErrWrongToken, hsm.ErrTokenInUse, hsm.ErrWrongPIN,
// hsm.ErrPINLocked, hsm.ErrDevice.
func Open(c Config) (hsm.Device, error) {
	d, err := open(c, func(api cryptoki) cryptoki { return api })
	if err != nil {
		return nil, err
	}
	return d, nil
}

// open opens a token through a layer put before the module.
func open(c Config, through func(cryptoki) cryptoki) (_ *Device, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the token %q: %w", c.TokenLabel, err)
		}
	}()
	if err := c.validate(); err != nil {
		return nil, err
	}
	m, err := acquire(c.Module)
	if err != nil {
		return nil, err
	}
	t := &token{module: m, api: through(m.ctx), label: c.TokenLabel, serial: c.Serial, pin: secret.Clone(c.PIN.Reveal())}
	if err := t.start(); err != nil {
		t.pin.Wipe()
		return nil, errors.Join(err, m.release())
	}
	d := &Device{
		serial:   t.serial,
		requests: make(chan request),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	go d.own(t)
	return d, nil
}

// start claims the token, before a log-in could disturb its owner, and connects.
func (t *token) start() error {
	t.module.calls.Lock()
	defer t.module.calls.Unlock()
	_, info, err := t.find()
	if err != nil {
		return inOurWords(err)
	}
	serial := clean(info.SerialNumber)
	if err := t.module.claim(serial); err != nil {
		return err
	}
	t.serial = serial
	if err := t.connect(); err != nil {
		t.module.disclaim(serial)
		return inOurWords(err)
	}
	return nil
}

// own is the goroutine that owns the token. Close ends it.
func (d *Device) own(t *token) {
	defer close(d.done)
	for {
		select {
		case r := <-d.requests:
			t.module.calls.Lock()
			err := t.do(func() error { return r.call(t) })
			t.module.calls.Unlock()
			r.answer <- err
		case <-d.closing:
			t.module.calls.Lock()
			err := t.close()
			t.module.calls.Unlock()
			t.module.disclaim(t.serial)
			d.closeErr = errors.Join(err, t.module.release())
			return
		}
	}
}

// ask has the owner make a call, and waits for it.
func (d *Device) ask(call func(*token) error) error {
	select {
	case <-d.closing:
		return hsm.ErrClosed
	default:
	}
	answer := make(chan error, 1)
	select {
	case d.requests <- request{call, answer}:
		return <-answer
	case <-d.closing:
		return hsm.ErrClosed
	}
}

// askFor is ask about the key of a label.
func (d *Device) askFor(action, label string, call func(*token) error) error {
	err := hsm.CheckLabel(label)
	if err == nil {
		err = d.ask(call)
	}
	if err != nil {
		return fmt.Errorf("%s sealing key %q: %w", action, label, err)
	}
	return nil
}

// Serial implements hsm.Device.
func (d *Device) Serial() string { return d.serial }

// Kind implements hsm.Device.
func (d *Device) Kind() string { return hsm.KindPKCS11 }

// Close implements hsm.Device.
func (d *Device) Close() error {
	d.once.Do(func() { close(d.closing) })
	<-d.done
	if d.closeErr != nil {
		return fmt.Errorf("close the token of serial %s: %w", d.serial, d.closeErr)
	}
	return nil
}

// CreateKey implements hsm.Device.
func (d *Device) CreateKey(label string) error {
	var began bool
	return d.askFor("create", label, func(t *token) error { return t.create(label, &began) })
}

// HasKey implements hsm.Device.
func (d *Device) HasKey(label string) (has bool, err error) {
	err = d.askFor("look for", label, func(t *token) error {
		found, err := t.lookup(label)
		has = len(found) > 0
		return err
	})
	return has, err
}

// Labels implements hsm.Device.
func (d *Device) Labels() (labels []string, err error) {
	err = d.ask(func(t *token) (err error) {
		labels, err = t.labels()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list sealing keys: %w", err)
	}
	return labels, nil
}

// Seal implements hsm.Device.
func (d *Device) Seal(label string, plaintext secret.Bytes, aad []byte) ([]byte, error) {
	var blob hsm.Blob
	err := d.askFor("seal under", label, func(t *token) error {
		if err := hsm.CheckSizes(plaintext.Len(), len(aad)); err != nil {
			return err
		}
		key, err := t.key(label)
		if err != nil {
			return err
		}
		blob, err = t.encrypt(key, plaintext.Reveal(), aad)
		return err
	})
	if err != nil {
		return nil, err
	}
	return blob.Bytes(), nil
}

// Open implements hsm.Device.
func (d *Device) Open(label string, blob, aad []byte) (secret.Bytes, error) {
	var plaintext []byte
	err := d.askFor("open with", label, func(t *token) error {
		key, err := t.key(label)
		if err != nil {
			return err
		}
		parts, err := hsm.ParseBlob(blob)
		if err != nil {
			return err
		}
		if len(aad) > hsm.MaxAAD {
			return hsm.ErrOpen // nothing was sealed with it
		}
		plaintext, err = t.decrypt(key, parts, aad)
		return err
	})
	if err != nil {
		return secret.Bytes{}, err
	}
	return secret.New(plaintext), nil
}

// DestroyKey implements hsm.Device.
func (d *Device) DestroyKey(label string) error {
	var began bool
	return d.askFor("destroy", label, func(t *token) error { return t.destroy(label, &began) })
}

// Check implements hsm.Device.
func (d *Device) Check() error {
	if err := d.ask((*token).checkAll); err != nil {
		return fmt.Errorf("check sealing keys: %w", err)
	}
	return nil
}
