// Package consensus drives the Raft library over a pure state machine.
//
// It keeps two states. Committed is what Raft has applied; tail is committed
// plus everything the log store holds above it, computed inside the log store's
// StoreLogs before the follower answers. Raft acknowledges an entry when a
// majority has stored it while only the leader has applied it, so a node that
// looked at committed alone would go on granting what is already denied. Which
// epoch, record or policy is used comes from committed; tail can only refuse.
//
// Raft has no guard at its commit index, and its own entries pass no state machine.
// So the log store also keeps a durable floor, below which nothing is truncated,
// and stores no membership but what the state before it allows: the roster's, and those
// on the way there while custodians' change of it is carried out ([Machine.Memberships]). A node that was to break either rule,
// or whose log at start is not the one it has applied, stops serving and says why
// ([Consensus.Stopped]). One member can bring that about; none can make another
// forget.
//
// Some entries deny by themselves: those who may deny have signed them, so it does
// not matter who orders them. Such an entry is in a small durable set before the
// node answers for having stored it, and may be handed over outside the log
// ([Consensus.Deny]). Truncation, compaction and an installed snapshot leave the set
// alone. Only a committed entry that lifts a deny ends it, for ever.
//
// Raft believes its peers. What no honest member would say is refused before Raft
// sees any of it: some of it would end the process, some would use up the terms.
//
// Nothing here knows what an entry means, and nothing here believes it: Raft
// orders, the state machine decides. Connections come from the caller, already
// authenticated; a server's address is its node id.
//
// A snapshot stands for the beginning of the log. Raft files what a leader sends and
// reaps what was there before anybody has looked at it, so the snapshot store here
// checks first: t members must have signed the index and the link, and the state
// must have that link, computed anew from all of its content. What is refused
// leaves the one before in its place, and the node goes on. A snapshot never takes
// a node back, and never takes away an entry above its end; the entries below it
// are deleted only when it is filed. At start the state is that of the snapshot
// with the whole log above it.
package consensus
