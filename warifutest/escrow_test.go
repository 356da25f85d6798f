package warifutest_test

import (
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/warifutest"
)

// escrowed is what the nodes say of the orders of escrow of the key.
func (s *stage) escrowed() []api.EscrowSummary {
	s.Helper()
	list, err := s.custodian.Escrows(s.Context(), warifutest.KeyName)
	if err != nil {
		return nil
	}
	return list.Escrows
}

// sealings counts the records of a node's audit that it sealed a share.
func (s *stage) sealings(id string) (n int) {
	s.Helper()
	records, err := s.Audit(id)
	s.must(err)
	for _, r := range records {
		if r.Kind == audit.Escrow {
			n++
		}
	}
	return n
}

// Nothing is sealed to custodians unless they order it: not at a birth, not in a refresh.
// By their order each holder seals its share, once, and writes that down; who was down does
// so when it is back. What is sealed opens when the epoch is long over.
func TestAShareIsSealedByAnOrderAndNeverWithout(t *testing.T) {
	scenario(t, func(s *stage) {
		s.renew(authority.KindRefresh, authority.Renewal{})
		time.Sleep(time.Minute)
		if list := s.escrowed(); len(list) != 0 {
			s.Fatalf("without an order: %+v", list)
		}
		_, key, err := s.Application(warifutest.AppA)
		s.must(err)
		record, err := s.custodian.Record(s.Context(), key.Name())
		s.must(err)
		down := s.IDs()[4]
		s.must(s.Crash(down))
		_, err = s.custodian.Submit(s.Context(), s.signed(authority.KindEscrow, authority.Escrow{Record: record.Encode(), Open: 2}).Encode())
		s.must(err)
		sealed := func(n int) func() bool {
			return func() bool { list := s.escrowed(); return len(list) == 1 && len(list[0].Sealed) == n }
		}
		s.eventually(5*time.Minute, "the holders that run have sealed their shares", sealed(4))
		if list := s.escrowed(); slices.Contains(list[0].Sealed, down) || list[0].Epoch != 2 || list[0].T != 3 || list[0].Open != 2 {
			s.Errorf("%+v", list)
		}
		s.must(s.Start(down))
		s.eventually(5*time.Minute, "the one that was down has sealed its share", sealed(5))
		list, err := s.custodian.Escrows(s.Context(), warifutest.KeyName)
		s.must(err)
		e, err := s.custodian.FetchEscrow(s.Context(), list.Key, list.Escrows[0])
		s.must(err)
		s.renew(authority.KindRefresh, authority.Renewal{})
		keepers := s.Desk().Custodians()
		handed, err := e.HandOver(0, keepers[0].OpenKey(), 1)
		s.must(err)
		o, err := e.Open(1, keepers[1].OpenKey(), handed)
		s.must(err)
		defer o.Wipe()
		if dek, err := o.Unwrap(s.Context(), s.envelope, nil, ""); err != nil || dek.Len() == 0 {
			s.Errorf("a refresh shut the door: %v", err)
		}
		if len(s.escrowed()) != 1 {
			s.Error("an escrow of an epoch that is over is not named")
		}
		for _, id := range s.IDs() {
			s.must(s.Stop(id))
			if n := s.sealings(id); n != 1 {
				s.Errorf("%s has written down %d times that it sealed its share", id, n)
			}
		}
	})
}

// A key that is revoked releases nothing, to custodians either: no holder seals its share
// by an order that comes after the revoke, until the revoke is lifted.
func TestNoShareOfARevokedKeyIsSealed(t *testing.T) {
	scenario(t, func(s *stage) {
		_, key, err := s.Application(warifutest.AppA)
		s.must(err)
		record, err := s.custodian.Record(s.Context(), key.Name())
		s.must(err)
		revoke := s.revoke(authority.Subject{Kind: authority.SubjectKey, Name: key.ID().String()})
		_, err = s.custodian.Submit(s.Context(), revoke.Encode())
		s.must(err)
		_, err = s.custodian.Submit(s.Context(), s.signed(authority.KindEscrow, authority.Escrow{Record: record.Encode(), Open: 2}).Encode())
		s.must(err)
		time.Sleep(time.Minute)
		if list := s.escrowed(); len(list) != 1 || len(list[0].Sealed) != 0 {
			s.Fatalf("%+v", list)
		}
		_, err = s.custodian.Submit(s.Context(), s.signed(authority.KindLift, authority.Lift{Lifts: revoke.ID()}).Encode())
		s.must(err)
		s.eventually(5*time.Minute, "the holders have sealed their shares", func() bool {
			list := s.escrowed()
			return len(list) == 1 && len(list[0].Sealed) == len(s.IDs())
		})
	})
}
