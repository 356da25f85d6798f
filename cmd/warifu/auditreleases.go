package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/auditor"

	"github.com/spf13/cobra"
)

func (a *app) auditReleasesCommand() *cobra.Command {
	var q questionFlags
	var flagged bool
	c := &cobra.Command{
		Use:   "releases DIR",
		Short: "Hold what all nodes tell of each release against each other",
		Long: `Lists what was released, by request id across all nodes, and flags what should not
be or needs a reason:

  fewer nodes than the key's threshold tell of it: the call failed half way, or a
  node hides a release; nothing was opened by these alone
  several principals under one request id
  several envelopes under one request id: a batch, or an id that was used again
  nodes that decided by different policies: it changed meanwhile, or a node lies

The export is verified on the way, and the threshold comes from the key's signed
order.`,
		Example: "  warifu audit releases march --flagged\n  warifu audit releases march --request 4f1c...",
		Args:    exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			zone, err := q.read()
			if err != nil {
				return err
			}
			folder, given, err := q.exportFlags.open(a, args[0])
			if err != nil {
				return err
			}
			found, report, err := folder.Releases(given, q.question)
			if err != nil {
				return err
			}
			views := []openedView{}
			var rows [][]string
			for _, o := range found {
				if flagged && len(o.Flags) == 0 {
					continue
				}
				v := openedView{RequestID: hex16(o.RequestID), Flags: o.Flags}
				for i, item := range o.Items {
					one := openedItem{askedView: viewAsked(item, zone), Threshold: o.Thresholds[i], Released: slices.Compact(item.By(auditor.Released))}
					v.Items = append(v.Items, one)
					told := fmt.Sprint(len(one.Released))
					if one.Threshold > 0 {
						told = fmt.Sprintf("%d of %d", len(one.Released), one.Threshold)
					}
					rows = append(rows, []string{one.When, one.utc, v.RequestID, one.Principal, inBranch(orWord(one.KeyName, short(one.Key)), one.Branch), told})
				}
				views = append(views, v)
			}
			err = a.show(views, func(w io.Writer) {
				if len(views) == 0 {
					fmt.Fprintln(w, "nothing found")
					return
				}
				heading, rows := filled("WHEN UTC REQUEST WHO KEY TOLD", rows)
				table(w, heading, rows)
				for _, v := range views {
					for _, flag := range v.Flags {
						fmt.Fprintln(w, a.loud("! "+v.RequestID+": "+oneLine(flag)))
					}
				}
			})
			return errors.Join(err, judged(args[0], report))
		},
	}
	q.flags(c)
	c.Flags().BoolVar(&flagged, "flagged", false, "only those with something to look at")
	return c
}

// openedView is what all nodes tell of one request id.
type openedView struct {
	RequestID string       `json:"request_id"`
	Items     []openedItem `json:"envelopes"`
	Flags     []string     `json:"flags,omitempty"`
}

type openedItem struct {
	askedView
	Threshold uint32   `json:"threshold"` // 0: not known
	Released  []string `json:"released_by"`
}
