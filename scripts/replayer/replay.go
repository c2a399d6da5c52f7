package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/filter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/sqsqueue"
)

// replay sends dead letters to the queue that they missed.
type replay struct {
	Queue   string `arg:"" optional:"" help:"Where they rest: as fanout-0 or fanout-0-subscription, or the name or URL of the queue."`
	Stage   string `default:"prod" help:"The stage, if the queue is named as fanout-0."`
	which   `embed:""`
	Limit   int     `help:"Send no more than so many."`
	Confirm bool    `help:"Do it. Without: say how many would be sent."`
	All     bool    `help:"Wanted besides --confirm where neither a condition nor a limit is given."`
	Rate    float64 `default:"50" help:"Messages a second, at most."`
	Resume  string  `placeholder:"RUN" help:"Go on with a run that was interrupted or killed: with its queue, conditions and limit."`
	JSON    bool    `name:"json" help:"Write the result as JSON."`
}

// Help is shown with --help.
func (replay) Help() string {
	return `Sends what matches all conditions to the queue that it missed, and deletes it when that queue has confirmed it. All attributes stay, but
for the reason of an earlier failure; x-replay-run and x-replay-count are added where there is room for them. What was delivered in an
envelope of SNS is taken out of it. What was replayed three times already is left: its cause is not mended.

It stands still when a fifth of the latest messages failed, or when dead letters come faster than they go, and stops if that does not
end. ctrl-C finishes the batch in hand, and makes visible again what was not sent. A run is written down in .local/replay, with a hash of
each body: --resume goes on with it, also after it was killed. Then what was in flight, a batch, may be sent twice, which is harmless.

    scripts/replay replay fanout-0 --cause unreadable                       say how many would be sent
    scripts/replay replay fanout-0 --entity student/stu_4532 --confirm
    scripts/replay replay fanout-0 --since 2026-01-31T12:00:00Z --until 2026-01-31T14:00:00Z --confirm
    scripts/replay replay fanout-0-subscription --all --confirm --rate 100
    scripts/replay replay --resume 20260131T120000Z-3f2a --confirm

Not while the cause is there: they would be back in minutes.`
}

