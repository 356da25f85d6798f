package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"warifu.dev/client/agefile"
)

const usage = `age-plugin-warifu lets age read and write files for keys of a warifu cluster.
age runs it; it has to be on PATH, and $WARIFU_HOME set up (warifu client init).

  age -r $(warifu key show photos --recipient) -o beach.jpg.age beach.jpg
  age -d -j warifu -o beach.jpg beach.jpg.age

  --identity  print the identity, for age -d -i FILE; it holds no secret

$WARIFU_REASON is the reason that nodes are told and record.
`

func main() { os.Exit(run()) }

func run() int {
	p, err := plugin.New(agefile.PluginName)
	if err != nil {
		panic("age-plugin-warifu: its own name: " + err.Error())
	}
	flags := flag.NewFlagSet("age-plugin-warifu", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	p.RegisterFlags(flags)
	identity := flags.Bool("identity", false, "")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return 2
	}
	if *identity {
		fmt.Println(agefile.PluginIdentity())
		return 0
	}
	if flags.Lookup("age-plugin").Value.String() == "" {
		flags.Usage()
		return 2
	}
	// age interrupts its plugins when it is done with them. Then as always the
	// connections are closed in words: a node takes only so many of one caller's.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var h atHome
	defer h.close()
	p.HandleRecipient(func(data []byte) (age.Recipient, error) {
		r, err := h.recipient(ctx, data)
		return r, oneLine(err)
	})
	p.HandleIdentity(func(data []byte) (age.Identity, error) {
		i, err := h.identity(ctx, data)
		return i, oneLine(err)
	})
	return p.Main()
}
