package audit

import (
	"os"
	"testing"
)

// bigDir is where the log of 10,000 records is made, by the first test that asks.
var bigDir string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if bigDir, err = os.MkdirTemp("", "warifu-audit-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(bigDir)
	return m.Run()
}
