package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/custodian"

	"github.com/spf13/cobra"
)

func (a *app) escrowCommand() *cobra.Command {
	return group("escrow", "Shares of a key that are sealed to custodians: an extra door",
		`Custodians may order that each holder of a key seals its share to them. So many of
them as the order says can then open everything under that version of the key, without
a node, a policy or an audit, and for ever: no refresh, no erasure and no destruction
takes it back. status, the doctor and the certificate name the door. Without such an
order nothing is sealed.

What is sealed is public, and is fetched while there are nodes; opening it needs none.
Each custodian but one makes a piece file, on its own machine, for the one who opens.`,
		`  warifu escrow order photos --open 2 --out photos.change
  warifu escrow fetch photos --out photos.escrow
  warifu escrow piece photos.escrow --genesis-hash 6b1f... --custodian alice.custodian --for bob --out alice.piece
  warifu escrow open photos.escrow beach.jpg.age --genesis-hash 6b1f... --custodian bob.custodian --piece alice.piece --out opened`,
		a.escrowOrderCommand(), a.escrowListCommand(), a.escrowFetchCommand(), a.escrowShowCommand(), a.escrowPieceCommand(), a.escrowOpenCommand())
}

func (a *app) escrowOrderCommand() *cobra.Command {
	var f changeFlags
	var open uint32
	c := &cobra.Command{
		Use:   "order KEY --open M --out FILE.change",
		Short: "Write a change that has a key's shares sealed to custodians",
		Long: `Writes a change by which every holder seals its share of the key's newest version, in
its current epoch, to the custodians in force, for them to sign. Any M of them then open
a share, and with shares of as many holders as the threshold they open everything that
is under this version, or ever will be: an extra door, for ever.

M is at least 2, and at least as many as sign such an order. A symmetric key is not
escrowed. A later version of the key, or other custodians, take another order.`,
		Example: "  warifu escrow order photos --open 2 --out photos.change",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			k, _, err := a.findKey(c.Context(), args[0], "")
			if err != nil {
				return err
			}
			return f.write(a, g, authority.KindEscrow, wire.Encode(authority.Escrow{Record: k.Encode(), Open: open}), api.Digest{})
		},
	}
	f.add(a, c)
	c.Flags().Uint32Var(&open, "open", 0, "how many custodians open it, at least 2")
	required(c, "open")
	a.addCallerFlags(c)
	return c
}

// escrowView is an order of escrow for a custodian's eyes.
type escrowView struct {
	Name       string    `json:"name"`
	Key        api.KeyID `json:"key"`
	Version    uint32    `json:"version"`
	Epoch      uint64    `json:"epoch"`
	Open       uint32    `json:"custodians_needed"`
	Custodians []string  `json:"custodians,omitempty"` // none: they are not known here
	Warnings   []string  `json:"warnings"`
}

func viewEscrow(c *authority.Change, g *authority.Genesis) (*escrowView, error) {
	o, err := authority.ParseEscrow(c)
	if err != nil {
		return nil, err
	}
	r := &o.Signed.Record
	v := &escrowView{Key: r.Key, Version: r.Version, Epoch: r.Epoch, Open: o.Open, Name: "?"}
	if e, err := authority.ParseEntry(r.Order); err == nil {
		if c, err := authority.ParseChange(e); err == nil {
			if born, err := authority.ParseOrder(c); err == nil {
				v.Name = born.Name
			}
		}
	}
	if g == nil {
		return v, nil
	}
	for _, k := range g.Custodians {
		v.Custodians = append(v.Custodians, k.Name)
	}
	if err := o.AllowedBy(g); err != nil {
		v.Warnings = append(v.Warnings, fmt.Sprintf("it will be refused: %v", err))
	}
	return v, nil
}

