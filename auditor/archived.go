package auditor

import (
	"context"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/audit"
)

// Archives are archived segments of nodes' logs, by node. What they hold is taken as
// if the node had given it: under the hashes that the node's checkpoint covers.
type Archives map[string]*audit.Segments

// maxArchived bounds the records of one page out of an archive, in bytes.
const maxArchived = 4 << 20

// with answers for what is archived.
func (a Archives) with(s Source) Source {
	if len(a) == 0 {
		return s
	}
	return archived{s, a}
}

type archived struct {
	Source
	archives Archives
}

// AuditHead is the node's, with those records as archived that are not here.
func (s archived) AuditHead(ctx context.Context, node string) (*api.AuditHeadAnswer, error) {
	head, err := s.Source.AuditHead(ctx, node)
	if have := s.archives[node]; err == nil && have != nil {
		if have.End() < head.Archived {
			return nil, fmt.Errorf("%w: the archive that was given ends before record %d, and the node has archived those before %d", audit.ErrArchived, have.End(), head.Archived)
		}
		head.Archived = 0
	}
	return head, err
}

// AuditPage takes from the archive what begins in it. A page does not go on from there
// to the node.
func (s archived) AuditPage(ctx context.Context, node string, q api.AuditPageRequest) (*api.AuditPageAnswer, error) {
	have := s.archives[node]
	if have == nil || q.From >= have.End() {
		return s.Source.AuditPage(ctx, node, q)
	}
	records, err := have.Page(q.From, q.Below, int(q.Count), maxArchived, q.Entries)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 && q.Entries && q.Below > have.End() {
		q.From = have.End()
		return s.Source.AuditPage(ctx, node, q)
	}
	a := &api.AuditPageAnswer{}
	for _, r := range records {
		a.Records = append(a.Records, api.AuditRecord(r))
	}
	return a, nil
}
