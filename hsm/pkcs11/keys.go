//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"warifu.dev/hsm"
)

const (
	// prefix keeps our keys apart from others' on a shared token.
	prefix = "warifu/"
	// maxObjects bounds how many secret keys of anyone are looked through on a
	// token: far more than ours, and than most tokens hold.
	maxObjects = 16 * hsm.MaxKeys
	// searchStep is how many handles are asked for at a time.
	searchStep = 256
	// ckrAEADDecryptFailed is of PKCS#11 v3.0, which the library does not know.
	ckrAEADDecryptFailed = 0x42
	gcmTagBits           = hsm.TagSize * 8
)

// search finds the objects of a template. When we were logged out private keys
// are not refused but invisible, so the state of the session is looked at
// before the answer is believed.
func (t *token) search(template ...*p11.Attribute) ([]p11.ObjectHandle, error) {
	if err := t.api.FindObjectsInit(t.session, template); err != nil {
		return nil, err
	}
	var found []p11.ObjectHandle
	var err error
	for len(found) <= maxObjects {
		var some []p11.ObjectHandle
		if some, _, err = t.api.FindObjects(t.session, searchStep); err != nil || len(some) == 0 {
			break
		}
		found = append(found, some...)
	}
	if e := t.api.FindObjectsFinal(t.session); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	if len(found) > maxObjects {
		return nil, fmt.Errorf("more than %d secret keys on the token: %w", maxObjects, hsm.ErrDevice)
	}
	info, err := t.api.GetSessionInfo(t.session)
	if err != nil {
		return nil, err
	}
	if info.State != p11.CKS_RW_USER_FUNCTIONS {
		return nil, p11.Error(p11.CKR_USER_NOT_LOGGED_IN)
	}
	return found, nil
}

// lookup finds the keys of a label: none or one, if nobody meddled.
func (t *token) lookup(label string) ([]p11.ObjectHandle, error) {
	return t.search(
		p11.NewAttribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY),
		p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_LABEL, prefix+label),
	)
}

// key finds the one key of a label.
func (t *token) key(label string) (p11.ObjectHandle, error) {
	found, err := t.lookup(label)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, hsm.ErrNoKey
	case len(found) > 1:
		return 0, fmt.Errorf("%d keys of one label: %w", len(found), hsm.ErrTemplate)
	}
	return found[0], nil
}

// ourKey is a key whose label begins with our prefix.
type ourKey struct {
	label  string // without the prefix; perhaps not a label we would give
	handle p11.ObjectHandle
}

// ourKeys lists all of them, sorted by label.
func (t *token) ourKeys() ([]ourKey, error) {
	all, err := t.search(
		p11.NewAttribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY),
		p11.NewAttribute(p11.CKA_TOKEN, true),
	)
	if err != nil {
		return nil, err
	}
	var ours []ourKey
	for _, handle := range all {
		got, err := t.api.GetAttributeValue(t.session, handle, []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, nil)})
		if err != nil {
			return nil, err
		}
		if label, ok := strings.CutPrefix(string(got[0].Value), prefix); ok {
			ours = append(ours, ourKey{label, handle})
		}
	}
	slices.SortFunc(ours, func(a, b ourKey) int { return strings.Compare(a.label, b.label) })
	return ours, nil
}

// labels lists the labels of our keys, each once.
func (t *token) labels() ([]string, error) {
	ours, err := t.ourKeys()
	if err != nil {
		return nil, err
	}
	var labels []string
	for _, k := range ours {
		if hsm.CheckLabel(k.label) == nil && !slices.Contains(labels, k.label) {
			labels = append(labels, k.label)
		}
	}
	return labels, nil
}

// checkAll verifies the template of every key of ours. (R33)
func (t *token) checkAll() error {
	ours, err := t.ourKeys()
	if err != nil {
		return err
	}
	for i, k := range ours {
		err := hsm.CheckLabel(k.label)
		switch {
		case err != nil:
			return fmt.Errorf("sealing key %q, which we never made: %w", k.label, hsm.ErrTemplate)
		case i > 0 && ours[i-1].label == k.label:
			return fmt.Errorf("sealing key %q: there are two: %w", k.label, hsm.ErrTemplate)
		}
		if err := t.verify(k.handle); err != nil {
			return fmt.Errorf("sealing key %q: %w", k.label, err)
		}
	}
	return nil
}

