package soft

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
)

// Warning is what Open logs and what a status shows.
const Warning = "the soft device keeps its keys in plain files: it protects nothing"

const (
	keySize    = 32 // AES-256
	keySuffix  = ".key"
	serialFile = "serial"
	serialSize = 16 // random bytes in serialFile
)

// Config says where the keys are.
type Config struct {
	// Dir is made with mode 0700 if it is not there. Required.
	Dir string
	// Serial pins the directory, as with a token. Optional.
	Serial string
	// Log receives Warning. slog.Default if nil.
	Log *slog.Logger
}

// Device is an hsm.Device that protects nothing.
type Device struct {
	dir    string
	serial string

	mu     sync.Mutex
	closed bool // guarded by mu
}

var _ hsm.Device = (*Device)(nil)

// Open opens or makes a directory of keys. hsm.ErrWrongToken if its serial is
// not the one configured.
func Open(c Config) (*Device, error) {
	if c.Dir == "" {
		return nil, fmt.Errorf("open a soft device: no directory is configured: %w", hsm.ErrNoToken)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the soft device: %w", err)
	}
	serial, err := readSerial(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the soft device in %s: %w", c.Dir, err)
	}
	if c.Serial != "" && c.Serial != serial {
		return nil, fmt.Errorf("the soft device in %s has serial %s, configured is %s: %w", c.Dir, serial, c.Serial, hsm.ErrWrongToken)
	}
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	log.Warn(Warning, "dir", c.Dir, "serial", serial)
	return &Device{dir: c.Dir, serial: serial}, nil
}

// readSerial reads the serial, and makes one in a directory that has none.
func readSerial(dir string) (string, error) {
	path := filepath.Join(dir, serialFile)
	id, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		random := make([]byte, serialSize)
		rand.Read(random) // never fails
		id = []byte(hex.EncodeToString(random))
		if err = writeNew(dir, serialFile, id); errors.Is(err, fs.ErrExist) {
			id, err = os.ReadFile(path) // someone else was first
		}
	}
	if err != nil {
		return "", err
	}
	if len(id) != hex.EncodedLen(serialSize) {
		return "", fmt.Errorf("%s is damaged: %w", path, hsm.ErrDevice)
	}
	sum := sha256.Sum256(id)
	return "soft-" + hex.EncodeToString(sum[:8]), nil
}

// Serial implements hsm.Device.
func (d *Device) Serial() string { return d.serial }

// Kind implements hsm.Device.
func (d *Device) Kind() string { return hsm.KindSoft }

// Close implements hsm.Device.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// enter takes the lock for one call; leave gives it back.
func (d *Device) enter() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return hsm.ErrClosed
	}
	return nil
}

func (d *Device) leave() { d.mu.Unlock() }

// with does one call for the key of a label.
func (d *Device) with(action, label string, call func() error) error {
	err := hsm.CheckLabel(label)
	if err == nil {
		if err = d.enter(); err == nil {
			defer d.leave()
			err = call()
		}
	}
	if err != nil {
		return fmt.Errorf("%s sealing key %q: %w", action, label, err)
	}
	return nil
}

func fileName(label string) string { return hex.EncodeToString([]byte(label)) + keySuffix }

func (d *Device) path(label string) string { return filepath.Join(d.dir, fileName(label)) }

// CreateKey implements hsm.Device.
func (d *Device) CreateKey(label string) error {
	return d.with("create", label, func() error {
		labels, err := d.labels()
		if err != nil {
			return err
		}
		if len(labels) >= hsm.MaxKeys && !slices.Contains(labels, label) {
			return fmt.Errorf("the device holds %d keys already: %w", len(labels), hsm.ErrTooLarge)
		}
		key := make([]byte, keySize)
		defer clear(key)
		rand.Read(key)
		err = writeNew(d.dir, fileName(label), key)
		if errors.Is(err, fs.ErrExist) {
			return hsm.ErrKeyExists
		}
		return err
	})
}

