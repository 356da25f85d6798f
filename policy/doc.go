// Package policy says yes or no to a request, by rules in the Cedar language
// that custodians signed as one [Document]: text, schema and entities.
//
// # The rules
//
// Nothing is permitted unless a permit applies, a forbid that applies wins, and
// any evaluation error denies. The last is ours: Cedar skips a policy that
// errs, so a forbid over a missing attribute would forbid nothing. A principal
// that the document's entities do not name is denied whatever the policies say.
//
// # What a policy can speak of
//
//	principal  Warifu::Principal::"spiffe://...", in Warifu::Group::"..."
//	action     Warifu::Action::"unwrap"; of a symmetric key also Warifu::Action::"encrypt",
//	           and Warifu::Action::"unwrapBranch" for the key of a branch
//	resource   Warifu::Key::"NAME", in Warifu::KeyGroup::"..."; .id and .name;
//	           labels as tags: resource.hasTag("team") && resource.getTag("team") == "payroll"
//	context    .envelope      what the envelope is bound to: context.envelope.purpose == "payroll"
//	           .source        the caller's address: context.source.isInRange(ip("10.0.0.0/8"))
//	           .nodeRegion    where the deciding node is
//	           .nodeHSM       what seals the deciding node's shares: "pkcs11", or "soft"
//	           .callerRegion  where the caller says it is, or ""
//	           .reason        what the caller says, or ""
//	           .grants        the approvals that the request's grant meets:
//	                          context.grants.contains("two-doctors")
//	           .branchSeconds of unwrapBranch alone: how long the interval of the branch is;
//	                          .envelope has only the pairs that the branch names
//	           .time          .hour, .minute, .weekday ("monday"...), .date ("2026-11-22"),
//	                          at this node, in the document's zone
//
// The members of the groups "operators" and "auditors" are of those classes of
// caller; any other principal named is an application.
//
// # Limits
//
// Beside the policies a document may name approvers with their public signing keys,
// approvals (k of which of them), and rates. A grant is an object of the ledger that
// approvers sign; whoever decides counts which of a document's approvals its
// signatures meet, and says so in the request. A request that would be permitted with
// one is denied all the same, and [Decision.Needs] says that it needs a grant. A rate
// is counted by each node for itself ([Rate]); rules know nothing of it.
//
// # Purity
//
// The package reads no clock and no file of its own: time comes in with the
// request. Zones come from the time package, with Go's own table as a fallback.
package policy
