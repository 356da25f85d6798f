package api_test

import (
	"testing"

	. "warifu.dev/api"
	"warifu.dev/internal/wire"
	"warifu.dev/internal/wire/wiretest"
)

// What writes and reads itself. A field that is added to one of these and not to its
// methods fails both tests below.
func written() []wire.Writer {
	return []wire.Writer{
		new(UnwrapRequest), new(UnwrapItem), new(Use), new(EncryptRequest), new(EncryptItem),
		new(UnwrapAnswer), new(AnswerHeader), new(ItemAnswer), new(Error),
	}
}

func TestMessagesAreWrittenAsTheirTagsSay(t *testing.T) { wiretest.Same(t, written()...) }

// Whatever bytes come, a message is read as its tags say, or refused as by them.
func FuzzWritten(f *testing.F) {
	f.Add(wire.Encode(UnwrapRequest{RequestID: RequestID{1}, Reason: "why", Region: "r", Items: []UnwrapItem{
		{Envelope: []byte{1}, Context: Context{"a": "b", "bb": ""}, Prove: true, Epoch: 300, Use: &Use{Slot: 70000}, Endorsement: []byte{7}},
	}, Sets: []uint16{7, 0x123}}))
	f.Add(wire.Encode(EncryptRequest{Items: []EncryptItem{{Version: 1, Context: Context{"a": "b"}}, {Version: 1, Use: &Use{Slot: 3}}}, Sets: []uint16{7}}))
	f.Add(wire.Encode(UnwrapAnswer{Header: AnswerHeader{Node: "n"}, Items: []ItemAnswer{
		{Refusal: Retry(CodeEpoch, "no"), Current: 2}, {Epoch: 1, Index: 2, Partial: []byte{4}, Endorsement: []byte{5}, Values: []byte{6}, NextSlot: 1},
	}}))
	f.Fuzz(func(t *testing.T, b []byte) { wiretest.Agree(t, b, written()...) })
}
