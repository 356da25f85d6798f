package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/sharing/custodian"

	"github.com/spf13/cobra"
)

// minWorkFactor is the least work that guessing a passphrase of a new custodian
// file may cost, as the logarithm of scrypt's N.
const minWorkFactor = 10

func (a *app) custodianCommand() *cobra.Command {
	return group("custodian", "Make and keep a custodian's keys, and show their public halves",
		"A custodian is one file under a passphrase, or a PKCS#11 token, with two keys: one\nsigns, one opens what is encrypted to this custodian. Its public line goes into genesis.",
		"  warifu custodian new alice --out alice.custodian\n  warifu custodian show alice.custodian\n  warifu custodian backup alice.custodian --out copy.custodian",
		a.custodianNewCommand(), a.custodianShowCommand(), a.custodianPasswdCommand(), a.custodianBackupCommand(),
		a.custodianListCommand(), a.custodianReplaceCommand(), a.custodianDrillCommand())
}

func (a *app) custodianNewCommand() *cobra.Command {
	var out, passphraseFile string
	var work int
	var t tokenFlags
	c := &cobra.Command{
		Use:   "new NAME --out FILE",
		Short: "Make a custodian's two keys, under a passphrase or in a token",
		Long: `Makes a custodian's two keys. They are written to FILE (mode 0600) under a
passphrase, which is asked twice on the terminal or read from the first line of
--passphrase-file. The public line is written to FILE.pub, for whoever makes the
genesis document.

FILE is an age file: age alone opens it, should this program be lost.

With --token the keys are made in a PKCS#11 token and never leave it: there is no copy,
and a lost token is a lost custodian. FILE then names the token and is given wherever
--custodian takes a file; --passphrase-file gives the PIN there. A handle that was lost is
written again with --existing. A program built without cgo cannot speak to tokens.`,
		Example: "  warifu custodian new alice --out alice.custodian\n  warifu custodian new bob --token bob-card --module /usr/lib/softhsm/libsofthsm2.so --out bob.custodian",
		Args:    exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if t.token != "" {
				if err := misused("NAME", api.CheckName(args[0])); err != nil {
					return err
				}
				return t.create(a, args[0], out)
			}
			if t.serial != "" || t.module != "" || t.pinFile != "" || t.existing {
				return fail(exitUsage, "--serial, --module, --pin-file and --existing are about the token that --token names")
			}
			if work < minWorkFactor || work > custodian.MaxCost {
				return fail(exitUsage, "--work-factor is %d to %d", minWorkFactor, custodian.MaxCost)
			}
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
				return err
			}
			c, err := custodian.Create(rand.Reader, args[0])
			if err != nil {
				return err
			}
			for _, name := range []string{out, out + ".pub"} {
				if err := mustNotExist(name); err != nil {
					return err
				}
			}
			passphrase, err := newPassphrase(passphraseFile)
			if err != nil {
				return err
			}
			defer passphrase.Wipe()
			sealed, err := c.SealCost(passphrase, work)
			if err != nil {
				return err
			}
			if err := writeNew(out, modeSecret, sealed); err != nil {
				return err
			}
			line := publicLine(c)
			if err := writeNew(out+".pub", modePublic, []byte(line+"\n")); err != nil {
				return err
			}
			return a.showCustodian(line, func(w io.Writer) {
				fmt.Fprintf(w, "written: %s (secret, keep it and its passphrase apart) and %s.pub (public)\n", out, out)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "file to write")
	f.StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase, mode 0600 (default: ask on the terminal)")
	f.IntVar(&work, "work-factor", custodian.DefaultCost, "cost of one guess at the passphrase, scrypt's log2 N, at least 10; 18 is about a second")
	f.StringVar(&t.token, "token", "", "label of the PKCS#11 token to make the keys in")
	f.StringVar(&t.serial, "serial", "", "serial number of the token, if several have the label")
	f.StringVar(&t.module, "module", "", "the PKCS#11 library that speaks to the token (default $"+moduleVariable+")")
	f.StringVar(&t.pinFile, "pin-file", "", "file with the token's PIN, mode 0600 (default: ask on the terminal)")
	f.BoolVar(&t.existing, "existing", false, "make no keys: write the handle of those that are in the token")
	required(c, "out")
	c.MarkFlagsMutuallyExclusive("token", "passphrase-file")
	c.MarkFlagsMutuallyExclusive("token", "work-factor")
	return c
}

func (a *app) custodianShowCommand() *cobra.Command {
	var passphraseFile string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Print a custodian's public line",
		Long: `Prints a custodian's public line, for whoever makes the genesis document. It is
read from FILE.pub; if that is missing, from FILE itself with the passphrase, or the
PIN of its token.`,
		Example: "  warifu custodian show alice.custodian",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			line, err := readPublicLine(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				var c *custodian.Custodian
				if c, err = a.openCustodian(args[0], passphraseFile, "to show it"); err == nil {
					line = publicLine(c)
				}
			}
			if err != nil {
				return err
			}
			return a.showCustodianIn(args[0], line, func(w io.Writer) { fmt.Fprintln(w, line) })
		},
	}
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase, mode 0600, in case FILE.pub is missing")
	return c
}

