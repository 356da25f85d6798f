// Command warifu-bench measures what a cluster costs: one that runs, or one that
// it starts for the purpose.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "warifu-bench",
		Short:         "warifu-bench measures what a warifu cluster costs",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(goalsCommand(), loadCommand(), scaleCommand(), compareCommand(), decryptCommand(), pageCommand(), echoCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "warifu-bench:", err)
		os.Exit(1)
	}
}
