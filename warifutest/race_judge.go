package warifutest

import (
	"fmt"
	"path/filepath"

	"warifu.dev/audit"
)

// judge stops the nodes and holds what the lanes saw against the model, and against
// the nodes' audits: what was opened stands in the records of t nodes, and no record
// of a release names a place of the ledger at which its subject was revoked.
func (r *race) judge() error {
	r.report.Violations = append(r.report.Violations, CheckRevokes(r.history)...)
	lanes := map[string]string{} // by reason
	for _, a := range r.attempts {
		lanes[a.reason] = a.lane
		for _, w := range r.windows[a.lane] {
			if a.call < w.Return && a.ret > w.Call {
				r.report.Racing++
				break
			}
		}
	}
	recorded := map[string]map[string]int{} // by reason, by node: releases without those withheld
	for _, node := range r.IDs() {
		if err := r.Stop(node); err != nil {
			return err
		}
		records, err := readAudit(r.Genesis(), node, filepath.Join(r.Dir(node), "audit"))
		if err != nil {
			return fmt.Errorf("the audit of %s: %w", node, err)
		}
		for _, rec := range records {
			lane, ours := lanes[rec.Reason]
			if !ours || rec.Kind != audit.Release && rec.Kind != audit.Withheld {
				continue
			}
			if recorded[rec.Reason] == nil {
				recorded[rec.Reason] = map[string]int{}
			}
			if rec.Kind == audit.Withheld {
				recorded[rec.Reason][node]--
				r.report.Withheld++
				continue
			}
			recorded[rec.Reason][node]++
			for _, p := range r.at[lane] {
				if p.revoked > 0 && p.revoked <= rec.LedgerIndex && (p.until == 0 || rec.LedgerIndex < p.until) {
					r.say(Violation{Revoked, fmt.Sprintf("%s released the %s at %d, where %s revokes it from %d to %d", node, rec.Reason, rec.LedgerIndex, p.id, p.revoked, p.until)})
				}
			}
		}
	}
	for _, a := range r.attempts {
		durable := 0
		for _, n := range recorded[a.reason] {
			if n > 0 {
				durable++
			}
		}
		if a.outcome == opened && durable < Threshold {
			r.say(Violation{Gate, fmt.Sprintf("the %s was opened, and %d nodes have a record of it", a.reason, durable)})
		}
	}
	return nil
}