func (v *escrowView) words(a *app, w io.Writer) {
	fmt.Fprintln(w, a.loud("This opens an EXTRA DOOR to a key, for ever. Every holder seals its share to the custodians:"))
	facts(w, "  name", v.Name, "  key id", v.Key.String(), "  version", fmt.Sprint(v.Version), "  epoch", fmt.Sprint(v.Epoch),
		"  opened by", fmt.Sprintf("any %d of %s", v.Open, orWord(strings.Join(v.Custodians, ", "), "the custodians in force")))
	for _, m := range []string{
		"so many of them open everything under this version, past and future, without any node",
		"no policy, no grant, no revoke and no audit stands before that door, and nobody sees it used",
		"no refresh, reshare or destruction shuts it, and no change takes it back: the certificate of the key says NOT GONE",
		"custodians who are replaced keep their pieces; only new data under a new version of the key is beyond them",
	} {
		fmt.Fprintf(w, "  - %s\n", m)
	}
	for _, m := range v.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
}

func (a *app) escrowListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list KEY",
		Short: "List the orders by which shares of a key are sealed to custodians",
		Long: `Lists every order of escrow there ever was of a key, and which holders have sealed
their shares by it: each is a door that stays open. Applications may not ask.`,
		Example: "  warifu escrow list photos --custodian alice.custodian",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			list, err := cluster.Escrows(c.Context(), args[0])
			if err != nil {
				return err
			}
			if list.Escrows == nil {
				list.Escrows = []api.EscrowSummary{}
			}
			return a.show(list.Escrows, func(w io.Writer) {
				if len(list.Escrows) == 0 {
					fmt.Fprintf(w, "no share of %s is escrowed\n", args[0])
					return
				}
				var rows [][]string
				for _, e := range list.Escrows {
					rows = append(rows, []string{
						e.Order.String(), fmt.Sprint(e.Version), fmt.Sprint(e.Epoch), fmt.Sprintf("%d of %d", len(e.Sealed), e.Holders), fmt.Sprint(e.T),
						fmt.Sprintf("%d of %s", e.Open, strings.Join(e.Custodians, ",")), instant(e.Since), strings.Join(e.Sealed, ","),
					})
				}
				table(w, "ORDER VERSION EPOCH SEALED OPENS-WITH OPENED-BY SINCE HOLDERS", rows)
			})
		},
	}
	a.addCallerFlags(c)
	return c
}

