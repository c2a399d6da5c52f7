package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/movetask"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// replay brings dead letters back.
type replay struct {
	Queue string `arg:"" optional:"" help:"Where they rest: fanout-0, fanout-0-subscription, quarantine or failures, or the name or URL of the queue."`
	stage `embed:""`
	which `embed:""`
	how   `embed:""`

	SkipSuperseded bool   `help:"Archive what is older than what the state table has of its entity."`
	Native         bool   `help:"Have SQS itself move the whole queue, as fast as it likes unless there is a --rate: without marks, checks and log."`
	Resume         string `placeholder:"RUN" help:"Go on with a run that was interrupted or killed: with its queue, conditions and limit."`
}

// Help is shown with --help.
func (replay) Help() string {
	return `Sends what matches all conditions where it belongs, and deletes it when that is confirmed. Events go to the queue that they missed,
and records to the normalizer. Of what Lambda gave up it gets the records that the store kept, or else the stream still has, or else the
rows of the table as they are now. All attributes stay, but for the reason of an earlier failure; x-replay-run, x-replay-count and
x-replay-of are added where there is room for them. What was delivered in an envelope of SNS is taken out of it.

What nobody can read, or was replayed three times already, goes to the quarantine with its reason. What is of a newer major version than
this program stays.

It stands still when a fifth of the latest messages failed, or when dead letters come faster than they go, and stops if that does not
end. ctrl-C finishes the batch in hand, and makes visible again what was not sent. A run is written down in .local/replay, with a hash of
each body: --resume goes on with it, also after it was killed. Then what was in flight, a batch, may be sent twice, and the records of a given-up batch begin anew: that is harmless.

    scripts/replay replay fanout-0 --cause unreadable                       say how many would be sent
    scripts/replay replay fanout-0 --entity student/stu_4532 --confirm
    scripts/replay replay fanout-0 --since 2026-01-31T12:00:00Z --until 2026-01-31T14:00:00Z --confirm
    scripts/replay replay fanout-0-subscription --all --confirm --rate 100
    scripts/replay replay quarantine --from fanout-0 --confirm
    scripts/replay replay failures --all --confirm
    scripts/replay replay --resume 20260131T120000Z-3f2a --confirm

Not while the cause is there: they would be back in minutes.`
}

// refuse says what must not be begun, or nothing.
func (c replay) refuse() string {
	chosen := c.which != which{} || c.From != ""
	switch {
	case c.Resume == "" && c.Queue == "":
		return "which dead letters? Name a queue, as fanout-0"
	case c.Resume != "" && (chosen || c.Limit != 0 || c.Queue != "" || c.All || c.SkipSuperseded || c.Native):
		return "a run that is resumed has its queue, conditions and limit"
	case c.Resume != "" && !c.Confirm:
		return "to resume a run is to send: add --confirm"
	case c.Native && (chosen || c.Limit != 0 || c.SkipSuperseded):
		return "SQS moves the whole queue: --native goes with no condition, no limit and no --skip-superseded"
	case c.Native && rateOr(c.Rate, 0) > movetask.MaxRate:
		return fmt.Sprintf("SQS moves %d a second at most: give a lower --rate, or none", movetask.MaxRate)
	}
	return c.how.refuse(chosen || c.Resume != "")
}

// Run replays.
func (c replay) Run(w world) (err error) {
	if why := c.refuse(); why != "" {
		return outcome{refused, why}
	}
	if c.Native {
		return c.native(w)
	}
	run := c.Resume
	if run == "" {
		run = redrive.NewRun(time.Now())
	} else if _, err := os.Stat(filepath.Join(w.runs, run+".jsonl")); err != nil {
		return outcome{refused, fmt.Sprintf("there is no run %s in %s; scripts/replay history lists them", run, w.runs)}
	}
	var log *redrive.Log // of a new run not before it is known to begin
	defer func() { err = errors.Join(err, log.Close()) }()
	if c.Resume != "" {
		if log, err = redrive.Open(w.runs, run); err != nil {
			return err
		}
	}
	queue, said, err := c.about(log)
	if err != nil {
		return err
	}
	chosen, err := said.filter()
	if err != nil {
		return err
	}
	p, err := w.find(queue, stage{c.Stage, said.From})
	if err != nil {
		return err
	}
	p.named = said.ID
	var newer newer
	if said.SkipSuperseded {
		if newer, err = p.newer(); err != nil {
			return err
		}
	}
	if log == nil {
		if log, err = w.log(run, c.Confirm); err != nil {
			return err
		}
	}
	archive := w.archive(run)
	defer func() { err = errors.Join(err, archive.Close()) }()
	plan := p.plan(run)
	plan.Log, plan.Filter, plan.Limit, plan.Archive = log, said.text(), said.Limit, archive
	plan.Decide = func(ctx context.Context, m redrive.Message) (redrive.Decision, error) {
		l, err := p.decide(ctx, m, chosen, newer)
		if l.Fate == redrive.Archive {
			archive.knows(m, p, l)
		}
		return l.Decision, err
	}
	j := job{
		how: c.how, from: p.Name, to: p.owner().Target, chosen: said != conditions{}, archive: archive.path,
		again: fmt.Sprintf("scripts/replay replay --resume %s --confirm", run),
	}
	r, err := w.carry(plan, j, chosen)
	if len(p.forgotten) == 0 || r.Why != "" {
		return err
	}
	if failed := c.remember(w, p, j); failed != nil || r.Left == len(p.forgotten) {
		return failed
	}
	return err
}

// log opens the log of a run that is to be done; none of a dry one.
func (w world) log(run string, confirm bool) (*redrive.Log, error) {
	if !confirm {
		return nil, nil
	}
	return redrive.Open(w.runs, run)
}

// about says which queue and conditions the run is about: those of the options, or of the run that is resumed.
func (c replay) about(log *redrive.Log) (queue string, said conditions, err error) {
	if c.Resume == "" {
		said, err = c.conditions(time.Now())
		said.From, said.Limit, said.SkipSuperseded = c.From, c.Limit, c.SkipSuperseded
		return c.Queue, said, err
	}
	if log.Begin().Run == "" {
		return "", said, outcome{refused, fmt.Sprintf("run %s never began: give the command again", c.Resume)}
	}
	if err := json.Unmarshal([]byte(log.Begin().Filter), &said); err != nil {
		return "", said, fmt.Errorf("run %s cannot be resumed: its conditions cannot be read: %w", c.Resume, err)
	}
	if said.Command != "" {
		return "", said, outcome{refused, fmt.Sprintf("run %s was of scripts/replay %s: the same command, given again, goes on with it", c.Resume, said.Command)}
	}
	return log.Begin().Source, said, nil
}
