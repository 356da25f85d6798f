package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"warifu.dev/sharing/custodian"

	"github.com/spf13/cobra"
)

// app is one run of the command line.
type app struct {
	in        io.Reader
	out, errs io.Writer
	colour    bool
	format    string // formatTable or formatJSON
	home      string // --home
	began     bool   // a verb began: errors are no longer about the command line
	caller    caller // as whom an online verb calls
	proposing bool   // while the verbs below propose are made

	inTokens map[string]*custodian.Custodian // those whose handles were opened, by file
	closers  []io.Closer                     // the tokens
}

// root builds the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := group("warifu", "A key vault with no place in it where a key is whole",
		`warifu speaks to a cluster that holds keys only in shares: a data key is opened when
enough independent nodes agree, and by nobody else.

  users       encrypt, decrypt, wrap, unwrap      key list, key show, key find, rewrap
  custodians  custodian, genesis, unseal          propose, proposals, approve
  approvers   grant
  operators   status, doctor, client init         policy show, audit tail, backup
  whoever     policy put, key create, ca put      write a change for custodians to sign
              change, submit                      show, sign and hand in what is in files
  no cluster  split, combine, policy test         need nobody at all
              escrow piece, escrow open           open what custodians had sealed to them`,
		`  warifu encrypt --key photos --context album=2026 -i beach.jpg --out beach.jpg.age
  warifu decrypt beach.jpg.age --out beach.jpg
  warifu status`,
		a.custodianCommand(),
		a.genesisCommand(),
		a.changeCommand(),
		a.proposeCommand(),
		a.proposalsCommand(),
		a.approveCommand(),
		a.submitCommand(),
		a.policyCommand(),
		a.keyCommand(),
		a.poolCommand(),
		a.caCommand(),
		a.revokeCommand(),
		a.sealCommand(),
		a.liftCommand(),
		a.grantCommand(),
		a.identityCommand(),
		a.clientCommand(),
		a.statusCommand(),
		a.nodeCommand(),
		a.doctorCommand(),
		a.rotateSharesCommand(),
		a.reshareCommand(),
		a.unsealCommand(),
		a.encryptCommand(),
		a.decryptCommand(),
		a.wrapCommand(),
		a.unwrapCommand(),
		a.rewrapCommand(),
		a.splitCommand(),
		a.combineCommand(),
		a.auditCommand(),
		a.backupCommand(),
		a.certificateCommand(),
		a.datasetCommand(),
		a.escrowCommand(),
		a.restoreCommand(),
		a.versionCommand(),
		exitCodesTopic(),
	)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().StringVarP(&a.format, "output", "o", formatTable, "format of what is printed: table or json (files are written with --out)")
	root.PersistentFlags().StringVar(&a.home, "home", "", "directory of this client's settings (default $WARIFU_HOME, else ~/.config/warifu)")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.format != formatTable && a.format != formatJSON {
			return fmt.Errorf("--output is table or json, not %q; a file is named with --out", a.format)
		}
		return nil
	}
	root.SetHelpCommand(helpCommand())
	root.Version = readBuild().String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		// A misspelt verb leaves its flags to the group, which knows none of them.
		if name := c.Flags().Arg(0); c.HasSubCommands() && name != "" {
			return unknownCommand(c, name)
		}
		return fmt.Errorf("%w; see: %s --help", err, c.CommandPath())
	})
	a.markBeginnings(root)
	return root
}

// markBeginnings lets every verb note that it began, so that what fails before
// is known to be a mistake on the command line.
func (a *app) markBeginnings(c *cobra.Command) {
	if verb := c.RunE; verb != nil && !c.HasSubCommands() {
		c.RunE = func(c *cobra.Command, args []string) error {
			a.began = true
			return verb(c, args)
		}
	}
	for _, sub := range c.Commands() {
		a.markBeginnings(sub)
	}
}

// group makes a command that only has verbs under it. Without one it prints its
// help; with one that does not exist it says which was probably meant.
func group(use, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(c, args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(verbs...)
	return c
}

// unknownCommand says what was probably meant.
func unknownCommand(group *cobra.Command, name string) error {
	path := strings.TrimPrefix(group.CommandPath()+" "+name, group.Root().Name()+" ")
	return fail(exitUsage, "unknown command %s%s", path, meant(group.SuggestionsFor(name), group.CommandPath()))
}

// helpCommand is cobra's, which does not fail for what there is no help for.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command",
		Long:    "Prints the help of a command, or of everything.",
		Example: "  warifu help encrypt\n  warifu help exit-codes",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil {
				return misused("help", err)
			}
			if len(rest) > 0 {
				return unknownCommand(about, rest[0])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

func meant(names []string, path string) string {
	if len(names) == 0 {
		return "; see: " + path + " --help"
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

// exactly is cobra.ExactArgs that says what is missing.
func exactly(words ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(words) {
			return nil
		}
		if len(args) < len(words) {
			return fmt.Errorf("%s needs %s; see: %s --help", c.CommandPath(), strings.Join(words[len(args):], " and "), c.CommandPath())
		}
		if len(words) == 0 {
			return fmt.Errorf("%s takes no argument, and was given %q", c.CommandPath(), args[0])
		}
		return fmt.Errorf("%s takes %s, and was given %q as well", c.CommandPath(), strings.Join(words, " and "), args[len(words)])
	}
}

// required marks flags that must be given.
func required(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err)
		}
	}
}

// now is the clock of this command line.
func now() time.Time { return time.Now() }
