// Package secret holds bytes that must not be shown.
//
// A [Bytes] prints as [redacted] under every verb of fmt, in JSON, in CBOR and
// in slog, compares in constant time, and can be wiped. What Go cannot promise
// (that no copy was left behind by an earlier owner, by a growing stack or by
// the collector) this package does not promise either.
package secret
