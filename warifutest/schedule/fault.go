package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what happens.
type Kind string

// The vocabulary.
const (
	CutOneWay   Kind = "cut one way"  // nothing passes from Nodes to To
	CutBoth     Kind = "cut both"     // nor back
	Delay       Kind = "delay"        // what Nodes send arrives later, by Time and a jitter of as much
	Loss        Kind = "loss"         // a part of what Nodes send is lost
	Pause       Kind = "pause"        // Nodes are stopped, and go on
	Crash       Kind = "crash"        // Nodes end at once, and are started again
	SlowDisk    Kind = "slow disk"    // each sync of Nodes takes Time
	FullDisk    Kind = "full disk"    // the disks of Nodes take nothing more; then there is room, and they are started again
	ClockOffset Kind = "clock offset" // the wall clocks of Nodes are off by Time
)

// Kinds lists the vocabulary.
func Kinds() []Kind {
	return []Kind{CutOneWay, CutBoth, Delay, Loss, Pause, Crash, SlowDisk, FullDisk, ClockOffset}
}

// Clients is the name in Fault.To of everybody who is no node.
const Clients = "clients"

// Fault is what happens, to whom, for how long.
type Fault struct {
	Kind  Kind
	Nodes []string
	To    []string      // the other side of a cut, a delay, a loss: nodes, or Clients
	For   time.Duration // how long
	Time  time.Duration // how late, how slow, how far off
	Part  float64       // of the packets that are lost
}

func (f Fault) String() string {
	s := fmt.Sprintf("%s: %s", f.Kind, strings.Join(f.Nodes, ", "))
	if len(f.To) > 0 {
		s += " to " + strings.Join(f.To, ", ")
	}
	if f.Time != 0 {
		s += fmt.Sprintf(", %v", f.Time)
	}
	if f.Part != 0 {
		s += fmt.Sprintf(", %.0f %%", 100*f.Part)
	}
	return fmt.Sprintf("%s, for %v", s, f.For)
}

// ErrKind means that a target cannot inflict faults of this kind.
var ErrKind = errors.New("this target has no such fault")

// Inflicted is a fault in force.
type Inflicted struct {
	Fired func() uint64 // how often it met something so far
	Heal  func() error  // ends it, once
}

// Target inflicts faults. It is safe for concurrent use.
type Target interface {
	Inflict(Fault) (Inflicted, error)
}
