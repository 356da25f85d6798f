package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/hsm/pkcs11"
	"warifu.dev/sharing/custodian"

	"github.com/pelletier/go-toml/v2"
)

// A handle stands where a custodian file would: it names the token that has the keys,
// and whose they are.
type handle struct {
	Format int    `toml:"format"`
	Module string `toml:"module"`
	Token  string `toml:"token"`
	Serial string `toml:"serial"`
	Line   string `toml:"line"` // the custodian's public line
}

const (
	handleFormat = 1
	// handleMark is the first line of a handle, by which it is told from a custodian file.
	handleMark = "# warifu: a custodian whose keys are in a token. Nothing in here is secret.\n"
	handleNote = "# The module is a program that is run with your PIN: take this file from nobody else.\n"
	// moduleVariable names the PKCS#11 module of this machine, in place of the handle's.
	moduleVariable = "WARIFU_PKCS11_MODULE"
)

var (
	// errHandle means that a handle does not say what it must.
	errHandle = errors.New("not the handle of a custodian in a token")
	// errOtherKeys means that the keys in a token are not those that its handle names.
	errOtherKeys = errors.New("the token holds other keys than the handle names")
	// errWritable means that others could have a program run with the PIN.
	errWritable = errors.New("others may write")
)

// readHandle reads a handle. It returns nil for a file that is none.
func readHandle(name string) (*handle, error) {
	b, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(b, []byte(handleMark))
	if !ok {
		return nil, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if othersWrite(info) { // R27
		return nil, fmt.Errorf("%w %s (mode %#o); run: chmod 644 %s", errWritable, name, info.Mode().Perm(), name)
	}
	h, err := parseHandle(rest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}

// parseHandle reads what stands under the mark.
func parseHandle(b []byte) (*handle, error) {
	var h handle
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return nil, fmt.Errorf("%w: %w", errHandle, err)
	}
	switch {
	case h.Format != handleFormat:
		return nil, fmt.Errorf("%w: format %d, this program reads %d", errHandle, h.Format, handleFormat)
	case !filepath.IsAbs(h.Module):
		return nil, fmt.Errorf("%w: the module has no whole path", errHandle)
	case h.Token == "" || h.Serial == "":
		return nil, fmt.Errorf("%w: the token has no label, or no serial", errHandle)
	}
	if _, err := h.custodian(); err != nil {
		return nil, err
	}
	return &h, nil
}

// custodian is whose handle it is.
func (h *handle) custodian() (authority.Custodian, error) {
	c, err := authority.ParseCustodian(h.Line)
	if err == nil {
		err = checkOpening(c)
	}
	if err != nil {
		return c, fmt.Errorf("%w: its line: %w", errHandle, err)
	}
	return c, nil
}

func (h *handle) bytes() []byte {
	b, err := toml.Marshal(h)
	if err != nil {
		panic("encode a handle: " + err.Error())
	}
	return append([]byte(handleMark+handleNote), b...)
}

// openHandle opens the token of a handle, and looks that its keys are the custodian's.
// It stays open until the command line has been done.
func (a *app) openHandle(file string, h *handle, pinFile, purpose string) (*custodian.Custodian, error) {
	if c := a.inTokens[file]; c != nil {
		return c, nil
	}
	who, err := h.custodian()
	if err != nil {
		return nil, err
	}
	module := h.Module
	if m := os.Getenv(moduleVariable); m != "" {
		module = m
	}
	pin, err := readPassphrase(pinFile, fmt.Sprintf("PIN of the token %s with the keys of %s %s: ", oneLine(h.Token), file, purpose))
	if err != nil {
		return nil, err
	}
	defer pin.Wipe()
	pairs, err := a.openPairs(pkcs11.Config{Module: module, TokenLabel: h.Token, Serial: h.Serial, PIN: pin})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	c, err := inToken(pairs, who.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if publicLine(c) != authority.FormatCustodian(who) {
		return nil, fmt.Errorf("%s: %w", file, errOtherKeys)
	}
	if a.inTokens == nil {
		a.inTokens = map[string]*custodian.Custodian{}
	}
	a.inTokens[file] = c
	return c, nil
}

// openPairs opens a token until the command line has been done.
func (a *app) openPairs(c pkcs11.Config) (hsm.Pairs, error) {
	pairs, err := pkcs11.OpenPairs(c)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, pairs)
	return pairs, nil
}

// close logs out of the tokens that were opened. What fails here fails nothing that was
// done.
func (a *app) close() {
	for _, c := range a.closers {
		if err := c.Close(); err != nil {
			fmt.Fprintf(a.errs, "warifu: warning: %s\n", sentence(err))
		}
	}
}

// inToken is the custodian of a name in a token.
func inToken(pairs hsm.Pairs, name string) (*custodian.Custodian, error) {
	sign, err := pairs.Signer(name)
	if err != nil {
		return nil, err
	}
	open, err := pairs.Exchanger(name)
	if err != nil {
		return nil, err
	}
	return custodian.InToken(name, sign, open)
}

// tokenFlags are those of a custodian that is made in a token.
type tokenFlags struct {
	token, serial, module, pinFile string
	existing                       bool
}

// create makes a custodian's keys in a token, or looks for those that are there, and
// writes the handle.
func (f *tokenFlags) create(a *app, name, out string) error {
	if f.module == "" {
		f.module = os.Getenv(moduleVariable)
	}
	if f.module == "" {
		return fail(exitUsage, "--token needs --module FILE, the PKCS#11 library that speaks to it, or $%s", moduleVariable)
	}
	module, err := filepath.Abs(f.module)
	if err != nil {
		return err
	}
	for _, file := range []string{out, out + ".pub"} {
		if err := mustNotExist(file); err != nil {
			return err
		}
	}
	pin, err := readPassphrase(f.pinFile, fmt.Sprintf("PIN of the token %s: ", oneLine(f.token)))
	if err != nil {
		return err
	}
	defer pin.Wipe()
	pairs, err := a.openPairs(pkcs11.Config{Module: module, TokenLabel: f.token, Serial: f.serial, PIN: pin})
	if err != nil {
		return err
	}
	if !f.existing {
		if err := makePairs(pairs, name); err != nil {
			return err
		}
	}
	c, err := inToken(pairs, name)
	if err != nil {
		return err
	}
	h := handle{Format: handleFormat, Module: module, Token: f.token, Serial: pairs.Serial(), Line: publicLine(c)}
	if err := writeNew(out, modePublic, h.bytes()); err != nil {
		return err
	}
	if err := writeNew(out+".pub", modePublic, []byte(h.Line+"\n")); err != nil {
		return err
	}
	return a.showCustodian(h.Line, func(w io.Writer) {
		fmt.Fprintf(w, "the keys are in the token %s, serial %s, and never leave it\n", oneLine(h.Token), oneLine(h.Serial))
		fmt.Fprintf(w, "written: %s (names the token, in place of a custodian file) and %s.pub; both are public\n", out, out)
	})
}

// makePairs makes both keys, or neither.
func makePairs(pairs hsm.Pairs, name string) error {
	err := pairs.CreatePair(name, hsm.UseSign)
	if err == nil {
		if err = pairs.CreatePair(name, hsm.UseExchange); err != nil {
			if e := pairs.DestroyPair(name, hsm.UseSign); e != nil {
				err = fmt.Errorf("%w; and what was made could not be destroyed: %w", err, e)
			}
		}
	}
	if errors.Is(err, hsm.ErrPairExists) {
		return fmt.Errorf("%w; with --existing they are used as they are", err)
	}
	return err
}

// noFile refuses a verb that is about custodian files.
func noFile(file string) error {
	h, err := readHandle(file)
	if err != nil || h == nil {
		return err
	}
	return fail(exitUsage, "%s: %w; its PIN is changed with the token's own tool", file, custodian.ErrInToken)
}

// tokenOf says in which token the keys of a file are, if it is a handle.
func tokenOf(file string) (token, serial string) {
	if h, err := readHandle(strings.TrimSuffix(file, ".pub")); err == nil && h != nil {
		return h.Token, h.Serial
	}
	return "", ""
}
