package audit

// Room is what the log takes up, for whoever watches a node.
type Room struct {
	Records uint64 // synced, archived ones included
	Bytes   int64  // of the segments that are not archived
	Syncs   uint64 // commits, each with one sync, since the log was opened
	Waiting int    // callers of [Log.Append] that wait for the next commit
}

// Room says what the log takes up now.
func (l *Log) Room() Room {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Room{Records: uint64(l.tree.size), Syncs: l.syncs, Waiting: len(l.queue)}
	for _, s := range l.segments {
		if !s.archived {
			r.Bytes += s.size
		}
	}
	return r
}
