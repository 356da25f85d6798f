package audit

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"warifu.dev/internal/wire"
)

func TestRecordRoundTrip(t *testing.T) {
	full := Record{
		Time: 1, Kind: Activate, Node: "n", RequestID: [16]byte{1}, Principal: "p", Source: "s", Session: "x",
		Action: "a", Key: [32]byte{2}, KeyName: "k", Version: 3, Epoch: 4, Reason: "why not, 割符", Context: [32]byte{5},
		Envelope: [32]byte{6}, Code: "c", Rules: []string{"r"}, PolicyDigest: [32]byte{7}, LedgerIndex: 8,
		EntryID: [32]byte{9}, Entry: []byte{10}, Count: 11, LedgerFrom: 12, LedgerTime: 13, Why: "w",
		Grant: [32]byte{14}, Slot: 15, Region: "r", BranchFrom: 16, Branch: 17, Writer: "spiffe://d/w",
	}
	for v, i := reflect.ValueOf(full), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("the test leaves out %s", v.Type().Field(i).Name)
		}
	}
	for _, r := range []Record{full, {Kind: Start}} {
		b, err := EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeRecord(b); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%+v came back as %+v, %v", r, back, err)
		}
	}
}

// R25: the record is an allow-list of typed fields: no maps, no interfaces.
func TestRecordHasNoRoomForAnythingElse(t *testing.T) {
	for i, v := 0, reflect.TypeFor[Record](); i < v.NumField(); i++ {
		switch f := v.Field(i); f.Type.Kind() {
		case reflect.Map, reflect.Interface, reflect.Pointer, reflect.Struct:
			t.Errorf("%s is a %v", f.Name, f.Type)
		}
	}
	for _, r := range []any{
		map[int]any{1: 1, 2: "start", 99: "secret"},
		map[int]any{1: 1, 2: "start", 13: map[string]string{"a": "b"}},
		map[int]any{1: 1},
		map[int]any{1: 1, 2: "st\nart"},
		map[int]any{1: 1, 2: "start", 13: "two\nlines"},
		map[int]any{1: 1, 2: "start", 13: strings.Repeat("x", MaxReason+1)},
		map[int]any{1: 1, 2: "start", 17: []string{"\x1b[2J"}},
		map[int]any{1: 1, 2: "start", 17: make([]string, MaxRules+1)},
		map[int]any{1: 1, 2: "start", 21: make([]byte, MaxEntry+1)},
	} {
		if _, err := DecodeRecord(wire.Encode(r)); !errors.Is(err, ErrBadRecord) {
			t.Errorf("%v: %v", r, err)
		}
	}
	if _, err := DecodeRecord(make([]byte, MaxRecord+1)); !errors.Is(err, ErrBadRecord) {
		t.Errorf("a huge record: %v", err)
	}
}

// A stranger's words are cut and escaped, and never a reason not to record.
func TestTextsAreCutAndEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"plain, 割符":                    "plain, 割符",
		"two\nlines":                   `two\u{a}lines`,
		"\x1b[2J":                      `\u{1b}[2J`,
		"a\u202eb":                     `a\u{202e}b`,
		"broken \xff":                  `broken \x{ff}`,
		"\x00":                         `\u{0}`,
		strings.Repeat("割", MaxReason): strings.Repeat("割", MaxReason/3-1) + "…",
	} {
		b, err := EncodeRecord(Record{Kind: Refusal, Reason: in})
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if r, err := DecodeRecord(b); err != nil || r.Reason != want {
			t.Errorf("%q is written as %q, want %q (%v)", in, r.Reason, want, err)
		}
	}
	rules := make([]string, MaxRules+5)
	for i := range rules {
		rules[i] = strings.Repeat("r", 2*MaxRule)
	}
	b, err := EncodeRecord(Record{
		Kind: Refusal, Rules: rules, Entry: make([]byte, MaxEntry),
		Principal: strings.Repeat("\n", 3*MaxPrincipal), KeyName: strings.Repeat("\xff", MaxKeyName),
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := DecodeRecord(b)
	if err != nil || len(r.Rules) != MaxRules || r.Rules[MaxRules-1] != "and 6 more" {
		t.Errorf("%v, %v", r.Rules, err)
	}
	if rules[0] != strings.Repeat("r", 2*MaxRule) {
		t.Error("the caller's rules were changed")
	}
}

func TestAppendRefusals(t *testing.T) {
	l := mustOpen(t, testConfig(filepath.Join(t.TempDir(), "audit")))
	big := Record{Kind: Change, Entry: make([]byte, MaxEntry)}
	for sentence, records := range map[string][]Record{
		"nothing":              {},
		"no kind":              {{Time: 1}},
		"a kind nobody knows":  {{Kind: "gossip"}},
		"an entry too large":   {{Kind: Change, Entry: make([]byte, MaxEntry+1)}},
		"one bad among good":   {numbered(0), {Kind: "gossip"}},
		"more than one commit": {big, big, big, big, big},
	} {
		if _, err := l.Append(context.Background(), records...); !errors.Is(err, ErrBadRecord) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if l.Size() != 0 || l.State() != "ok" {
		t.Errorf("%d records, state %s", l.Size(), l.State())
	}
	if first := mustAppend(t, l, big, big, big); first != 0 {
		t.Errorf("first %d", first)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_, _ = l.Append(cancelled, numbered(0)) // either answer is right; it must come
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []Record{numbered(1), {Kind: Refusal, Reason: "\x1b", Rules: []string{"a", "b"}, Entry: []byte{1}}} {
		b, err := EncodeRecord(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, ErrBadRecord) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		if known[r.Kind] {
			again, err := EncodeRecord(r)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("%x decodes and encodes to %x, %v", b, again, err)
			}
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b\xff\u202e割", 7)
	f.Fuzz(func(t *testing.T, s string, max int) {
		max = 8 + int(uint(max)%100)
		got := printable(s, max)
		if len(got) > max || !utf8.ValidString(got) || !isPrintable(got) {
			t.Errorf("%q", got)
		}
	})
}

func FuzzParseFrame(f *testing.F) {
	body, err := EncodeRecord(numbered(0))
	if err != nil {
		f.Fatal(err)
	}
	fr := frame{index: 7, first: 7, body: body, leaf: leafHash(7, body)}
	f.Add(fr.append(nil), uint64(6))
	f.Fuzz(func(t *testing.T, b []byte, next uint64) {
		if fr, n, err := parseFrame(b); err == nil && !bytes.Equal(fr.append(nil), b[:n]) {
			t.Error("another frame came back")
		}
		laterCommit(b, next)
	})
}
