package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/user"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/filter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// how says how a run goes.
type how struct {
	Limit   int           `help:"No more than so many."`
	Confirm bool          `help:"Do it. Without: say what would be done."`
	All     bool          `help:"Wanted besides --confirm where neither a condition nor a limit is given."`
	Rate    *float64      `help:"Messages a second, at most. Defaults to 50."`
	Hold    time.Duration `default:"2m" help:"How long messages are hidden at a time: what a killed run had shows again after that."`
	JSON    bool          `name:"json" help:"Write the result as JSON."`
}

// refuse says what must not be begun, or nothing. One is chosen from if there are conditions.
func (h how) refuse(chosen bool) string {
	chosen = chosen || h.Limit != 0
	switch {
	case h.All && chosen:
		return "--all is for a run without conditions and limit, and this one has some"
	case h.Confirm && !chosen && !h.All:
		return "this would take all that rests there: add --all if that is wanted, or a condition; without --confirm it says how many there are"
	case h.Limit < 0 || !rated(h.Rate):
		return "--limit is not negative, and --rate is 1 to 1000"
	case h.Hold < time.Second || h.Hold > time.Hour:
		return "--hold is 1s to 1h"
	}
	return ""
}

// rated reports whether a rate may be asked for, if one is.
func rated(rate *float64) bool { return rate == nil || *rate >= 1 && *rate <= 1000 } // which NaN is not

// rateOr is the rate that is asked for, or else another.
func rateOr(rate *float64, other float64) float64 {
	if rate == nil {
		return other
	}
	return *rate
}

// job is a run in words.
type job struct {
	how
	from, to string
	chosen   bool                        // by a condition or a limit
	archive  string                      // the folder, if it has one
	again    string                      // how to go on with it when it is interrupted or killed
	sums     func(redrive.Result) string // says what it did, or would do; nil: of messages
}

// carry carries a plan out, and says so. The error says how the program ends.
func (w world) carry(p redrive.Plan, j job, chosen *filter.Filter) (redrive.Result, error) {
	p.By, p.Rate, p.Hold, p.DryRun = whoami(), rateOr(j.Rate, redrive.DefaultRate), j.Hold, !j.Confirm
	line := &progress{out: w.errs, terminal: w.terminal}
	p.Progress = line.say
	if j.Confirm {
		fmt.Fprintf(w.errs, "run %s: %s → %s, at most %g a second; %s\n", p.Run, j.from, j.to, p.Rate, p.Log.Path())
	}
	why := reasons{}
	if p.DryRun {
		p.Decide = why.listen(p.Decide)
	}
	r, err := redrive.Do(w.ctx, p)
	line.end()
	told(w, chosen)
	if err := j.report(w.out, p, r); err != nil {
		return r, err
	}
	if !p.DryRun {
		_ = redrive.Audit(w.runs, p.Run, why.note) // it was written a moment ago; else history says what is wrong with it
	}
	why.write(w.errs)
	return r, j.judge(p, r, err)
}

// reasons are why messages do not go where they belong, and of which.
type reasons map[string]map[string]bool

// listen notes what is decided of messages in a dry run.
func (all reasons) listen(decide func(context.Context, redrive.Message) (redrive.Decision, error)) func(context.Context, redrive.Message) (redrive.Decision, error) {
	return func(ctx context.Context, m redrive.Message) (redrive.Decision, error) {
		d, err := decide(ctx, m)
		outcome := map[redrive.Fate]redrive.Outcome{redrive.Keep: redrive.Kept, redrive.Quarantine: redrive.Quarantined, redrive.Archive: redrive.Archived}[d.Fate]
		all.note(redrive.Line{ID: m.ID, Outcome: outcome, Why: d.Why})
		return d, err
	}
}

// note notes a line of the log.
func (all reasons) note(l redrive.Line) {
	switch l.Outcome {
	case redrive.Began: // what is still so is said again
		clear(all)
	case redrive.Sent, redrive.Quarantined, redrive.Archived: // a failure before that is over
		for _, ids := range all {
			delete(ids, l.ID)
		}
	}
	how := map[redrive.Outcome]string{
		redrive.Kept: "left", redrive.Failed: "failed", redrive.Quarantined: "to the quarantine", redrive.Archived: "archived",
	}[l.Outcome]
	if how == "" || l.Why == "" {
		return
	}
	text := how + ": " + l.Why
	if all[text] == nil {
		all[text] = map[string]bool{}
	}
	all[text][l.ID] = true
}

