package warifutest_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/warifutest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := warifutest.Forget(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// An envelope wrapped offline opens, and a cluster that is stopped starts again.
func TestAClusterInABubble(t *testing.T) {
	warifutest.Run(t, warifutest.Options{Seed: 1}, func(t *testing.T, c *warifutest.Cluster) {
		app, key, err := c.Application(warifutest.AppA)
		if err != nil {
			t.Fatal(err)
		}
		dek := make([]byte, 32)
		envelope, err := key.Wrap(rand.Reader, nil, secret.New(dek))
		if err != nil {
			t.Fatal(err)
		}
		got, err := app.Unwrap(t.Context(), envelope, nil, "a test")
		if err != nil || got.Len() != 32 {
			t.Fatal(err)
		}
	})
}
