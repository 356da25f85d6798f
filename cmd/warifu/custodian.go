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
		"A custodian is one file under a passphrase with two keys: one signs, one opens\nwhat is encrypted to this custodian. Its public line goes into genesis.",
		"  warifu custodian new alice --out alice.custodian\n  warifu custodian show alice.custodian\n  warifu custodian backup alice.custodian --out copy.custodian",
		a.custodianNewCommand(), a.custodianShowCommand(), a.custodianPasswdCommand(), a.custodianBackupCommand(),
		a.custodianListCommand(), a.custodianReplaceCommand(), a.custodianDrillCommand())
}

func (a *app) custodianNewCommand() *cobra.Command {
	var out, passphraseFile string
	var work int
	c := &cobra.Command{
		Use:   "new NAME --out FILE",
		Short: "Make a custodian's two keys, under a passphrase",
		Long: `Makes a custodian's two keys. They are written to FILE (mode 0600) under a
passphrase, which is asked twice on the terminal or read from the first line of
--passphrase-file. The public line is written to FILE.pub, for whoever makes the
genesis document.

FILE is an age file: age alone opens it, should this program be lost.`,
		Example: "  warifu custodian new alice --out alice.custodian",
		Args:    exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
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
	required(c, "out")
	return c
}

func (a *app) custodianShowCommand() *cobra.Command {
	var passphraseFile string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Print a custodian's public line",
		Long: `Prints a custodian's public line, for whoever makes the genesis document. It is
read from FILE.pub; if that is missing, from FILE itself with the passphrase.`,
		Example: "  warifu custodian show alice.custodian",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			line, err := readPublicLine(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				var c *custodian.Custodian
				if c, err = openCustodian(args[0], passphraseFile, "to show it"); err == nil {
					line = publicLine(c)
				}
			}
			if err != nil {
				return err
			}
			return a.showCustodian(line, func(w io.Writer) { fmt.Fprintln(w, line) })
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
	c, err := authority.ParseCustodian(line)
	if err != nil {
		return err
	}
	return a.show(struct {
		Name        string `json:"name"`
		Fingerprint string `json:"fingerprint"`
		Open        string `json:"open"`
		Line        string `json:"line"`
	}{c.Name, authority.FingerprintOf(c.Sign).String(), c.Open, line}, words)
}

func publicLine(c *custodian.Custodian) string {
	name, sign, open := c.Public()
	return authority.FormatCustodian(authority.Custodian{Name: name, Sign: sign, Open: open})
}

// openCustodian opens a custodian file; purpose ends the question for its
// passphrase.
func openCustodian(file, passphraseFile, purpose string) (*custodian.Custodian, error) {
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

// openSigner opens a custodian file to sign with.
func openSigner(file, passphraseFile, purpose string) (*authority.Signer, string, error) {
	c, err := openCustodian(file, passphraseFile, purpose)
	if err != nil {
		return nil, "", err
	}
	signer, err := authority.NewSigner(c.SignKey())
	return signer, c.Name(), err
}
