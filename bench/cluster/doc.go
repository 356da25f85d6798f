// Package cluster starts clusters and breaks them: real ones, of separate
// warifud processes with a SoftHSM token each, in one directory of one machine.
//
//	Start ──▶ tokens, warifud init, custodians, genesis, warifud join, warifud run
//	       ──▶ every node says "serving"
//	Furnish ──▶ a CA, a policy, a key         Stop, Kill, Pause, Restart ──▶ what breaks
//	Add, Replace, Remove ──▶ another roster   Turnover ──▶ all of it under a load of unwraps
//
// Inflict takes the faults of package warifutest/schedule that processes can be made
// to suffer, so that the same random stories are told of both, and judged alike.
// Changes hands in changes across crashes, and asks every node for every one.
// Race has the same happen while revokes race unwraps.
//
// The custodians live in the process that calls Start, and sign whatever it
// submits: this is for tests and measurements, and for nothing else.
//
// With Config.Tap set, every node claims the addresses of a [Relay] in place of
// its own, so that each packet between clients and nodes, and between nodes, is
// shown to the caller, who may drop it. With Config.Distance the relays hold packets
// back, as if nodes and clients were in regions far from each other.
package cluster
