package main

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"os"

	"golang.org/x/term"
	"warifu.dev/internal/secret"
)

// minPassphrase is what a new custodian's passphrase has at least, in bytes: the
// file can be guessed at by whoever steals it, as fast as scrypt lets them.
const minPassphrase = 10

// readPassphrase reads a passphrase from the first line of a private file, or,
// if file is empty, from the terminal without echo.
func readPassphrase(file, prompt string) (secret.Bytes, error) {
	if file == "" {
		return askPassphrase(prompt)
	}
	b, err := readSecret(file)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("passphrase: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return secret.Bytes{}, fail(exitInput, "the first line of %s is empty: no passphrase", file)
	}
	return secret.New(line), nil
}

// newPassphrase is [readPassphrase] for a secret that is being made: typed
// twice, and not too short.
func newPassphrase(file string) (secret.Bytes, error) {
	first, err := readPassphrase(file, "new passphrase: ")
	if err != nil {
		return secret.Bytes{}, err
	}
	if first.Len() < minPassphrase {
		return secret.Bytes{}, fail(exitUsage, "a passphrase has at least %d bytes; six words make a good one", minPassphrase)
	}
	if file != "" {
		return first, nil
	}
	second, err := askPassphrase("the same again: ")
	if err != nil {
		return secret.Bytes{}, err
	}
	defer second.Wipe()
	if subtle.ConstantTimeCompare(first.Reveal(), second.Reveal()) != 1 {
		return secret.Bytes{}, fail(exitUsage, "the two are not the same; nothing was made")
	}
	return first, nil
}

// terminal is where somebody sits, whatever stdin and stdout are. Both may be one file.
type terminal struct{ in, out *os.File }

func (t terminal) Close() {
	t.in.Close()
	t.out.Close()
}

// askPassphrase speaks to the terminal itself, so that stdin and stdout stay
// free for data.
func askPassphrase(prompt string) (secret.Bytes, error) {
	tty, err := openTerminal()
	if err != nil {
		return secret.Bytes{}, fail(exitUsage, "there is no terminal to ask for the passphrase; give --passphrase-file FILE")
	}
	defer tty.Close()
	fmt.Fprint(tty.out, prompt)
	b, err := term.ReadPassword(int(tty.in.Fd()))
	fmt.Fprintln(tty.out)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("read the passphrase: %w", err)
	}
	if len(b) == 0 {
		return secret.Bytes{}, fail(exitUsage, "no passphrase was typed; nothing was done")
	}
	return secret.New(b), nil
}
