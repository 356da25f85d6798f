package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
	"warifu.dev/internal/secret"

	"github.com/spf13/cobra"
)

func (a *app) decryptCommand() *cobra.Command {
	var in, out, reason, grant string
	var expected []string
	var replace bool
	c := &cobra.Command{
		Use:   "decrypt [FILE]",
		Short: "Decrypt a file, by quorum",
		Long: `Decrypts FILE, -i FILE or stdin, on --out or stdout. Enough nodes must each find
the request compliant with the policy; a refusal names the reason of each.

With --out the file (mode 0600) appears when it is complete and authenticated, or
not at all; to stdout, what was verified is written before a later fault is found.
--context states what the file's context must have: another file, put in its
place, is then refused before any node is asked.`,
		Example: `  warifu decrypt beach.jpg.age --out beach.jpg
  warifu decrypt --reason "restore of ticket 4711" --context album=2026 < beach.jpg.age > beach.jpg`,
		Args: atMostOneFile,
		RunE: func(c *cobra.Command, args []string) error {
			pairs, err := parseContext(expected)
			if err != nil {
				return err
			}
			if err := checkReason(reason); err != nil {
				return err
			}
			src, err := a.openInput(in, args)
			if err != nil {
				return err
			}
			defer src.Close()
			dst, err := a.openOutput(out, modeSecret, replace, false)
			if err != nil {
				return err
			}
			defer dst.Abandon()
			by, err := a.opener(grant)
			if err != nil {
				return err
			}
			defer by.cluster.Close()
			n, err := decrypt(dst, src, agefile.NewIdentity(c.Context(), expecting{by, pairs}, reason))
			if err != nil {
				return err
			}
			return a.finish(dst, fileView{File: out, Bytes: n})
		},
	}
	addFileFlags(c, &in, &out, &replace)
	addContextFlag(c, &expected)
	addReasonFlag(c, &reason)
	addGrantFlag(c, &grant, "opened")
	a.addCallerFlags(c)
	return c
}

// decrypt streams src to dst, chunk by authenticated chunk.
func decrypt(dst io.Writer, src io.Reader, by age.Identity) (int64, error) {
	buffered := bufio.NewReader(src)
	src = buffered
	if start, _ := buffered.Peek(len(armor.Header)); bytes.Equal(start, []byte(armor.Header)) {
		src = armor.NewReader(buffered)
	}
	r, err := age.Decrypt(src, by)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return 0, fail(exitInput, "decrypt: the file is not encrypted to a warifu key")
	}
	if err != nil {
		return 0, fmt.Errorf("decrypt: %w", asInput(err))
	}
	n, err := io.Copy(dst, authenticated{r})
	if err != nil {
		return n, fmt.Errorf("decrypt: %w", err)
	}
	return n, nil
}

// authenticated marks the errors of reading an age file's payload as errors of
// the input, to tell them from those of writing the output.
type authenticated struct{ io.Reader }

func (r authenticated) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = asInput(err)
	}
	return n, err
}

// asInput gives an error that nobody else knows, age's for one, the exit code of
// a bad input.
func asInput(err error) error {
	if codeOf(err) == exitUnexpected {
		return &failure{exitInput, err}
	}
	return err
}

// expecting refuses an envelope whose context does not have certain pairs.
type expecting struct {
	from  agefile.Unwrapper
	pairs api.Context
}

// Unwrap implements [agefile.Unwrapper].
func (e expecting) Unwrap(ctx context.Context, envelope []byte, context api.Context, reason string) (secret.Bytes, error) {
	for _, k := range e.pairs.Keys() {
		if has, ok := context[k]; !ok || has != e.pairs[k] {
			return secret.Bytes{}, fmt.Errorf("%w: the file's context has %s, expected is %s=%s", client.ErrEnvelope, pairOf(context, k), k, e.pairs[k])
		}
	}
	return e.from.Unwrap(ctx, envelope, context, reason)
}

func pairOf(c api.Context, k string) string {
	v, ok := c[k]
	if !ok {
		return "no " + k
	}
	return k + "=" + v
}
