package bench

import (
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever reads a committed run knows on what machine it was made, of what, and how.
func TestCommittedRunsSayWhereTheyComeFrom(t *testing.T) {
	files, err := filepath.Glob("results/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Error("no run is committed")
	}
	sizes := map[[2]int]bool{} // nodes, and cores
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var r Run
		if err := json.Unmarshal(b, &r); err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		for what, missing := range map[string]bool{
			"CPU": r.Machine.CPU == "" || r.Machine.CPU == "unknown", "number of cores": r.Machine.Cores < 1, "commit": len(r.Machine.Commit) < 12,
			"command": !strings.Contains(r.Machine.Command, "warifu-bench"), "time": r.Began.IsZero(), "measured shapes": len(r.Shapes) == 0 && r.Scale == nil,
		} {
			if missing {
				t.Errorf("%s does not say its %s", f, what)
			}
		}
		if strings.Contains(r.Machine.Commit, "dirty") || strings.Contains(r.Machine.Commit, "changes") {
			t.Errorf("%s was made of what is not committed: %s", f, r.Machine.Commit)
		}
		if r.Scale != nil && len(r.Scale.Costs) > 0 {
			for _, p := range r.Scale.Points {
				sizes[[2]int{p.Nodes, p.Cores}] = true
			}
		}
		page, err := os.Open(strings.TrimSuffix(f, ".json") + ".html")
		if err != nil {
			t.Error(err)
			continue
		}
		plots, err := readPage(page)
		if err := errors.Join(err, page.Close()); err != nil || len(plots) == 0 {
			t.Errorf("the page of %s: %d plots, %v", f, len(plots), err)
		}
		picture, err := os.Open(strings.TrimSuffix(f, ".json") + ".png")
		if err != nil {
			t.Error(err)
			continue
		}
		seen, err := png.DecodeConfig(picture)
		if err := errors.Join(err, picture.Close()); err != nil || seen.Width != 1280 || seen.Height != 800 {
			t.Errorf("the picture of %s: %d x %d, %v", f, seen.Width, seen.Height, err)
		}
	}
	for _, n := range []int{3, 5, 7, 9} {
		for _, cores := range []int{1, 2} {
			if !sizes[[2]int{n, cores}] {
				t.Errorf("no run of %d nodes on %s is committed, with a model of it", n, inCores(cores))
			}
		}
	}
}
