package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/custodian"

	"github.com/spf13/cobra"
)

// errReadBack means that a custodian file that was just written does not give back
// the keys that were put in it.
var errReadBack = errors.New("what was written does not read back as these keys; nothing was changed")

// resealFlags are those of the verbs that put a custodian's keys under a passphrase
// again.
type resealFlags struct {
	passphraseFile, newPassphraseFile string
	work                              int
}

func (f *resealFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase of FILE, mode 0600 (default: ask on the terminal)")
	c.Flags().StringVar(&f.newPassphraseFile, "new-passphrase-file", "", "file with the new passphrase, mode 0600 (default: ask on the terminal)")
	c.Flags().IntVar(&f.work, "work-factor", custodian.DefaultCost, "cost of one guess at the new passphrase, as for custodian new")
}

// reseal opens file and writes its keys to out under a new passphrase.
func (f *resealFlags) reseal(a *app, file, out, purpose string, replace bool) (*custodian.Custodian, error) {
	if f.work < minWorkFactor || f.work > custodian.MaxCost {
		return nil, fail(exitUsage, "--work-factor is %d to %d", minWorkFactor, custodian.MaxCost)
	}
	if !replace {
		if err := mustNotExist(out); err != nil {
			return nil, err
		}
	}
	if err := noFile(file); err != nil {
		return nil, err
	}
	c, err := a.openCustodian(file, f.passphraseFile, purpose)
	if err != nil {
		return nil, err
	}
	passphrase, err := newPassphrase(f.newPassphraseFile)
	if err != nil {
		return nil, err
	}
	defer passphrase.Wipe()
	sealed, err := c.SealCost(passphrase, f.work)
	if err != nil {
		return nil, err
	}
	return c, writeSealed(out, replace, sealed, c, passphrase)
}

// writeSealed writes a custodian file. It is synced, read from the disk and opened
// before it gets its name: until then, whatever fails or dies here, the file of that
// name is what it was.
func writeSealed(name string, replace bool, sealed []byte, c *custodian.Custodian, passphrase secret.Bytes) error {
	f, err := createFile(name, modeSecret, replace)
	if err != nil {
		return err
	}
	defer f.Abandon()
	if _, err := f.Write(sealed); err != nil {
		return fail(exitLocal, "write %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return fail(exitLocal, "write %s: %w", name, err)
	}
	b, err := readSecret(f.File.Name())
	if err != nil {
		return fail(exitLocal, "write %s: %w: %w", name, errReadBack, err)
	}
	again, err := custodian.Open(b, passphrase)
	if err != nil {
		return fail(exitLocal, "write %s: %w: %w", name, errReadBack, err)
	}
	if !sameKeys(c, again) {
		return fail(exitLocal, "write %s: %w", name, errReadBack)
	}
	return f.Commit()
}

// sameKeys compares the public halves, which [custodian.Open] derives from the
// private ones.
func sameKeys(a, b *custodian.Custodian) bool {
	name, sign, open := a.Public()
	name2, sign2, open2 := b.Public()
	return name == name2 && bytes.Equal(sign, sign2) && open == open2
}

func (a *app) custodianPasswdCommand() *cobra.Command {
	var f resealFlags
	c := &cobra.Command{
		Use:   "passwd FILE",
		Short: "Give a custodian file another passphrase",
		Long: `Gives a custodian file another passphrase. The keys stay what they are, so the
cluster need not know. The new file is written beside the old one, synced, read
back and opened before it takes its place: the old one is there until then, whatever
happens.

Copies made before, by custodian backup or otherwise, stay under the passphrase that they
have. If the old one may be known to others, destroy them; if the file was theirs as
well, the keys are, and the custodian has to be replaced.`,
		Example: "  warifu custodian passwd alice.custodian",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			// A link stays one: its target is what gets the new passphrase.
			file, err := filepath.EvalSymlinks(args[0])
			if err != nil {
				return err
			}
			c, err := f.reseal(a, file, file, "as it is now", true)
			if err != nil {
				return err
			}
			return a.showCustodian(publicLine(c), func(w io.Writer) {
				fmt.Fprintf(w, "%s is under the new passphrase; its keys are the same\n", oneLine(args[0]))
			})
		},
	}
	f.add(c)
	return c
}

func (a *app) custodianBackupCommand() *cobra.Command {
	var f resealFlags
	var out string
	c := &cobra.Command{
		Use:   "backup FILE --out FILE2",
		Short: "Write another copy of a custodian file, under its own passphrase",
		Long: `Writes the keys of a custodian file to another file, under a passphrase of its own,
and opens that before it gets its name: a backup that is there can be opened. Keep it in
another place than FILE, and its passphrase in a third. Both files are the same custodian: each signs
as it, and whoever holds either with its passphrase is it.`,
		Example: "  warifu custodian backup alice.custodian --out /media/stick/alice.custodian",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := f.reseal(a, args[0], out, "to copy it", false)
			if err != nil {
				return err
			}
			return a.showCustodian(publicLine(c), func(w io.Writer) {
				fmt.Fprintf(w, "written and opened: %s (secret, keep it and its passphrase apart)\n", oneLine(out))
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&out, "out", "", "file to write")
	required(c, "out")
	return c
}
