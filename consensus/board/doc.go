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
// Here t is that of the new shares. In a refresh or a reshare the dealers are old
// holders: QUAL needs as many as the old t, and so do the phases before it.
//
// Late is never the leader's word: as many as the larger of the old and the new t
// must have signed that the phase is past the deadline by their own clocks. Until
// enough have joined to deal and to hold the new shares, the join phase stays open
// whatever the clocks say.
//
// A dealer qualifies if its commit, its deal and its verdict are all on the board
// and no complaint about its deal was upheld: silence after the commit is
// exclusion. What it is excluded from is dealing; whoever joined may still confirm.
// An old holder that leaves has nothing to give a verdict on, or to confirm; a
// newcomer does not commit or deal.
//
// In an import the owner of the key is the only dealer: it is out, or silent, and the
// session is abandoned. Of its word no phase closes and no session ends.
//
// At the birth of a symmetric key the receipts of the members of a set must say the same
// of its key. If they differ nothing is activated, and the session is abandoned once all
// are there or the confirm phase is late; the reason names the set and who said what.
//
// The caller has checked that a post's author signed it and stands at that place
// in the order. What a post must look like is in sharing/dkg.
package board // import "warifu.dev/consensus/board"