func (a *app) escrowFetchCommand() *cobra.Command {
	var out, order string
	c := &cobra.Command{
		Use:   "fetch KEY --out FILE",
		Short: "Fetch what holders have sealed, into a file that needs no node",
		Long: `Fetches an order of escrow, and what each holder has sealed by it, into one file:
the newest order of the key, or that of --order. It verifies the file before it writes
it. Keep it where backups are: it is public, and opens nothing without the custodians'
keys; when the cluster is lost, it is what they open.

Fetch it when all holders have sealed: where one has not, or not well, it says so.`,
		Example: "  warifu escrow fetch photos --out photos.escrow --custodian alice.custodian",
		Args:    exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("KEY", args[0]); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			e, err := fetchEscrow(c.Context(), cluster, args[0], order)
			if err != nil {
				return err
			}
			if err := writeNew(out, modePublic, e.Encode()); err != nil {
				return err
			}
			return a.showEscrow(e, "written to "+out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write")
	c.Flags().StringVar(&order, "order", "", "id of the order (default: the newest)")
	required(c, "out")
	a.addCallerFlags(c)
	return c
}

func fetchEscrow(ctx context.Context, cluster *client.Client, nameOrID, order string) (*client.Escrow, error) {
	list, err := cluster.Escrows(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	var of *api.EscrowSummary
	for i, e := range list.Escrows {
		switch {
		case order != "" && e.Order.String() != order:
		case of == nil || e.Index > of.Index:
			of = &list.Escrows[i]
		}
	}
	if of == nil {
		return nil, fmt.Errorf("%w: %s", client.ErrNoEscrow, oneLine(nameOrID))
	}
	return cluster.FetchEscrow(ctx, list.Key, *of)
}

// readEscrow reads an escrow file, and believes it from the hash of the genesis document
// on.
func readEscrow(name, hash string) (*client.Escrow, error) {
	want, err := parseHash("--genesis-hash", hash)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, client.MaxEscrow+1))
	if err != nil {
		return nil, err
	}
	e, err := client.ParseEscrow(b, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

// showEscrow says what an escrow file holds.
func (a *app) showEscrow(e *client.Escrow, last string) error {
	k, o := e.Key(), e.Order()
	by, spoilt := e.Sealed()
	var whom []string
	for _, c := range o.Custodians {
		whom = append(whom, c.Name)
	}
	return a.show(map[string]any{
		"name": k.Name(), "key": k.ID(), "version": k.Version(), "epoch": k.Epoch(), "order": o.ID, "ordered_by": o.By,
		"sealed": by, "spoilt": spoilt, "threshold": k.Threshold(), "custodians": whom, "custodians_needed": o.Open,
	}, func(w io.Writer) {
		facts(w, "key", k.Name(), "key id", k.ID().String(), "version", fmt.Sprint(k.Version()), "epoch", fmt.Sprint(k.Epoch()),
			"order", o.ID.String(), "ordered by", strings.Join(o.By, ", "), "opened by", fmt.Sprintf("any %d of %s", o.Open, strings.Join(whom, ", ")),
			"shares", fmt.Sprintf("%d are needed; sealed by %s", k.Threshold(), orWord(strings.Join(by, ", "), "nobody")))
		for _, s := range spoilt {
			fmt.Fprintln(w, a.loud("  ! "+oneLine(s)))
		}
		if len(by) < k.Threshold() {
			fmt.Fprintln(w, a.loud("  ! these shares are too few to open anything: fetch it again when more have sealed theirs"))
		}
		fmt.Fprintln(w, last)
	})
}

func (a *app) escrowShowCommand() *cobra.Command {
	var hash string
	c := &cobra.Command{
		Use:   "show FILE --genesis-hash HASH",
		Short: "Verify an escrow file, and say what it holds; no cluster",
		Long: `Verifies an escrow file from the hash of the genesis document on: the order and the
custodians who signed it, the key's record, and what each holder has signed. It asks
nobody, and opens nothing.`,
		Example: "  warifu escrow show photos.escrow --genesis-hash 6b1f...",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := readEscrow(args[0], hash)
			if err != nil {
				return err
			}
			return a.showEscrow(e, "verified; nothing was opened")
		},
	}
	addHashFlag(c, &hash)
	return c
}

func addHashFlag(c *cobra.Command, hash *string) {
	c.Flags().StringVar(hash, "genesis-hash", "", "hash of the genesis document, all that is trusted: 64 hexadecimal digits, or its 24 words in quotes")
	required(c, "genesis-hash")
}

// keeper opens a custodian's keys, and finds its place in an escrow.
func (a *app) keeper(e *client.Escrow, file, passphraseFile, purpose string) (*custodian.Custodian, int, error) {
	who, err := a.openCustodian(file, passphraseFile, purpose)
	if err != nil {
		return nil, 0, err
	}
	key, err := who.SignKey().Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return nil, 0, err
	}
	place, err := e.PlaceOf(func(c authority.Custodian) bool { return bytes.Equal(c.Sign, key) })
	return who, place, err
}

func (a *app) escrowPieceCommand() *cobra.Command {
	var hash, file, passphraseFile, to, out string
	c := &cobra.Command{
		Use:   "piece FILE --genesis-hash HASH --custodian FILE --for NAME --out FILE",
		Short: "Hand a custodian's pieces of an escrow to the one who opens it; no cluster",
		Long: `Opens this custodian's pieces of every share in an escrow file, on its own machine,
and encrypts them to the custodian who opens: no other can read the piece file. It is of
use for this order alone, and for ever: who has enough of them opens the key.

It says whose door it is before it asks for the passphrase: giving that is what hands
the pieces over.`,
		Example: "  warifu escrow piece photos.escrow --genesis-hash 6b1f... --custodian alice.custodian --for bob --out alice.piece",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := readEscrow(args[0], hash)
			if err != nil {
				return err
			}
			other, err := e.PlaceOf(func(c authority.Custodian) bool { return c.Name == to })
			if err != nil {
				return fail(exitUsage, "--for: %w", err)
			}
			if a.format == formatTable {
				if err := a.showEscrow(e, "The pieces go to "+to+", who opens everything under this version with enough of them."); err != nil {
					return err
				}
			}
			who, place, err := a.keeper(e, file, passphraseFile, "to hand over its pieces")
			if err != nil {
				return err
			}
			if place == other {
				return fail(exitUsage, "--for: %s opens its own pieces itself, with: warifu escrow open", to)
			}
			handed, err := e.HandOver(place, who.OpenKey(), other)
			if err != nil {
				return err
			}
			if err := writeNew(out, modeSecret, handed); err != nil {
				return err
			}
			return a.show(map[string]string{"file": out, "from": e.Order().Custodians[place].Name, "for": to}, func(w io.Writer) {
				fmt.Fprintf(w, "written to %s, for %s alone\n", out, to)
			})
		},
	}
	addHashFlag(c, &hash)
	addSignerFlags(c, &file, &passphraseFile)
	c.Flags().StringVar(&to, "for", "", "name of the custodian who opens")
	c.Flags().StringVar(&out, "out", "", "file to write")
	required(c, "for", "out")
	return c
}

