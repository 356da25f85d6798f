package main

import (
	"strings"
	"unicode/utf8"

	"warifu.dev/api"
	"warifu.dev/internal/spoken"

	"github.com/spf13/cobra"
)

// What is written on the command line is refused as such, with exit code 2, and
// before anything is read or asked.

// misused gives an error the exit code of a wrong command line. A nil error stays.
func misused(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fail(exitUsage, "%s: %w", flag, err)
}

// parseContext reads the pairs of --context.
func parseContext(pairs []string) (api.Context, error) {
	c, err := api.ParseContext(pairs)
	return c, misused("--context", err)
}

// parseHash reads the 64 digits that flag was given, or the 24 words for them.
func parseHash(flag, s string) (api.Digest, error) {
	if strings.Contains(strings.TrimSpace(s), " ") {
		d, err := spoken.Parse(s)
		return d, misused(flag, err)
	}
	d, err := api.ParseDigest(s)
	return d, misused(flag, err)
}

// checkKeyName takes the name of a key, or its id.
func checkKeyName(flag, s string) error {
	if _, err := api.ParseDigest(s); err == nil {
		return nil
	}
	return misused(flag, api.CheckName(s))
}

// check holds --key and --record against each other.
func (f *keyFlags) check(c *cobra.Command) error {
	if c.Flags().Changed("key") {
		return checkKeyName("--key", f.name)
	}
	if f.record == "" {
		return fail(exitUsage, "give --key NAME or --record FILE")
	}
	return nil
}

func addReasonFlag(c *cobra.Command, reason *string) {
	c.Flags().StringVar(reason, "reason", "", "why, for the audit of each node and for the policy")
}

func checkReason(reason string) error {
	switch {
	case len(reason) > api.MaxReason:
		return fail(exitUsage, "--reason has %d bytes, at most %d are taken", len(reason), api.MaxReason)
	case !utf8.ValidString(reason):
		return fail(exitUsage, "--reason is not UTF-8")
	}
	return nil
}
