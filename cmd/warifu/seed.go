package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// readSeed reads the seed of a symmetric key, which nobody but its owner may read.
func readSeed(name string) (*client.Owned, error) {
	b, err := readSecret(name)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	o, err := parseSeed(b)
	if err != nil {
		return nil, fail(exitInput, "%s: %w", name, err)
	}
	return o, nil
}

// parseSeed reads 32 bytes as they are, or 64 hexadecimal digits and the end of a line.
// 32 characters of text are no 32 random bytes.
func parseSeed(b []byte) (*client.Owned, error) {
	if len(b) == 32 {
		if !slices.ContainsFunc(b, func(c byte) bool { return (c < ' ' || c > '~') && !strings.ContainsRune("\t\r\n", rune(c)) }) {
			return nil, fmt.Errorf("%w: the file has 32 characters of text; openssl rand -hex 32 makes one", client.ErrSeed)
		}
		return client.NewOwnedSeed(secret.New(b))
	}
	digits := bytes.TrimRight(b, "\r\n")
	raw := make([]byte, 32)
	defer clear(raw)
	if len(digits) != 64 {
		return nil, fmt.Errorf("%w, as they are or as 64 hexadecimal digits: the file has %d bytes", client.ErrSeed, len(b))
	}
	if _, err := hex.Decode(raw, digits); err != nil {
		return nil, fmt.Errorf("%w, as they are or as 64 hexadecimal digits", client.ErrSeed)
	}
	return client.NewOwnedSeed(secret.New(raw))
}