// create makes a key. began is false on the first try: a key that is there on
// the second was made by the first, before the session died under it.
func (t *token) create(label string, began *bool) error {
	key, err := t.key(label)
	switch {
	case err == nil && *began:
		return t.verify(key)
	case err == nil:
		return hsm.ErrKeyExists
	case !errors.Is(err, hsm.ErrNoKey):
		return err
	}
	labels, err := t.labels()
	if err != nil {
		return err
	}
	if len(labels) >= hsm.MaxKeys {
		return fmt.Errorf("the token holds %d keys of ours already: %w", len(labels), hsm.ErrTooLarge)
	}
	*began = true
	key, err = t.api.GenerateKey(t.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, template(prefix+label))
	if err != nil {
		return err
	}
	err = t.verify(key)
	if errors.Is(err, hsm.ErrTemplate) {
		// Nothing was sealed under it yet; Check names it if this fails.
		if e := t.api.DestroyObject(t.session, key); e != nil {
			return fmt.Errorf("%w; and the key could not be destroyed: %w", err, e)
		}
	}
	return err
}

// destroy destroys every key of a label and looks again. began as in create.
func (t *token) destroy(label string, began *bool) error {
	found, err := t.lookup(label)
	if err != nil {
		return err
	}
	if len(found) == 0 && !*began {
		return hsm.ErrNoKey
	}
	for _, key := range found {
		*began = true
		if err := t.api.DestroyObject(t.session, key); err != nil {
			return err
		}
	}
	if found, err = t.lookup(label); err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("the token still holds the key: %w", hsm.ErrDevice)
	}
	return nil
}

// gcm runs one operation of CKM_AES_GCM (PKCS#11 Current Mechanisms 2.40,
// 2.12) and gives back the parameters' C memory.
func gcm(nonce, aad []byte, operate func(*p11.GCMParams, []*p11.Mechanism) error) error {
	params := p11.NewGCMParams(nonce, aad, gcmTagBits)
	defer params.Free()
	return operate(params, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, params)})
}

// encrypt seals plaintext under a fresh random nonce.
func (t *token) encrypt(key p11.ObjectHandle, plaintext, aad []byte) (blob hsm.Blob, err error) {
	blob.Nonce = make([]byte, hsm.NonceSize)
	rand.Read(blob.Nonce) // never fails
	err = gcm(blob.Nonce, aad, func(params *p11.GCMParams, mechanism []*p11.Mechanism) error {
		if err := t.api.EncryptInit(t.session, mechanism, key); err != nil {
			return err
		}
		if blob.Sealed, err = t.api.Encrypt(t.session, plaintext); err != nil {
			return err
		}
		if !bytes.Equal(params.IV(), blob.Nonce) {
			return fmt.Errorf("the token chose a nonce of its own: %w", hsm.ErrDevice)
		}
		if len(blob.Sealed) != len(plaintext)+hsm.TagSize {
			return fmt.Errorf("the token made %d bytes of %d: %w", len(blob.Sealed), len(plaintext), hsm.ErrDevice)
		}
		return nil
	})
	return blob, err
}

// decrypt opens a blob. hsm.ErrOpen if the token says that it does not open.
func (t *token) decrypt(key p11.ObjectHandle, blob hsm.Blob, aad []byte) (plaintext []byte, err error) {
	err = gcm(blob.Nonce, aad, func(_ *p11.GCMParams, mechanism []*p11.Mechanism) error {
		if err := t.api.DecryptInit(t.session, mechanism, key); err != nil {
			return err
		}
		plaintext, err = t.api.Decrypt(t.session, blob.Sealed)
		return err
	})
	var code p11.Error
	if !errors.As(err, &code) {
		return plaintext, err
	}
	switch code {
	case p11.CKR_ENCRYPTED_DATA_INVALID, p11.CKR_ENCRYPTED_DATA_LEN_RANGE, p11.CKR_SIGNATURE_INVALID, ckrAEADDecryptFailed:
		return nil, hsm.ErrOpen
	case p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED:
		// Some tokens, SoftHSM among them, say no more than this when the tag
		// is wrong. If the key works otherwise, that is what it was.
		if e := t.probe(key); e != nil {
			return nil, errors.Join(err, e)
		}
		return nil, hsm.ErrOpen
	}
	return nil, err
}

// probe seals and opens a known block. It does not call decrypt, which calls it.
func (t *token) probe(key p11.ObjectHandle) error {
	known := make([]byte, 16)
	blob, err := t.encrypt(key, known, nil)
	if err != nil {
		return err
	}
	return gcm(blob.Nonce, nil, func(_ *p11.GCMParams, mechanism []*p11.Mechanism) error {
		if err := t.api.DecryptInit(t.session, mechanism, key); err != nil {
			return err
		}
		opened, err := t.api.Decrypt(t.session, blob.Sealed)
		if err == nil && !bytes.Equal(opened, known) {
			err = fmt.Errorf("the token opens something else than it sealed: %w", hsm.ErrDevice)
		}
		return err
	})
}
