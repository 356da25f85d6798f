package warifutest

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// History is what stopped nodes left on disk: their logs, replayed here from
// genesis by nobody's word, and their audits.
type History struct {
	logs   map[string]map[uint64]raft.Log // by node, by index
	points map[uint64]point               // by the index of each command
	audits map[string][]audit.Record
}

// point is the ledger after one command.
type point struct {
	link   api.Digest
	id     api.Digest // of the entry, when it was taken
	policy *ledger.Policy
}

// ReadHistory reads the directories of stopped nodes, by id, up to an index that
// all of them have applied. Logs that differ are a [Violation].
func ReadHistory(g *authority.VerifiedGenesis, dirs map[string]string, until uint64) (*History, []Violation, error) {
	h := &History{logs: map[string]map[uint64]raft.Log{}, points: map[uint64]point{}, audits: map[string][]audit.Record{}}
	for id, dir := range dirs {
		log, err := readLog(filepath.Join(dir, "raft"), until)
		if err != nil {
			return nil, nil, fmt.Errorf("the log of %s: %w", id, err)
		}
		h.logs[id] = log
		if h.audits[id], err = readAudit(g, id, filepath.Join(dir, "audit")); err != nil {
			return nil, nil, fmt.Errorf("the audit of %s: %w", id, err)
		}
	}
	found, err := h.replay(g, until)
	return h, found, err
}

func readLog(dir string, until uint64) (_ map[uint64]raft.Log, err error) {
	w, err := wal.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	first, err := w.FirstIndex()
	if err != nil {
		return nil, err
	}
	last, err := w.LastIndex()
	if err != nil {
		return nil, err
	}
	logs := map[uint64]raft.Log{}
	if last == 0 {
		return logs, nil // a log that was compacted whole
	}
	for i := first; i <= min(last, until); i++ {
		var l raft.Log
		if err := w.GetLog(i, &l); err != nil {
			return nil, fmt.Errorf("entry %d of %d to %d: %w", i, first, last, err)
		}
		l.Data, l.Extensions = bytes.Clone(l.Data), nil
		logs[i] = l
	}
	return logs, nil
}

func readAudit(g *authority.VerifiedGenesis, id, dir string) (records []audit.Record, err error) {
	pub, err := authority.ParsePublicKey(g.NodeByID(id).Key)
	if err != nil {
		return nil, err
	}
	log, err := audit.Open(audit.Config{
		Dir: dir, Origin: "warifu/" + g.Cluster.String()[:16] + "/" + id, Public: pub, ReserveBytes: 4096,
		Signer: func([]byte) ([]byte, error) { return nil, errors.New("only read here") },
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for i := range log.Size() {
		r, err := log.Read(i)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Audit reads the records of a node that does not run.
func (c *Cluster) Audit(id string) ([]audit.Record, error) {
	return readAudit(c.birth.genesis, id, filepath.Join(c.members[id].dir, "audit"))
}

// replay applies the whole log that some node has, and holds all others against it.
func (h *History) replay(g *authority.VerifiedGenesis, until uint64) (found []Violation, err error) {
	whole := ""
	for id, log := range h.logs {
		if _, begins := log[1]; begins {
			whole = id
		}
	}
	if whole == "" {
		return nil, errors.New("no node has its whole log: nothing to replay")
	}
	state := ledger.New(g)
	h.points[0] = point{link: state.Position().Link}
	for i := uint64(1); i <= until; i++ {
		l, ok := h.logs[whole][i]
		if !ok {
			found = append(found, Violation{Durability, fmt.Sprintf("entry %d is not in the log of %s", i, whole)})
			break
		}
		for id, log := range h.logs {
			other, ok := log[i]
			switch {
			case !ok && len(log) > 0 && log[until].Index == until:
				// compacted away
			case !ok:
				found = append(found, Violation{Durability, fmt.Sprintf("entry %d is not in the log of %s", i, id)})
			case other.Type != l.Type || !bytes.Equal(other.Data, l.Data):
				found = append(found, Violation{Agreement, fmt.Sprintf("entry %d differs between %s and %s", i, whole, id)})
			}
		}
		if l.Type != raft.LogCommand {
			continue
		}
		next, result := state.Apply(i, l.Data)
		state = next
		p := point{link: state.Position().Link, policy: state.Policy()}
		if result.Err == nil {
			p.id = result.ID
		}
		h.points[i] = p
	}
	for _, n := range g.Roster {
		if a := state.Anchor(n.ID); a != nil {
			found = append(found, h.held(Sight{n.ID, a.Anchor.Index, a.Anchor.Link}, "anchored")...)
		}
	}
	return found, nil
}

// held holds a position that a node named against the history.
func (h *History) held(s Sight, how string) []Violation {
	p, ok := h.points[s.Index]
	if ok && p.link == s.Link {
		return nil
	}
	return []Violation{{Agreement, fmt.Sprintf("%s %s (%d, %s), which is no place of the history", s.Node, how, s.Index, s.Link)}}
}