func (a *app) escrowOpenCommand() *cobra.Command {
	var hash, file, passphraseFile, out string
	var handed []string
	c := &cobra.Command{
		Use:   "open ESCROW FILE... --genesis-hash HASH --custodian FILE --piece FILE... --out DIR",
		Short: "Decrypt files by an escrow, without a cluster",
		Long: `Opens shares of as many holders as the threshold, with this custodian's pieces and
those that others have handed over, holds each against the key's record, and decrypts
age files under that version of the key into DIR, each under its name without .age.
A holder that sealed something else than its share is named, and another one is taken.

No policy is asked, and no audit is written: write down yourselves who was there and
what was opened. While it runs the key is as good as whole in this machine's memory, and
nothing proves that it is forgotten: use a machine that nobody else uses, and afterwards
encrypt anew under a key that has no such door.`,
		Example: "  warifu escrow open photos.escrow beach.jpg.age --genesis-hash 6b1f... --custodian bob.custodian --piece alice.piece --out opened",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := readEscrow(args[0], hash)
			if err != nil {
				return err
			}
			var boxes [][]byte
			for _, name := range handed {
				b, err := readSmall(name)
				if err != nil {
					return err
				}
				boxes = append(boxes, b)
			}
			if a.format == formatTable {
				if err := a.showEscrow(e, "It is opened now, beside policy and audit."); err != nil {
					return err
				}
			}
			who, place, err := a.keeper(e, file, passphraseFile, "to open the escrow")
			if err != nil {
				return err
			}
			opened, err := e.Open(place, who.OpenKey(), boxes...)
			if err != nil {
				return err
			}
			defer opened.Wipe()
			v := openedFiles{Key: e.Key().Name(), Liars: slices.Clip(append([]string{}, opened.Liars...))}
			for _, name := range args[1:] {
				f, err := a.openOne(c.Context(), opened, name, out)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				v.Files = append(v.Files, *f)
			}
			return a.show(v, func(w io.Writer) {
				for _, l := range v.Liars {
					fmt.Fprintln(w, a.loud("  ! "+oneLine(l)))
				}
				for _, f := range v.Files {
					fmt.Fprintf(w, "opened %s, %d bytes\n", f.File, f.Bytes)
				}
			})
		},
	}
	addHashFlag(c, &hash)
	addSignerFlags(c, &file, &passphraseFile)
	c.Flags().StringArrayVar(&handed, "piece", nil, "piece file of another custodian; may be repeated")
	c.Flags().StringVar(&out, "out", "", "directory to write the decrypted files into")
	required(c, "out")
	return c
}

// openedFiles is what was decrypted by an escrow.
type openedFiles struct {
	Key   string     `json:"key"`
	Liars []string   `json:"spoilt"` // holders whose share did not open, or was another
	Files []fileView `json:"files"`
}

// openOne decrypts one file into a directory.
func (a *app) openOne(ctx context.Context, by *client.Opened, name, dir string) (*fileView, error) {
	src, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	to := filepath.Join(dir, strings.TrimSuffix(filepath.Base(name), ".age"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	dst, err := createFile(to, modeSecret, false)
	if err != nil {
		return nil, err
	}
	defer dst.Abandon()
	n, err := decrypt(dst, src, agefile.NewIdentity(ctx, by, ""))
	if err != nil {
		return nil, err
	}
	return &fileView{File: to, Bytes: n}, dst.Commit()
}
