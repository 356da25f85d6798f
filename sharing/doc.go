// Package sharing holds what every threshold construction of warifu stands on:
// indices and thresholds, Shamir polynomials and their Feldman commitments,
// Lagrange coefficients at zero, and the Schnorr proof of knowledge.
//
// The x-coordinate of a share is its holder's place, 1..h, in the holder list
// that custodians signed for one epoch. It is never read off the wire as a
// number to calculate with: zero would be the secret itself, and two equal
// indices would divide by zero (Trail of Bits, 2021). Every function here
// refuses both.
//
// Combining uses signed small integers where it can. Delta of a key is born with
// its version; Δ·λ is then an integer of few bits, and a sum of points takes
// microseconds where full-size coefficients take a hundred. [Delta],
// [LagrangeSmall] and [Interpolate] are about that.
//
// Shares are shared in their turn when an epoch ends: [InterpolateCommitments] and
// [InterpolateShares] make one polynomial of what a quorum dealt, in public and in
// secret. Which quorum, and what it may deal, is sharing/dkg.
//
// Public polynomials are evaluated here, in five lines over [group.Point], and not
// by kyber's share.PubPoly: that one counts indices from zero, returns the secret
// for -1, and its points must not meet two goroutines.
//
// Secrets are [group.Scalar] and [Polynomial]; they are constant time and never
// print. Commitments are public. Nothing here reads a clock, a file or the
// system's randomness.
package sharing
