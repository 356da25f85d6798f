// Package bench measures what warifu costs, against a cluster that runs: latency,
// throughput, CPU of every process, and the CPU of each step of one unwrap.
//
//	Decrypt ──▶ N unwraps one at a time, N in flight together ──▶ Report
//	Steps   ──▶ the same functions, one by one, in this process
//
// Machines differ, so every time stands beside its ratio to one variable-base
// multiplication on P-256, measured in the same run. Nothing here changes a
// cluster but by what it asks of it: audit records.
package bench
