package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"path/filepath"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/pieces"

	"github.com/spf13/cobra"
)

func (a *app) splitCommand() *cobra.Command {
	var in, dir string
	var n, m int
	c := &cobra.Command{
		Use:   "split --pieces N --threshold M --out DIR",
		Short: "Split a short secret into pieces, any M of which give it back; no cluster",
		Long: `Splits a short secret, of at most 64 KiB, into N pieces, one file each in DIR. Any M
of them give it back with combine; fewer say nothing of it but its length.

A piece names its set and its number. One that is altered or of another set is
refused by combine, by name. The secret is whole on this machine while it is split:
this is for people without a cluster, not how a cluster shares its keys.`,
		Example: "  warifu split --pieces 5 --threshold 3 --out pieces < recovery-code\n  warifu combine pieces/piece-001 pieces/piece-003 pieces/piece-004",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			b, err := a.readBounded(in, pieces.MaxSecret)
			if err != nil {
				return err
			}
			whole := secret.New(b)
			defer whole.Wipe()
			made, err := pieces.Split(rand.Reader, whole, n, m)
			if err != nil {
				return err
			}
			if err := makeDir(dir); err != nil {
				return err
			}
			var files []string
			for _, p := range made {
				file := filepath.Join(dir, fmt.Sprintf("piece-%03d", p.Index()))
				if err := mustNotExist(file); err != nil {
					return err
				}
				files = append(files, file)
			}
			for i, p := range made {
				text := p.Encode()
				err := writeNew(files[i], modeSecret, text)
				clear(text)
				p.Wipe()
				if err != nil {
					return err
				}
			}
			set := fmt.Sprintf("%x", made[0].Set().ID)
			return a.show(map[string]any{"set": set, "threshold": m, "files": files}, func(w io.Writer) {
				facts(w, "set", set, "pieces", fmt.Sprintf("%d, in %s", n, dir), "needed", fmt.Sprintf("any %d", m))
				fmt.Fprintln(w, "Take them apart now: together they are the secret.")
			})
		},
	}
	c.Flags().StringVarP(&in, "in", "i", "", "file to read (default: stdin)")
	c.Flags().StringVar(&dir, "out", "", "directory to write the pieces into")
	c.Flags().IntVar(&n, "pieces", 0, "how many pieces to make, at most 255")
	c.Flags().IntVar(&m, "threshold", 0, "how many of them suffice, at least 2")
	required(c, "out", "pieces", "threshold")
	return c
}

func (a *app) combineCommand() *cobra.Command {
	var out string
	var replace bool
	c := &cobra.Command{
		Use:   "combine FILE...",
		Short: "Give a secret back from its pieces; no cluster",
		Long: `Gives a secret back from enough of its pieces. Each is checked as it is read: an
altered one, one of another set, and the same one twice are refused, by name. What
comes out is what was split, to the byte.`,
		Example: "  warifu combine pieces/piece-001 pieces/piece-003 pieces/piece-004 > recovery-code",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var set pieces.Collection
			for _, file := range args {
				text, err := readSecret(file)
				if err != nil {
					return err
				}
				p, err := pieces.Parse(text)
				clear(text)
				if err == nil {
					defer p.Wipe()
					_, err = set.Add(p)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
			}
			whole, err := set.Combine()
			if err != nil {
				return err
			}
			defer whole.Wipe()
			return a.writeOutput(out, modeSecret, replace, true, whole.Reveal())
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write (default: stdout)")
	c.Flags().BoolVar(&replace, "replace", false, "replace the file of --out if it exists")
	return c
}
