// Package bench measures what warifu costs, against a cluster that runs: latency,
// throughput, CPU of every process, the CPU of each step of one unwrap, and how far all
// of it is from the least that it could be.
//
//	Decrypt ──▶ N unwraps one at a time, N in flight together ──▶ Report
//	Steps   ──▶ the same functions, one by one, in this process
//
//	Shape   ──▶ closed or open loop, batches, clients, envelopes ──▶ Measured ─┐
//	Floor   ──▶ multiplications, an echo of the same frames, a sync ───────────┤
//	Goals   ──▶ both, in rounds, and what each goal makes of them ──▶ Row ─────┼─▶ Run ──▶ Page
//	Peer    ──▶ another service's transit API, by the same loops ──▶ Measured ──┤
//	Regions ──▶ the same far away, and when two nodes suffer ──▶ Row ───────────┤
//	Overload ─▶ three times of what can be done ──▶ Row ────────────────────────┤
//	Failing ──▶ a load, while nodes die, lie or are cut off ──▶ Spell ──────────┤
//	Scale   ──▶ few and many nodes, few cores, and a model of many ─────────────┘
//
// Machines differ, so every time stands beside what was measured of the machine in the
// same run. Every data key that comes back is compared with the one that was wrapped,
// and what the clients warn of is heard: a run of a cluster that answers falsely is no
// measurement, and ends with an error. Nothing here changes a cluster but by what it asks
// of it: audit records.
//
// An [Echo] is processes that answer the same frames, over the same endpoints, with
// nothing: what is left when there is no key, no policy and no audit.
package bench
