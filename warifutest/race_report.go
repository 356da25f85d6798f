package warifutest

import (
	"fmt"
	"time"

	"warifu.dev/warifutest/schedule"
)

// RaceReport counts.
type RaceReport struct {
	Done, Pending, Lifts int
	Unwraps              int
	Opened, Denied       int
	Unavailable          int // refused for overload, staleness, or because nobody answered
	Racing               int // unwraps that were in flight while their own subject's revoke was
	Withheld             int // records of a deny that came between record and partial
	Leaders              int // times that another node led
	Installs             int // snapshots that took the place of a log
	Faults               schedule.Tally
	Took                 time.Duration
	Violations           []Violation
}

func share(part, of int) float64 { return 100 * float64(part) / float64(max(of, 1)) }

func (r RaceReport) String() string {
	return fmt.Sprintf("%d revokes done (%d pending) and %d lifts against %d unwraps: %.0f %% in flight while their subject's revoke was, "+
		"%d opened, %d denied, %.1f %% refused for overload or staleness, %d withheld; %v; %d other leaders, %d snapshots installed; %d violations",
		r.Done, r.Pending, r.Lifts, r.Unwraps, share(r.Racing, r.Unwraps), r.Opened, r.Denied, share(r.Unavailable, r.Unwraps), r.Withheld, r.Faults, r.Leaders, r.Installs, len(r.Violations))
}

// Add takes in what another race counted.
func (r *RaceReport) Add(o RaceReport) {
	r.Done, r.Pending, r.Lifts = r.Done+o.Done, r.Pending+o.Pending, r.Lifts+o.Lifts
	r.Unwraps, r.Opened, r.Denied = r.Unwraps+o.Unwraps, r.Opened+o.Opened, r.Denied+o.Denied
	r.Unavailable, r.Racing, r.Withheld = r.Unavailable+o.Unavailable, r.Racing+o.Racing, r.Withheld+o.Withheld
	r.Leaders, r.Installs, r.Took = r.Leaders+o.Leaders, r.Installs+o.Installs, r.Took+o.Took
	r.Violations = append(r.Violations, o.Violations...)
	r.Faults.Add(o.Faults)
}
