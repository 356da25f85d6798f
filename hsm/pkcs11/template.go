//go:build cgo

package pkcs11

import (
	"bytes"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"warifu.dev/hsm"
)

// keyLength is that of AES-256, in bytes.
const keyLength = 32

// property is an attribute that every sealing key has, and its name for people.
type property struct {
	name  string
	typ   uint
	value any
}

// made is what we ask for when a key is made. A key that both wraps and
// decrypts gives every other key away, one that unwraps and encrypts takes in a
// known one, and one that may be modified becomes either (Clulow, CHES 2003;
// Bortolozzo et al., CCS 2010).
var made = []property{
	{"CKA_CLASS", p11.CKA_CLASS, p11.CKO_SECRET_KEY},
	{"CKA_KEY_TYPE", p11.CKA_KEY_TYPE, p11.CKK_AES},
	{"CKA_VALUE_LEN", p11.CKA_VALUE_LEN, keyLength},
	{"CKA_TOKEN", p11.CKA_TOKEN, true},
	{"CKA_PRIVATE", p11.CKA_PRIVATE, true},
	{"CKA_SENSITIVE", p11.CKA_SENSITIVE, true},
	{"CKA_EXTRACTABLE", p11.CKA_EXTRACTABLE, false},
	{"CKA_ENCRYPT", p11.CKA_ENCRYPT, true},
	{"CKA_DECRYPT", p11.CKA_DECRYPT, true},
	{"CKA_WRAP", p11.CKA_WRAP, false},
	{"CKA_UNWRAP", p11.CKA_UNWRAP, false},
	{"CKA_SIGN", p11.CKA_SIGN, false},
	{"CKA_VERIFY", p11.CKA_VERIFY, false},
	{"CKA_DERIVE", p11.CKA_DERIVE, false},
	{"CKA_MODIFIABLE", p11.CKA_MODIFIABLE, false},
	{"CKA_COPYABLE", p11.CKA_COPYABLE, false},
	{"CKA_DESTROYABLE", p11.CKA_DESTROYABLE, true},
}

// born is what the token itself says of a key made in it with that template
// and never otherwise.
var born = []property{
	{"CKA_LOCAL", p11.CKA_LOCAL, true},
	{"CKA_ALWAYS_SENSITIVE", p11.CKA_ALWAYS_SENSITIVE, true},
	{"CKA_NEVER_EXTRACTABLE", p11.CKA_NEVER_EXTRACTABLE, true},
}

// template is that of a new sealing key of the given CKA_LABEL.
func template(label string) []*p11.Attribute { return asked(label, made) }

// asked is a list as a template, with a CKA_LABEL.
func asked(label string, list []property) []*p11.Attribute {
	t := []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, label)}
	for _, p := range list {
		t = append(t, p11.NewAttribute(p.typ, p.value))
	}
	return t
}

// verify reads the template of a sealing key back. hsm.ErrTemplate names the attribute.
func (t *token) verify(key p11.ObjectHandle) error { return t.hasAll(key, made, born) }

// hasAll reads the template of a key back. hsm.ErrTemplate names the attribute.
func (t *token) hasAll(key p11.ObjectHandle, lists ...[]property) error {
	for _, list := range lists {
		for _, p := range list {
			// One by one: a token that does not know one of them refuses the list.
			got, err := t.api.GetAttributeValue(t.session, key, []*p11.Attribute{p11.NewAttribute(p.typ, nil)})
			if errors.Is(err, p11.Error(p11.CKR_ATTRIBUTE_TYPE_INVALID)) {
				return fmt.Errorf("the token does not tell %s: %w", p.name, hsm.ErrTemplate)
			}
			if err != nil {
				return err
			}
			if len(got) != 1 || !bytes.Equal(got[0].Value, p11.NewAttribute(p.typ, p.value).Value) {
				return fmt.Errorf("%s is not %v: %w", p.name, p.value, hsm.ErrTemplate)
			}
		}
	}
	return nil
}
