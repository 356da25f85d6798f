package audit

import "time"

// gatherFor is how long a commit waits for those who are expected: a few syncs take as
// long, and requests take much longer where so many come that somebody is always expected.
const gatherFor = 2 * time.Millisecond

// Expect says that somebody is about to append, until over is called, which may be done
// more than once. A commit waits for who is expected, for a moment: a sync costs as much
// CPU as several decisions, and what is recorded together is answered together. Who is
// alone waits for nobody.
func (l *Log) Expect() (over func()) {
	l.expected.Add(1)
	is := false
	return func() {
		if is {
			return
		}
		is = true
		l.expected.Add(-1)
		l.quieter()
	}
}

// coming says whether somebody is expected who does not wait here already.
func (l *Log) coming() bool { return l.expected.Load() > l.waiting.Load() }

// quieter tells the writer if nobody is coming any more.
func (l *Log) quieter() {
	if l.coming() {
		return
	}
	select {
	case l.hush <- struct{}{}:
	default:
	}
}

// gather takes who waits, and for a moment who is coming, to one who was first. held did
// not fit.
func (l *Log) gather(first *request) (batch []*request, held *request) {
	batch, size := []*request{first}, first.size
	var late <-chan time.Time // from when on it waits
	for {
		var r *request
		select {
		case r = <-l.queue:
		default:
			if !l.coming() {
				return batch, nil
			}
			if late == nil {
				t := time.NewTimer(l.gathers)
				defer t.Stop()
				late = t.C
			}
			select {
			case r = <-l.queue:
			case <-l.hush: // perhaps of an earlier time
				continue
			case <-late:
				return batch, nil
			}
		}
		if size+r.size > maxCommit {
			return batch, r
		}
		batch, size = append(batch, r), size+r.size
	}
}