// conditions are which of a run, as its log keeps them. Times are absolute there.
type conditions struct {
	JQ     string     `json:"jq,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	Cause  string     `json:"cause,omitempty"`
	Entity string     `json:"entity,omitempty"`
	Tenant string     `json:"tenant,omitempty"`
	Limit  int        `json:"limit,omitempty"`
}

func (c conditions) text() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // jq programs have < and >
	_ = e.Encode(c)
	return string(bytes.TrimSpace(b.Bytes()))
}

// refuse says what must not be begun, or nothing.
func (c replay) refuse() string {
	given := c.which != which{} || c.Limit != 0
	switch {
	case c.Resume == "" && c.Queue == "":
		return "which dead letters? Name a queue, as fanout-0"
	case c.Resume != "" && (given || c.Queue != "" || c.All):
		return "a run that is resumed has its queue, conditions and limit"
	case c.Resume != "" && !c.Confirm:
		return "to resume a run is to send: add --confirm"
	case c.All && given:
		return "--all is for a run without conditions and limit, and this one has some"
	case c.Resume == "" && c.Confirm && !given && !c.All:
		return "this would replay all that rests there: add --all if that is wanted, or a condition; without --confirm it says how many there are"
	case c.Limit < 0 || c.Rate < 1 || c.Rate > 1000:
		return "--limit is not negative, and --rate is 1 to 1000"
	}
	return ""
}

// Run replays.
func (c replay) Run(w world) (err error) {
	if why := c.refuse(); why != "" {
		return outcome{refused, why}
	}
	run, queue := cmp.Or(c.Resume, redrive.NewRun(time.Now())), c.Queue
	var log *redrive.Log
	defer func() { err = errors.Join(err, log.Close()) }()
	if c.Resume != "" {
		if _, err := os.Stat(filepath.Join(w.runs, run+".jsonl")); err != nil {
			return outcome{refused, fmt.Sprintf("there is no run %s in %s; scripts/replay history lists them", run, w.runs)}
		}
		if log, err = redrive.Open(w.runs, run); err != nil {
			return err
		}
		queue = log.Begin().Source
	}
	said, err := c.conditions(log)
	if err != nil {
		return err
	}
	chosen, err := said.which().filter(time.Now())
	if err != nil {
		return err
	}
	place, err := where{queue, c.Stage}.find(w.ctx)
	if err != nil {
		return err
	}
	if c.Confirm && log == nil {
		if log, err = redrive.Open(w.runs, run); err != nil {
			return err
		}
	}
	plan := place.plan(w, chosen)
	plan.Run, plan.Log, plan.Filter, plan.By = run, log, said.text(), whoami()
	plan.Limit, plan.Rate, plan.DryRun = said.Limit, c.Rate, !c.Confirm
	line := &progress{out: w.errs, terminal: w.terminal}
	plan.Progress = line.say
	if c.Confirm {
		fmt.Fprintf(w.errs, "run %s: %s → %s, at most %g a second; %s\n", run, place.Name, place.Target, c.Rate, log.Path())
	}
	result, err := redrive.Do(w.ctx, plan)
	line.end()
	told(w, chosen)
	if err := c.report(w.out, place, plan, result); err != nil {
		return err
	}
	return c.judge(run, result, err)
}

// conditions are those of the options, or of the run that is resumed.
func (c replay) conditions(log *redrive.Log) (said conditions, err error) {
	if log.Resumed() {
		if err := json.Unmarshal([]byte(log.Begin().Filter), &said); err != nil {
			return said, fmt.Errorf("run %s cannot be resumed: its conditions cannot be read: %w", c.Resume, err)
		}
		return said, nil
	}
	said = conditions{JQ: c.JQ, Cause: c.Cause, Entity: c.Entity, Tenant: c.Tenant, Limit: c.Limit}
	now := time.Now()
	for _, t := range []struct {
		option, text string
		to           **time.Time
	}{{"--since", c.Since, &said.Since}, {"--until", c.Until, &said.Until}} {
		at, err := instant(t.option, t.text, now)
		if err != nil {
			return said, err
		}
		if !at.IsZero() {
			at = at.UTC()
			*t.to = &at
		}
	}
	return said, nil
}

func (c conditions) which() which {
	w := which{JQ: c.JQ, Cause: c.Cause, Entity: c.Entity, Tenant: c.Tenant}
	if c.Since != nil {
		w.Since = c.Since.Format(time.RFC3339Nano)
	}
	if c.Until != nil {
		w.Until = c.Until.Format(time.RFC3339Nano)
	}
	return w
}

// plan moves from the place to its target what is chosen. The queues are named by URL, which tells account and Region.
func (f found) plan(w world, chosen *filter.Filter) redrive.Plan {
	var letter deadletter.Letter // of the message in hand: its cause is not part of what is sent
	return redrive.Plan{
		Source: sqsqueue.New(f.client, f.url), SourceName: f.url,
		Target: sqsqueue.New(f.client, f.target), TargetName: f.target,
		Unwrap: func(m redrive.Message) (redrive.Message, error) {
			letter = f.Read(m)
			return f.Restore(m)
		},
		Match: func(m redrive.Message) (bool, error) {
			ok, err := chosen.Match(w.ctx, letter, m)
			if ok && f.Foreign(m) {
				return false, errors.New("it came from another queue than " + f.Target)
			}
			return ok, err
		},
	}
}

func whoami() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func (c replay) report(out io.Writer, place found, plan redrive.Plan, r redrive.Result) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(struct {
			Run    string `json:"run,omitempty"`
			Source string `json:"source"`
			Target string `json:"target"`
			DryRun bool   `json:"dry_run"`
			redrive.Result
		}{map[bool]string{false: plan.Run}[plan.DryRun], place.Name, place.Target, plan.DryRun, r})
	}
	elsewhere := ""
	if r.Elsewhere > 0 {
		elsewhere = fmt.Sprintf("; about %d were hidden by somebody else, and not looked at", r.Elsewhere)
	}
	if plan.DryRun {
		again := "--confirm sends them"
		if (c.which == which{}) && c.Limit == 0 {
			again = "--all --confirm sends them"
		}
		_, err := fmt.Fprintf(out, "%d would be sent from %s to %s, %d do not match%s\nNothing was sent: %s.\n", r.Matched, place.Name, place.Target, r.Skipped, elsewhere, again)
		return err
	}
	_, err := fmt.Fprintf(out, "%d matched: %d sent, %d deleted, %d left, of them %d that cannot be sent; %d do not match%s\n",
		r.Matched, r.Sent, r.Deleted, r.Left, r.Failed, r.Skipped, elsewhere)
	return err
}

// judge says how the program ends.
func (c replay) judge(run string, r redrive.Result, err error) error {
	resume := ""
	if c.Confirm {
		resume = fmt.Sprintf("; to go on: scripts/replay replay --resume %s --confirm", run)
	}
	switch {
	case err != nil:
		return outcome{failed, err.Error() + resume}
	case r.Why != "":
		return outcome{left, r.Why + resume}
	case r.Matched == 0 && r.Left == 0:
		return outcome{nothing, "nothing matched"}
	case c.Confirm && r.Left > 0:
		return outcome{left, "the log of the run says why some are left: look for kept and failed"}
	}
	return nil
}

// told warns of messages at which jq failed.
func told(w world, chosen *filter.Filter) {
	if n, first := chosen.Failed(); n > 0 {
		fmt.Fprintf(w.errs, "replay: --jq failed at %d messages, which so do not match: %s\n", n, printable(first))
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
	switch {
	case now.Pause != "":
		line += "; " + now.Pause
	case now.ETA >= 0:
		line += fmt.Sprintf(", %s left", now.ETA.Round(time.Second))
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
