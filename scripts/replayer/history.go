package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// history lists runs.
type history struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Run lists the runs of this checkout, the latest first.
func (c history) Run(w world) error {
	all, err := redrive.History(w.runs)
	if err != nil {
		return err
	}
	if c.JSON {
		if all == nil {
			all = []redrive.Summary{}
		}
		return json.NewEncoder(w.out).Encode(all)
	}
	if len(all) == 0 {
		return outcome{nothing, "no run in " + w.runs}
	}
	t := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "run\tby\tfrom\tconditions\tsent\tdeleted\tended")
	for _, s := range all {
		ended := "killed: --resume goes on"
		switch {
		case s.Result != nil && s.Result.Why != "":
			ended = s.Result.Why
		case s.Result != nil:
			ended = fmt.Sprintf("done, %d left", s.Result.Left)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", s.Run, s.By, s.Source, printable(s.Filter), s.Sent, s.Deleted, printable(ended))
	}
	return t.Flush()
}
