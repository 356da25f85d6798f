package node

import (
	"errors"
	"testing"
	"time"

	"warifu.dev/audit"
)

// ages is an audit that is known by how old its records are, oldest first.
type ages struct {
	now      time.Time
	old      []time.Duration // of those that are not archived
	archived uint64
	bytes    int64
	reads    int
}

func (a *ages) Room() audit.Room {
	return audit.Room{Records: a.archived + uint64(len(a.old)), Bytes: a.bytes}
}
func (a *ages) Archived() uint64 { return a.archived }
func (a *ages) Read(i uint64) (audit.Record, error) {
	a.reads++
	if i < a.archived {
		return audit.Record{}, audit.ErrArchived
	}
	if i >= a.archived+uint64(len(a.old)) {
		return audit.Record{}, errors.New("there is none")
	}
	return audit.Record{Time: a.now.Add(-a.old[i-a.archived]).UnixMilli()}, nil
}

// every is n records, one each period, the last one just now.
func every(period time.Duration, n int) (old []time.Duration) {
	for i := range n {
		old = append(old, time.Duration(n-1-i)*period)
	}
	return old
}

func TestHowFastTheAuditGrows(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	const day, kb = 24 * time.Hour, 1000
	for _, tt := range []struct {
		sentence string
		log      ages
		least    int64
		most     int64
	}{
		{"an empty one", ages{}, 0, 0},
		{"all of it archived", ages{archived: 9}, 0, 0},
		{"half an hour is not known yet", ages{old: every(time.Minute, 31), bytes: 31 * kb}, 0, 0},
		{"half a day: 720 records of 1 kB, and as many again", ages{old: every(time.Minute, 721), bytes: 721 * kb}, 1430 * kb, 1450 * kb},
		{"a month of one record an hour", ages{old: every(time.Hour, 30*24), bytes: 30 * 24 * kb}, 23 * kb, 25 * kb},
		{"archived records do not count", ages{archived: 5000, old: every(time.Hour, 48), bytes: 48 * kb}, 23 * kb, 25 * kb},
		{"a quiet year before a busy week", ages{old: append(every(day, 365)[:358], every(time.Hour, 7*24)...), bytes: (358 + 168) * kb}, 23 * kb, 26 * kb},
		{"nothing in a week", ages{old: []time.Duration{9 * day, 8 * day}, bytes: 2 * kb}, 0, 0},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			tt.log.now = now
			if got := growing(&tt.log, now); got < tt.least || got > tt.most {
				t.Errorf("%d bytes a day, want %d to %d", got, tt.least, tt.most)
			}
			if tt.log.reads > 40 {
				t.Errorf("%d records were read for it", tt.log.reads)
			}
		})
	}
	// Who asks again and again has the answer of a minute ago.
	log := &ages{now: now, old: every(time.Minute, 721), bytes: 721 * kb}
	var g growth
	first := g.of(log, now, time.Hour)
	reads := log.reads
	if g.of(log, now, time.Hour+growthKeep-1) != first || log.reads != reads {
		t.Error("it was looked up again at once")
	}
	if g.of(log, now, time.Hour+growthKeep); log.reads == reads {
		t.Error("it is never looked up again")
	}
}
