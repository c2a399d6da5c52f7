package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// history lists runs, or what one did.
type history struct {
	Named string `arg:"" optional:"" name:"run" help:"A run, of which all is listed that it did."`
	JSON  bool   `name:"json" help:"Write JSON."`
}

// Help is shown with --help.
func (history) Help() string {
	return `Lists the runs of this checkout, the latest first; or what a run did with each message, known by its id and a hash of its body.

    scripts/replay history
    scripts/replay history 20260131T120000Z-3f2a | grep kept`
}

// Run lists.
func (c history) Run(w world) error {
	if c.Named != "" {
		return c.audit(w)
	}
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
		ended := "killed: --resume goes on, or the same command again if it was no replay"
		switch {
		case s.Problem != "":
			ended = "its file is broken: " + s.Problem
		case s.Result != nil && s.Result.Why != "":
			ended = s.Result.Why
		case s.Result != nil:
			ended = fmt.Sprintf("done, %d left", s.Result.Left)
		case w.goesOn(s.Run):
			ended = "goes on"
		case s.Began.IsZero():
			ended = "never began"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", s.Run, s.By, s.Source, printable(s.Filter), s.Sent, s.Deleted, printable(ended))
	}
	return t.Flush()
}

// goesOn reports whether another process has the run.
func (w world) goesOn(run string) bool {
	file, err := os.Open(filepath.Join(w.runs, run+".jsonl"))
	if err != nil {
		return false
	}
	defer file.Close()
	return redrive.Lock(file) != nil
}

// audit writes what a run did, message by message.
func (c history) audit(w world) error {
	var failed error
	err := redrive.Audit(w.runs, c.Named, func(l redrive.Line) {
		if c.JSON {
			failed = cmp.Or(failed, json.NewEncoder(w.out).Encode(l))
			return
		}
		text := strings.Join(slices.DeleteFunc([]string{
			l.At.Format(time.RFC3339), string(l.Outcome), l.ID, l.SHA256, l.Why, l.Run, l.Source, l.Target, l.Filter, l.By,
		}, func(part string) bool { return part == "" }), " ")
		_, err := fmt.Fprintln(w.out, printable(text))
		failed = cmp.Or(failed, err)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return outcome{refused, fmt.Sprintf("there is no run %s in %s; scripts/replay history lists them", c.Named, w.runs)}
	}
	return cmp.Or(err, failed)
}
