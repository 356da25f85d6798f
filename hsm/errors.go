package hsm

import "errors"

var (
	// ErrNoKey: the device holds no key under that label.
	ErrNoKey = errors.New("hsm: no such sealing key")
	// ErrKeyExists: the device already holds a key under that label.
	ErrKeyExists = errors.New("hsm: sealing key exists already")
	// ErrNoPair: the device holds no key pair of that label and use, or half of one.
	ErrNoPair = errors.New("hsm: no such key pair")
	// ErrPairExists: the device already holds a key pair of that label and use.
	ErrPairExists = errors.New("hsm: key pair exists already")
	// ErrOpen: a blob was altered, is of another key, or was sealed with other
	// associated data.
	ErrOpen = errors.New("hsm: blob does not open")
	// ErrTemplate: a key on the device is not kept the way ours must be.
	ErrTemplate = errors.New("hsm: key has an unsafe template")
	// ErrWrongPIN: the token refused the PIN. It is not tried again.
	ErrWrongPIN = errors.New("hsm: wrong PIN")
	// ErrPINLocked: the token's PIN is locked, or one wrong try would lock it;
	// the PIN was not tried. A correct log-in by hand resets the token's count.
	ErrPINLocked = errors.New("hsm: PIN is locked or at its final try")
	// ErrNoToken: no token of that label is there.
	ErrNoToken = errors.New("hsm: no such token")
	// ErrWrongToken: the token found is not the one configured, or several fit.
	ErrWrongToken = errors.New("hsm: not the configured token")
	// ErrTokenInUse: this process has the token open already.
	ErrTokenInUse = errors.New("hsm: token is open already in this process")
	// ErrModule: the PKCS#11 module cannot be loaded or initialised.
	ErrModule = errors.New("hsm: PKCS#11 module is not usable")
	// ErrDevice: the device failed, and reopening it once did not help.
	ErrDevice = errors.New("hsm: device failed")
	// ErrClosed: the device was closed.
	ErrClosed = errors.New("hsm: device is closed")
	// ErrTooLarge: more bytes than MaxPlaintext or MaxAAD.
	ErrTooLarge = errors.New("hsm: too many bytes to seal")
	// ErrEmpty: there is nothing to seal.
	ErrEmpty = errors.New("hsm: nothing to seal")
	// ErrLabel: not a label.
	ErrLabel = errors.New("hsm: not a label of a sealing key")
)
