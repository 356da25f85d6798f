package bench_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"warifu.dev/bench"
)

// echoVariable makes this test's process one that echoes.
const echoVariable = "WARIFU_BENCH_ECHO"

func TestMain(m *testing.M) {
	if os.Getenv(echoVariable) != "" {
		if err := bench.ServeEcho(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
