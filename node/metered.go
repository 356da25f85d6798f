package node

import (
	"time"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
	"warifu.dev/node/ops"
)

// metered is a device whose calls are counted and timed.
type metered struct {
	hsm.Device
	meters *ops.Meters
}

// timed makes one call.
func timed[T any](m metered, call string, do func() (T, error)) (T, error) {
	began := time.Now()
	v, err := do()
	m.meters.Called(call, time.Since(began), err)
	return v, err
}

func nothing(do func() error) func() (struct{}, error) {
	return func() (struct{}, error) { return struct{}{}, do() }
}

// CreateKey implements [hsm.Device].
func (m metered) CreateKey(label string) error {
	_, err := timed(m, "create_key", nothing(func() error { return m.Device.CreateKey(label) }))
	return err
}

// HasKey implements [hsm.Device].
func (m metered) HasKey(label string) (bool, error) {
	return timed(m, "has_key", func() (bool, error) { return m.Device.HasKey(label) })
}

// Seal implements [hsm.Device].
func (m metered) Seal(label string, plaintext secret.Bytes, aad []byte) ([]byte, error) {
	return timed(m, "seal", func() ([]byte, error) { return m.Device.Seal(label, plaintext, aad) })
}

// Open implements [hsm.Device].
func (m metered) Open(label string, blob, aad []byte) (secret.Bytes, error) {
	return timed(m, "open", func() (secret.Bytes, error) { return m.Device.Open(label, blob, aad) })
}

// DestroyKey implements [hsm.Device].
func (m metered) DestroyKey(label string) error {
	_, err := timed(m, "destroy_key", nothing(func() error { return m.Device.DestroyKey(label) }))
	return err
}

// Check implements [hsm.Device].
func (m metered) Check() error {
	_, err := timed(m, "check", nothing(m.Device.Check))
	return err
}
