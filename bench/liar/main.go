// Command liar builds a warifud that can be made to lie, for warifu-bench load --fail lie:
// go run ./bench/liar DIR. See bench/cluster.
package main

import (
	"fmt"
	"os"

	"warifu.dev/bench/cluster"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./bench/liar DIR")
		os.Exit(2)
	}
	if err := cluster.BuildLiar(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "liar:", err)
		os.Exit(1)
	}
}
