package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"warifu.dev/internal/secret"

	"github.com/spf13/cobra"
)

const (
	// maxDEK is the longest data key, in bytes.
	maxDEK = 64
	// maxEnvelopeText is more than the text of any envelope, in bytes.
	maxEnvelopeText = 4 << 10
)

func (a *app) wrapCommand() *cobra.Command {
	var k keyFlags
	var b branchFlags
	var in, out, reason, grant string
	var raw, replace bool
	c := &cobra.Command{
		Use:   "wrap --key NAME",
		Short: "Wrap a data key into an envelope",
		Long: `Wraps a data key of 1 to 64 raw bytes, read from stdin or -i FILE, under a
threshold key. The envelope is written as one line of base64, or with --raw as it
is. Store it beside the data: it is not secret. The record of the key is asked
from the cluster once, verified, and kept at home: from then on, and with --record
FILE, nobody is called. Only the holders of a symmetric key are asked, each time.`,
		Example: `  head -c 32 /dev/urandom > dek && warifu wrap --key photos --context album=2026 < dek > dek.wrapped
  warifu wrap --record photos.record -i dek --out dek.wrapped`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
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
			plain, err := a.readBounded(in, maxDEK)
			if err != nil {
				return err
			}
			dek := secret.New(plain)
			defer dek.Wipe()
			if dek.Len() == 0 || dek.Len() > maxDEK {
				return fail(exitInput, "a data key has 1 to %d bytes; larger data is for warifu encrypt", maxDEK)
			}
			key, err := a.wrappingKey(c.Context(), &k)
			if err != nil {
				return err
			}
			envelope, err := a.wrapUnder(c.Context(), key, pairs, dek, reason, grant, branch)
			if err != nil {
				return err
			}
			text := base64.StdEncoding.EncodeToString(envelope)
			if a.format == formatJSON {
				return a.show(map[string]any{"envelope": text, "key": key.Name(), "key_id": key.ID()}, nil)
			}
			if !raw {
				envelope = []byte(text + "\n")
			}
			return a.writeOutput(out, modePublic, replace, raw, envelope)
		},
	}
	k.add(c)
	b.add(c)
	addFileFlags(c, &in, &out, &replace)
	c.Flags().BoolVar(&raw, "raw", false, "write the envelope's bytes, not base64")
	addReasonFlag(c, &reason)
	addGrantFlag(c, &grant, "wrapped")
	a.addCallerFlags(c)
	return c
}

func (a *app) unwrapCommand() *cobra.Command {
	var in, out, reason, grant string
	var pairs []string
	var replace bool
	c := &cobra.Command{
		Use:   "unwrap",
		Short: "Open an envelope, by quorum",
		Long: `Opens an envelope, read from stdin or -i FILE as base64 or raw, and writes the data
key's raw bytes to stdout or --out FILE (mode 0600). The context must be the one
it was wrapped under, pair by pair.`,
		Example: "  warifu unwrap --context album=2026 --reason backup < dek.wrapped > dek",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			context, err := parseContext(pairs)
			if err != nil {
				return err
			}
			if err := checkReason(reason); err != nil {
				return err
			}
			b, err := a.readBounded(in, maxEnvelopeText)
			if err != nil {
				return err
			}
			envelope, err := decodeEnvelope(b)
			if err != nil {
				return err
			}
			by, err := a.opener(grant)
			if err != nil {
				return err
			}
			defer by.cluster.Close()
			dek, err := by.Unwrap(c.Context(), envelope, context, reason)
			if err != nil {
				return err
			}
			defer dek.Wipe()
			if a.format == formatJSON {
				return a.show(map[string]any{"dek": base64.StdEncoding.EncodeToString(dek.Reveal())}, nil)
			}
			return a.writeOutput(out, modeSecret, replace, true, dek.Reveal())
		},
	}
	addFileFlags(c, &in, &out, &replace)
	addContextFlag(c, &pairs)
	addReasonFlag(c, &reason)
	addGrantFlag(c, &grant, "opened")
	a.addCallerFlags(c)
	return c
}

// decodeEnvelope reads an envelope's bytes, or their base64. The first byte tells:
// it is the format's number in one, a letter in the other.
func decodeEnvelope(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, fail(exitInput, "the envelope is empty")
	}
	if b[0] < ' ' {
		return b, nil
	}
	envelope, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(b)))
	if err != nil {
		return nil, fail(exitInput, "the envelope is neither raw nor base64: %w", err)
	}
	return envelope, nil
}

// readBounded reads -i or stdin whole, and at most one byte more than max.
func (a *app) readBounded(in string, max int64) ([]byte, error) {
	src, err := a.openInput(in, nil)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	b, err := io.ReadAll(io.LimitReader(src, max+1))
	if err != nil {
		return nil, fmt.Errorf("read the input: %w", err)
	}
	if int64(len(b)) > max {
		clear(b)
		return nil, fail(exitInput, "the input has more than %d bytes", max)
	}
	return b, nil
}

func (a *app) writeOutput(out string, mode os.FileMode, replace, binary bool, b []byte) error {
	dst, err := a.openOutput(out, mode, replace, binary)
	if err != nil {
		return err
	}
	defer dst.Abandon()
	if _, err := dst.Write(b); err != nil {
		return fail(exitLocal, "write the output: %w", err)
	}
	return dst.Commit()
}