// HasKey implements hsm.Device.
func (d *Device) HasKey(label string) (has bool, err error) {
	err = d.with("look for", label, func() error {
		_, err := os.Lstat(d.path(label))
		has = err == nil
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return has, err
}

// Labels implements hsm.Device.
func (d *Device) Labels() ([]string, error) {
	if err := d.enter(); err != nil {
		return nil, fmt.Errorf("list sealing keys: %w", err)
	}
	defer d.leave()
	return d.labels()
}

// labels lists the labels by the names of the files. The caller holds mu.
func (d *Device) labels() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list sealing keys: %w", err)
	}
	var labels []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), keySuffix)
		label, err := hex.DecodeString(name)
		if ok && err == nil && fileName(string(label)) == e.Name() && hsm.CheckLabel(string(label)) == nil {
			labels = append(labels, string(label))
		}
	}
	slices.Sort(labels)
	return labels, nil
}

// aead reads the key of a label.
func (d *Device) aead(label string) (cipher.AEAD, error) {
	key, err := os.ReadFile(d.path(label))
	defer clear(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hsm.ErrNoKey
	}
	if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("the key has %d bytes: %w", len(key), hsm.ErrTemplate)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal implements hsm.Device.
func (d *Device) Seal(label string, plaintext secret.Bytes, aad []byte) (blob []byte, err error) {
	err = d.with("seal under", label, func() error {
		if err := hsm.CheckSizes(plaintext.Len(), len(aad)); err != nil {
			return err
		}
		aead, err := d.aead(label)
		if err != nil {
			return err
		}
		nonce := make([]byte, hsm.NonceSize)
		rand.Read(nonce)
		blob = hsm.Blob{Nonce: nonce, Sealed: aead.Seal(nil, nonce, plaintext.Reveal(), aad)}.Bytes()
		return nil
	})
	return blob, err
}

// Open implements hsm.Device.
func (d *Device) Open(label string, blob, aad []byte) (plaintext secret.Bytes, err error) {
	err = d.with("open with", label, func() error {
		aead, err := d.aead(label)
		if err != nil {
			return err
		}
		parts, err := hsm.ParseBlob(blob)
		if err != nil {
			return err
		}
		opened, err := aead.Open(nil, parts.Nonce, parts.Sealed, aad)
		if err != nil {
			return hsm.ErrOpen
		}
		plaintext = secret.New(opened)
		return nil
	})
	return plaintext, err
}

// DestroyKey implements hsm.Device: overwrite, remove, sync the directory.
func (d *Device) DestroyKey(label string) error {
	return d.with("destroy", label, func() error {
		err := overwrite(d.path(label))
		if err == nil {
			if err = os.Remove(d.path(label)); err == nil {
				err = syncDir(d.dir)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			// An earlier removal may have crashed before it was synced.
			if err := syncDir(d.dir); err != nil {
				return err
			}
			return hsm.ErrNoKey
		}
		return err
	})
}

// Check implements hsm.Device as far as files allow: a key is a regular file of
// the right size that only its owner may read.
func (d *Device) Check() error {
	if err := d.enter(); err != nil {
		return fmt.Errorf("check sealing keys: %w", err)
	}
	defer d.leave()
	if info, err := os.Stat(d.dir); err != nil {
		return fmt.Errorf("check sealing keys: %w", err)
	} else if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("check sealing keys: %s is open to others, mode %v: %w", d.dir, info.Mode().Perm(), hsm.ErrTemplate)
	}
	labels, err := d.labels()
	if err != nil {
		return err
	}
	for _, label := range labels {
		info, err := os.Lstat(d.path(label))
		if err != nil {
			return fmt.Errorf("check sealing key %q: %w", label, err)
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() != keySize {
			return fmt.Errorf("check sealing key %q: mode %v, %d bytes: %w", label, info.Mode(), info.Size(), hsm.ErrTemplate)
		}
	}
	return nil
}
