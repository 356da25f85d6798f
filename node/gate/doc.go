// Package gate is the one place where a node decides to release a partial, and
// the one path on which a partial leaves.
//
// For each item, in this order: is the node unsealed? fresh? is the key usable?
// is the principal known? does policy say yes in both states? do the budgets
// allow it? does the envelope's proof, or an endorsement, hold? Then the record
// of the decision is appended and synced, what could have been denied meanwhile
// is asked once more, and only then is the partial made and handed over; a deny
// that came in between leaves a withheld record and no partial.
//
// Items of one request that name the same key and epoch, and no grant, are decided
// together: every step is asked once, but for the envelope's, and after the record once
// more. Where a policy looks at their contexts, only those of the same context are.
//
// A use of a grant is bound to the request, durably, before the record is written,
// and the rates of the policy are charged then: [Slots], [Rates].
//
// Two states are asked: committed, whose keys, epochs and policy are used, and
// tail, which the stored log leads to and which can only refuse; what the node
// keeps denying beside its log is part of the tail that it is given. A release
// needs a yes from both. Whether a key may release where it stands in
// its life, and what its labels are, each state says for itself. Nothing that is
// remembered between requests decides:
// neither an endorsement, nor a chain that verified, nor a compiled policy.
//
// Refusals are recorded too. To the caller an unknown key, a denied request and
// a caller that is no longer admitted look the same.
package gate
