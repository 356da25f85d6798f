package main

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"

	"warifu.dev/api"
	"warifu.dev/client/agefile"
	"warifu.dev/internal/secret"

	"github.com/spf13/cobra"
)

// keyFlags name the key to wrap under, and the context that goes with it.
type keyFlags struct {
	name, record string
	context      []string
}

func (f *keyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "key", "", "name of the key, or its id")
	c.Flags().StringVar(&f.record, "record", "", "its saved record (warifu key show NAME --out FILE), in place of one kept at home")
	addContextFlag(c, &f.context)
}

func addContextFlag(c *cobra.Command, pairs *[]string) {
	c.Flags().StringArrayVar(pairs, "context", nil, "a pair KEY=VALUE bound in; authenticated, not secret; may be repeated")
}

func (a *app) encryptCommand() *cobra.Command {
	var k keyFlags
	var b branchFlags
	var in, out, reason, grant string
	var armored, replace bool
	c := &cobra.Command{
		Use:   "encrypt --key NAME [FILE]",
		Short: "Encrypt a file that only a quorum can open",
		Long: `Encrypts FILE, -i FILE or stdin to a standard age file, on --out or stdout. The
context travels in its header: not secret, and not to be altered. The record of
the key is asked from the cluster once, verified, and kept at home: from then on,
and with --record FILE, nobody is called. Only the holders of a symmetric key are asked,
each time; they find the request compliant with the policy, as for decrypting.

The file appears when it is complete, or not at all.`,
		Example: `  warifu encrypt --key photos --context album=2026 -i beach.jpg --out beach.jpg.age
  tar c photos | warifu encrypt --record photos.record --out photos.tar.age`,
		Args: atMostOneFile,
		RunE: func(c *cobra.Command, args []string) error {
			if err := errors.Join(k.check(c), checkReason(reason)); err != nil {
				return err
			}
			pairs, err := parseContext(k.context)
			if err != nil {
				return err
			}
			branch, err := b.branch()
			if err != nil {
				return err
			}
			src, err := a.openInput(in, args)
			if err != nil {
				return err
			}
			defer src.Close()
			dst, err := a.openOutput(out, modePublic, replace, !armored)
			if err != nil {
				return err
			}
			defer dst.Abandon()
			key, err := a.wrappingKey(c.Context(), &k)
			if err != nil {
				return err
			}
			to, err := agefile.NewRecipientBy(pairs, func(pairs api.Context, fileKey secret.Bytes) ([]byte, error) {
				return a.wrapUnder(c.Context(), key, pairs, fileKey, reason, grant, branch)
			})
			if err != nil {
				return err
			}
			n, err := encrypt(dst, src, to, armored)
			if err != nil {
				return err
			}
			return a.finish(dst, fileView{File: out, Key: key.Name(), Bytes: n})
		},
	}
	k.add(c)
	b.add(c)
	addFileFlags(c, &in, &out, &replace)
	c.Flags().BoolVarP(&armored, "armor", "a", false, "write text, in age's armor")
	addReasonFlag(c, &reason)
	addGrantFlag(c, &grant, "encrypted")
	a.addCallerFlags(c)
	return c
}

// encrypt streams src to dst: memory does not grow with the file.
func encrypt(dst io.Writer, src io.Reader, to age.Recipient, armored bool) (int64, error) {
	end := func() error { return nil }
	if armored {
		text := armor.NewWriter(dst)
		dst, end = text, text.Close
	}
	w, err := age.Encrypt(dst, to)
	if err != nil {
		return 0, fmt.Errorf("encrypt: %w", err)
	}
	n, err := io.Copy(w, src)
	if err = errors.Join(err, w.Close(), end()); err != nil {
		return n, fmt.Errorf("encrypt: %w", err)
	}
	return n, nil
}