// readPublicLine reads the public line beside a custodian file, or in the file itself
// if that is a public one.
func readPublicLine(name string) (string, error) {
	if !strings.HasSuffix(name, ".pub") {
		name += ".pub"
	}
	b, err := readSmall(name)
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(b))
	if _, err := authority.ParseCustodian(line); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return line, nil
}

func (a *app) showCustodian(line string, words func(w io.Writer)) error {
	return a.showCustodianIn("", line, words)
}

// showCustodianIn is [app.showCustodian] with the token of a handle.
func (a *app) showCustodianIn(file, line string, words func(w io.Writer)) error {
	c, err := authority.ParseCustodian(line)
	if err != nil {
		return err
	}
	token, serial := "", ""
	if file != "" {
		token, serial = tokenOf(file)
	}
	return a.show(struct {
		Name        string `json:"name"`
		Fingerprint string `json:"fingerprint"`
		Open        string `json:"open"`
		Line        string `json:"line"`
		Token       string `json:"token,omitempty"`
		Serial      string `json:"serial,omitempty"`
	}{c.Name, authority.FingerprintOf(c.Sign).String(), c.Open, line, token, serial}, words)
}

func publicLine(c *custodian.Custodian) string {
	name, sign, open := c.Public()
	return authority.FormatCustodian(authority.Custodian{Name: name, Sign: sign, Open: open})
}

// openCustodian opens a custodian file, or the token that a handle names; purpose ends
// the question for the passphrase, or the PIN.
func (a *app) openCustodian(file, passphraseFile, purpose string) (*custodian.Custodian, error) {
	h, err := readHandle(file)
	if err != nil {
		return nil, err
	}
	if h != nil {
		return a.openHandle(file, h, passphraseFile, purpose)
	}
	sealed, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	passphrase, err := readPassphrase(passphraseFile, fmt.Sprintf("passphrase of %s %s: ", file, purpose))
	if err != nil {
		return nil, err
	}
	defer passphrase.Wipe()
	c, err := custodian.Open(sealed, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// openSigner opens a custodian file, or token, to sign with.
func (a *app) openSigner(file, passphraseFile, purpose string) (*authority.Signer, string, error) {
	c, err := a.openCustodian(file, passphraseFile, purpose)
	if err != nil {
		return nil, "", err
	}
	signer, err := authority.NewSigner(c.SignKey())
	return signer, c.Name(), err
}

// checkOpening refuses a custodian to whom no piece could be encrypted.
func checkOpening(c authority.Custodian) error {
	if err := custodian.CheckRecipient(c.Open); err != nil {
		return fmt.Errorf("%w: custodian %s: %w", authority.ErrGenesis, c.Name, err)
	}
	return nil
}
