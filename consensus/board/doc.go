// Package board is the bulletin board of one ceremony: which phase it is in,
// which posts count, whose complaints hold, who qualifies, and what came out.
//
// A board is a value. Everything that happens to it is an entry of the ledger, in
// the ledger's order, so every node has the same board; there is no clock here, no
// randomness and no secret. A post that breaks a rule is refused by name and
// leaves the board as it was, so a bogus post never takes the place of a real one:
// the first valid one counts (R19).
//
//	         all have posted,            all have posted,             all have posted,
//	         or t say it is late         or t say it is late          or t say it is late
//	join ──────────────────▶ commit ──────────────────▶ deal ──────────────────▶ verdict
//	                            │ fewer than t             │ fewer than t            │
//	                            ▼                          ▼           fewer than t  │ QUAL
//	                        abandoned ◀────────────────────┴───────────qualify───────┤
//	                            ▲                                                    ▼
//	                            └── t holders say so, or its time is over ──────── confirm
//	                                                                                 │ all receipts, or
//	                                                            done ◀── Activate ───┘ R of them and t say it is late
//
// Late is never the leader's word: at least t holders must have signed that the
// phase is past the deadline by their own clocks. Until at least t have joined, the
// join phase stays open whatever the clocks say.
//
// A dealer qualifies if its commit, its deal and its verdict are all on the board
// and no complaint about its deal was upheld: silence after the commit is
// exclusion. What it is excluded from is dealing; whoever joined may still confirm.
//
// The caller has checked that a post's author signed it and stands at that index
// in the order. What a post must look like is in sharing/dkg.
package board // import "warifu.dev/consensus/board"
