package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/term"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
	"warifu.dev/internal/secret"

	"github.com/spf13/cobra"
)

// What became of a file.
const (
	rewrapped  = "rewrapped"
	wasDone    = "was done"  // it has an envelope of the target, and none of the source
	otherKey   = "other key" // nothing in it is of the source
	noWarifu   = "no warifu file"
	leftOver   = "left over" // of a run that was cut short: removed
	notDone    = "failed"
	tempSuffix = ".rewrap-"
)

// leftOverName matches the files of a run that was cut short.
var leftOverName = regexp.MustCompile(`^\..*\` + tempSuffix + `[0-9]+$`)

// outcome is what became of one file.
type outcome struct {
	File    string `json:"file"`
	Outcome string `json:"outcome"`
	Why     string `json:"why,omitempty"`

	err error
}

// rewrapping is one run.
type rewrapping struct {
	app      *app
	cluster  *client.Client
	from, to *client.Key
	context  api.Context // of envelopes that stand by themselves
	reason   string
}

func (a *app) rewrapCommand() *cobra.Command {
	var key, to, reason string
	var pairs []string
	c := &cobra.Command{
		Use:   "rewrap FILE|DIR... --key K [--to K2]",
		Short: "Move files and envelopes to the newest version of their key, or to another key",
		Long: `Opens what is wrapped under the key K, by quorum, and wraps it under the newest
version of K, or under K2. Of an age file only the header is written anew: its
payload stays byte for byte, and so does the file key in it. Folders are walked;
what is no warifu file, or under other keys only, is named and left alone. A second
run skips what is done, and one that was cut short goes on where it was.

What it buys: once every file is moved, K is needed no more, and can be deactivated,
or destroyed. What it does not: whoever has opened a file already may have kept its
file key, and a copy of the file from before, in a backup, still opens under K. To
keep them out, decrypt and encrypt anew.

A file is replaced when its successor is complete and on disk. It keeps its mode, and
its owner where that is possible; its time is new, so that backups see it. Links are
followed for FILE, and left alone in DIR. --context is that of envelopes that stand
by themselves; age files have their own.`,
		Example: `  warifu rewrap photos/ --key photos --reason "rotation 2027"
  warifu rewrap beach.jpg.age dek.wrapped --key photos --to archive --context album=2026`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s needs FILE or DIR; see: %s --help", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("--key", key); err != nil {
				return err
			}
			if to == "" {
				to = key
			}
			if err := checkKeyName("--to", to); err != nil {
				return err
			}
			context, err := parseContext(pairs)
			if err != nil {
				return err
			}
			if err := checkReason(reason); err != nil {
				return err
			}
			r, err := a.rewrapping(c.Context(), key, to)
			if err != nil {
				return err
			}
			defer r.cluster.Close()
			r.context, r.reason = context, reason
			return r.run(c.Context(), args)
		},
	}
	c.Flags().StringVar(&key, "key", "", "name of the key that is wrapped under now, or its id")
	c.Flags().StringVar(&to, "to", "", "name of the key to wrap under, or its id (default: the newest version of --key)")
	addContextFlag(c, &pairs)
	addReasonFlag(c, &reason)
	a.addCallerFlags(c)
	required(c, "key")
	return c
}

// rewrapping asks anew where both keys stand: a run that could not end is not begun.
func (a *app) rewrapping(ctx context.Context, key, to string) (*rewrapping, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return nil, err
	}
	r := &rewrapping{app: a, cluster: cluster}
	err = func() error {
		if r.from, err = cluster.Refresh(ctx, key); err != nil {
			return err
		}
		if r.to, err = cluster.Refresh(ctx, to); err != nil {
			return err
		}
		for _, k := range []*client.Key{r.from, r.to} {
			a.tryKeep(h, k)
		}
		if s := r.from.State(now()); !s.Unwraps() {
			return fmt.Errorf("%w: nothing under the key %s is opened, which is %s", client.ErrKeyState, r.from.Name(), s)
		}
		if s := r.to.State(now()); s != authority.Active {
			return fmt.Errorf("%w: nothing new is wrapped under the key %s, which is %s", client.ErrKeyState, r.to.Name(), s)
		}
		return nil
	}()
	if err != nil {
		cluster.Close()
		return nil, err
	}
	return r, nil
}

// run goes over all files, and ends early where the next one would fare no better.
func (r *rewrapping) run(ctx context.Context, args []string) error {
	var all []outcome
	var files []string
	named := map[string]bool{}
	for _, arg := range args {
		path, err := filepath.EvalSymlinks(arg)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			files, named[path] = append(files, path), true
			continue
		}
		err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() || !d.Type().IsRegular():
			case leftOverName.MatchString(d.Name()):
				if err := os.Remove(name); err != nil {
					return err
				}
				all = append(all, outcome{File: name, Outcome: leftOver})
			default:
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var failed error
	begun := time.Now()
	for i, name := range files {
		r.progress(i, len(files), begun)
		o := r.one(ctx, name)
		if o.err == nil && named[name] && (o.Outcome == noWarifu || o.Outcome == otherKey) {
			o.err = fail(exitInput, "%s: %s", name, o.Why)
		}
		all = append(all, o)
		if failed == nil {
			failed = o.err
		}
		if errors.Is(o.err, client.ErrDenied) || errors.Is(o.err, client.ErrKeyState) || errors.Is(o.err, client.ErrUnauthenticated) || ctx.Err() != nil {
			break
		}
	}
	r.progress(len(files), len(files), begun)
	counts := map[string]int{}
	for _, o := range all {
		counts[o.Outcome]++
	}
	shown := r.app.show(all, func(w io.Writer) {
		for _, o := range all {
			if o.Outcome != rewrapped && o.Outcome != wasDone {
				fmt.Fprintf(w, "%s: %s", o.Outcome, oneLine(o.File))
				if o.Why != "" && o.Outcome != noWarifu {
					fmt.Fprintf(w, ": %s", oneLine(o.Why))
				}
				fmt.Fprintln(w)
			}
		}
		fmt.Fprintf(w, "%s under %s version %d now; %d were before; %d of other keys, %d no warifu files, %d failed, %d not reached\n",
			plural(counts[rewrapped], "file"), r.to.Name(), r.to.Version(), counts[wasDone], counts[otherKey], counts[noWarifu], counts[notDone],
			len(files)-(len(all)-counts[leftOver]))
	})
	if shown != nil {
		return shown
	}
	return failed
}

// progress says on a terminal how far the run is.
func (r *rewrapping) progress(done, all int, begun time.Time) {
	f, is := r.app.errs.(*os.File)
	if !is || !term.IsTerminal(int(f.Fd())) || all < 2 {
		return
	}
	end := ""
	if done == all {
		end = "\n"
	}
	fmt.Fprintf(f, "\r%d of %d files, %s%s", done, all, time.Since(begun).Round(time.Second), end)
}

// one moves one file.
func (r *rewrapping) one(ctx context.Context, name string) outcome {
	what, why, err := r.move(ctx, name)
	if err != nil {
		return outcome{name, notDone, err.Error(), fmt.Errorf("%s: %w", name, err)}
	}
	return outcome{File: name, Outcome: what, Why: why}
}

func (r *rewrapping) move(ctx context.Context, name string) (what, why string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	if !before.Mode().IsRegular() {
		return "", "", fail(exitInput, "it is not a regular file")
	}
	s, err := sniff(f)
	if errors.Is(err, errNoWarifuFile) || errors.Is(err, agefile.ErrNotAge) {
		return noWarifu, err.Error(), nil
	}
	if err != nil {
		return "", "", err
	}
	envelopes, err := s.envelopes(r.context)
	if err != nil {
		return "", "", err
	}
	target := slices.IndexFunc(envelopes, r.isTarget)
	source := slices.IndexFunc(envelopes, func(e enveloped) bool { return e.key == r.from.ID() && !r.isTarget(e) })
	switch {
	case source < 0 && target >= 0:
		return wasDone, "", nil
	case source < 0:
		return otherKey, fmt.Sprintf("it is under the key %s, not under %s", envelopes[0].key, r.from.Name()), nil
	}
	e := envelopes[source]
	dek, err := r.cluster.Unwrap(ctx, e.envelope, e.context, r.reason)
	if err != nil {
		return "", "", err
	}
	defer dek.Wipe()
	envelope, err := r.wrap(ctx, e.context, dek)
	if err != nil {
		return "", "", err
	}
	if err := r.to.Check(envelope, e.context); err != nil {
		return "", "", err
	}
	return rewrapped, "", r.replace(name, f, before, func(w io.Writer) error {
		if s.header == nil {
			return writeEnvelope(w, s, envelope)
		}
		return writeAge(w, s, dek, e, envelope, r)
	})
}

// wrap makes the new envelope. Where nobody checks what holders of a symmetric key give,
// it is opened once before the old one goes.
func (r *rewrapping) wrap(ctx context.Context, pairs api.Context, dek secret.Bytes) ([]byte, error) {
	if !r.to.Symmetric() {
		return r.to.Wrap(rand.Reader, pairs, dek)
	}
	envelope, err := r.cluster.Encrypt(ctx, r.to, pairs, dek, r.reason)
	if err != nil || r.to.Copies() > 1 {
		return envelope, err
	}
	again, err := r.cluster.Unwrap(ctx, envelope, pairs, r.reason)
	if err != nil {
		return nil, fmt.Errorf("open it again under %s, before the old envelope goes: %w", r.to.Name(), err)
	}
	defer again.Wipe()
	if !again.Equal(dek) {
		return nil, fmt.Errorf("under %s it opens as something else", r.to.Name())
	}
	return envelope, nil
}

func (r *rewrapping) isTarget(e enveloped) bool {
	return e.key == r.to.ID() && e.version == r.to.Version()
}

// writeEnvelope writes an envelope as the old one stood: raw, or a line of base64.
func writeEnvelope(w io.Writer, s *sniffed, envelope []byte) error {
	if s.text[0] < ' ' {
		_, err := w.Write(envelope)
		return err
	}
	_, err := fmt.Fprintln(w, base64.StdEncoding.EncodeToString(envelope))
	return err
}

// writeAge writes the file with the envelope in the place of the old one, and without
// any other of the source. The payload is copied as it is.
func writeAge(w io.Writer, s *sniffed, fileKey secret.Bytes, e enveloped, envelope []byte, r *rewrapping) error {
	var stanzas []*age.Stanza
	for at, stanza := range s.header.Stanzas {
		ours, is := s.ours[at]
		if at == e.at {
			stanzas = append(stanzas, agefile.Stanza{Context: e.context, Envelope: envelope}.Age())
			continue
		}
		if is {
			if id, version, err := client.NamedIn(ours.Envelope); err == nil && (id == r.from.ID() || id == r.to.ID() && version == r.to.Version()) {
				continue
			}
		}
		stanzas = append(stanzas, stanza)
	}
	head, err := s.header.Rewrite(fileKey.Reveal(), stanzas)
	if err != nil {
		return err
	}
	end := func() error { return nil }
	if s.armored {
		text := armor.NewWriter(w)
		w, end = text, text.Close
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	if _, err := io.Copy(w, s.payload); err != nil {
		return err
	}
	return end()
}

// replace puts what write writes in the place of a file that nobody has touched since.
func (r *rewrapping) replace(name string, f *os.File, before fs.FileInfo, write func(io.Writer) error) error {
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+tempSuffix+"*")
	if err != nil {
		return fail(exitLocal, "replace %s: %w", name, err)
	}
	n := &newFile{File: temp, name: name, replace: true}
	defer n.Abandon()
	if err := errors.Join(temp.Chmod(before.Mode().Perm()), sameOwner(temp, before)); err != nil {
		return fail(exitLocal, "replace %s: %w", name, err)
	}
	if err := write(temp); err != nil {
		return err
	}
	now, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(before, now) || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()) {
		return fail(exitLocal, "%s was changed meanwhile, and is left as it is", name)
	}
	return n.Commit()
}
