package main

import (
	"slices"
	"testing"
	"time"
)

func TestMomentsAreReadAndSaid(t *testing.T) {
	tokyo, err := loadZone("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 14, 2, 0, 0, 0, tokyo).UnixMilli()
	for text, want := range map[string]int64{
		"":                          0,
		"2026-03-14T02:00:00+09:00": at,
		"2026-03-13T17:00:00Z":      at,
		"2026-03-14":                time.Date(2026, 3, 14, 0, 0, 0, 0, time.Local).UnixMilli(),
	} {
		if got, err := parseMoment("--since", text); err != nil || got != want {
			t.Errorf("%q: %d, want %d, %v", text, got, want, err)
		}
	}
	if got, err := parseMoment("--since", "24h"); err != nil || time.Since(time.UnixMilli(got))-24*time.Hour > time.Minute {
		t.Errorf("24h: %d, %v", got, err)
	}
	for _, text := range []string{"yesterday", "-1h", "2026-13-01", "2026-03-14 02:00"} {
		if got, err := parseMoment("--since", text); codeOf(err) != exitUsage {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if local, utc := moment(at, tokyo); local != "2026-03-14 02:00:00 JST" || utc != "2026-03-13 17:00:00" {
		t.Errorf("in Tokyo: %q, %q", local, utc)
	}
	if local, utc := moment(at, time.UTC); local != "2026-03-13 17:00:00 UTC" || utc != "" {
		t.Errorf("in UTC: %q, %q", local, utc)
	}
	if _, err := loadZone("Nowhere/Land"); codeOf(err) != exitUsage {
		t.Errorf("a zone that there is not: %v", err)
	}
}

// A column in which nothing stands is left out, and a hole in another is a dash.
func TestColumnsWithNothingInThemAreLeftOut(t *testing.T) {
	heading, rows := filled("A B C", [][]string{{"1", "", ""}, {"2", "", "x"}})
	if heading != "A C" || !slices.Equal(rows[0], []string{"1", "-"}) || !slices.Equal(rows[1], []string{"2", "x"}) {
		t.Errorf("%q, %q", heading, rows)
	}
	if heading, _ := filled("A B", nil); heading != "A B" {
		t.Errorf("without rows: %q", heading)
	}
}