// write writes how many of each there are.
func (all reasons) write(out io.Writer) {
	counts := map[string]int{}
	for text, ids := range all {
		if len(ids) > 0 {
			counts[text] = len(ids)
		}
	}
	for i, g := range groups(counts) {
		if i == shown {
			fmt.Fprintf(out, "         … and %d other reasons\n", len(counts)-shown)
			return
		}
		fmt.Fprintf(out, "%8d  %s\n", g.Count, printable(g.Name))
	}
}

func whoami() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func (j job) report(out io.Writer, p redrive.Plan, r redrive.Result) error {
	if j.JSON {
		return json.NewEncoder(out).Encode(struct {
			Run    string `json:"run,omitempty"`
			Source string `json:"source"`
			Target string `json:"target"`
			DryRun bool   `json:"dry_run"`
			redrive.Result
		}{map[bool]string{false: p.Run}[p.DryRun], j.from, j.to, p.DryRun, r})
	}
	besides := ""
	if r.Quarantined > 0 {
		besides += fmt.Sprintf(", %d to the quarantine", r.Quarantined)
	}
	if r.Archived > 0 {
		besides += fmt.Sprintf(", %d into %s", r.Archived, j.archive)
	}
	elsewhere := ""
	if r.Elsewhere > 0 {
		elsewhere = fmt.Sprintf("; about %d are held by somebody else, and were not seen", r.Elsewhere)
	}
	var err error
	if j.sums != nil {
		_, err = fmt.Fprintln(out, j.sums(r))
	} else if p.DryRun {
		again := "--all --confirm does it"
		if j.chosen {
			again = "--confirm does it"
		}
		if r.Failed > 0 {
			besides += fmt.Sprintf(", %d cannot", r.Failed)
		}
		_, err = fmt.Fprintf(out, "%d would be sent from %s to %s%s; %d do not match%s\nNothing was sent: %s.\n", r.Matched, j.from, j.to, besides, r.Skipped, elsewhere, again)
	} else {
		_, err = fmt.Fprintf(out, "%d matched: %d sent%s, %d deleted, %d left, of them %d that cannot be sent; %d do not match%s\n",
			r.Matched, r.Sent, besides, r.Deleted, r.Left, r.Failed, r.Skipped, elsewhere)
	}
	return err
}

// judge says how the program ends.
func (j job) judge(p redrive.Plan, r redrive.Result, err error) error {
	again := ""
	if r.Why != "" && j.Confirm { // it began
		again = "; to go on: " + j.again
	}
	switch {
	case err != nil:
		return outcome{failed, err.Error() + again}
	case r.Why != "":
		return outcome{left, r.Why + again}
	case r.Matched+r.Quarantined+r.Archived+r.Left+r.Failed == 0:
		return outcome{nothing, "nothing matched"}
	case !j.Confirm && r.Matched+r.Quarantined+r.Archived == 0:
		return outcome{left, "none of these can be sent"}
	case j.Confirm && r.Left > 0:
		return outcome{left, fmt.Sprintf("why some are left: scripts/replay history %s", p.Run)}
	}
	return nil
}

// told warns of messages at which jq failed.
func told(w world, chosen *filter.Filter) {
	if n, first := chosen.Failed(); n > 0 {
		fmt.Fprintf(w.errs, "replay: --jq failed at %d messages, which so do not match; the first is %s\n", n, printable(first))
	}
}

// sayEvery is how often there is a line where lines cannot be written again.
const sayEvery = 5 * time.Second

// progress says how far a run is.
type progress struct {
	out      io.Writer
	terminal bool
	said     time.Time
	pause    string
}

func (p *progress) say(now redrive.Progress) {
	if !p.terminal && now.Pause == p.pause && time.Since(p.said) < sayEvery {
		return
	}
	p.said, p.pause = time.Now(), now.Pause
	line := fmt.Sprintf("%s %d of about %d seen, %d matched, %d sent, %d deleted", bar(now.Seen, now.Total), now.Seen, now.Total, now.Matched, now.Sent, now.Deleted)
	if now.Entries > now.Sent {
		line += fmt.Sprintf(", %d records", now.Entries)
	}
	switch {
	case now.Pause != "":
		line += "; " + now.Pause
	case now.ETA >= 0:
		line += fmt.Sprintf(", %s to go", now.ETA.Round(time.Second))
	}
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// bar shows a share in twenty steps.
func bar(done, all int) string {
	const steps = 20
	n := steps
	if all > done {
		n = steps * done / all
	}
	b := bytes.Repeat([]byte("-"), steps)
	copy(b, bytes.Repeat([]byte("#"), n))
	return "[" + string(b) + "]"
}
