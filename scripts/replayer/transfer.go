package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/dirqueue"
)

// export writes dead letters into a folder.
type export struct {
	where  `embed:""`
	Folder string `arg:"" help:"Where the files go. It is made if it is not there."`
	which  `embed:""`
	how    `embed:""`
	Move   bool `help:"Take them away from the queue, when they are on disk. Wants --confirm."`
}

// Help is shown with --help.
func (export) Help() string {
	return `Writes each message that matches into a file of its own, with all that it has, as JSON that can be read and edited, for its owner only.
It holds data of your users. The messages stay where they are, unless --move is given. Given again, it goes on where it was stopped.

    scripts/replay export fanout-0 letters --tenant acme
    scripts/replay export quarantine quarantined --entity student/stu_4532 --move --confirm`
}

// Run exports.
func (c export) Run(w world) (err error) {
	chosen := c.which != which{} || c.From != ""
	if c.Confirm && !c.Move {
		return outcome{refused, "without --move nothing is taken away, and --confirm is not wanted"}
	}
	if why := c.how.refuse(chosen); why != "" {
		return outcome{refused, why}
	}
	said, err := c.conditions(time.Now())
	if err != nil {
		return err
	}
	said.Command, said.From, said.Limit = "export", c.From, c.Limit
	filter, err := said.filter()
	if err != nil {
		return err
	}
	p, err := w.find(c.Queue, c.stage)
	if err != nil {
		return err
	}
	files := newFolder(c.Folder)
	defer func() { err = errors.Join(err, files.Close()) }()
	if !c.Move {
		return c.copy(w, p, files, said)
	}
	p.named = c.ID
	run := redrive.NewRun(time.Now())
	log, err := w.log(run, c.Confirm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	plan := redrive.Plan{
		Run: run, Source: p.source(), SourceName: p.url, Target: files, TargetName: c.Folder, Archive: files,
		Log: log, Filter: said.text(), Limit: c.Limit,
		Decide: func(ctx context.Context, m redrive.Message) (redrive.Decision, error) {
			l, err := p.decide(ctx, m, filter, nil)
			if err != nil || l.Fate == redrive.Skip {
				return redrive.Decision{}, err
			}
			files.knows(m, p, l)
			return redrive.Decision{Fate: redrive.Archive, Why: "exported"}, nil
		},
	}
	_, err = w.carry(plan, job{
		how: c.how, from: p.Name, to: c.Folder, again: "the same command, given again",
		sums: func(r redrive.Result) string {
			if !c.Confirm {
				return fmt.Sprintf("%d would be moved from %s into %s\nNothing was moved: --confirm does it.", r.Archived, p.Name, c.Folder)
			}
			return fmt.Sprintf("%d moved from %s into %s, %d left", r.Archived, p.Name, c.Folder, r.Left)
		},
	}, filter)
	return err
}

// copy writes the files, and leaves the messages where they are.
func (c export) copy(w world, p place, files *folder, said conditions) error {
	filter, err := said.filter()
	if err != nil {
		return err
	}
	written, failed := 0, 0
	ctx, stop := context.WithCancelCause(w.ctx)
	defer stop(nil)
	_, more, err := redrive.Look(ctx, p.source(), redrive.MaxHeld, func(m redrive.Message) {
		if ctx.Err() != nil {
			return
		}
		l, err := p.decide(ctx, m, filter, nil)
		if err == nil && (l.Fate == redrive.Skip || c.Limit > 0 && written == c.Limit) {
			return
		}
		if err == nil {
			files.knows(m, p, l)
			var bad map[int]redrive.Failure
			bad, err = files.Send(ctx, []redrive.Entry{{ID: m.ID, Body: m.Body, Trace: m.Trace, Attributes: m.Attributes}})
			if f, ok := bad[0]; ok {
				fmt.Fprintf(w.errs, "replay: %s is not written: %s\n", m.ID, f.Code)
				failed++
				return
			}
		}
		if err != nil {
			stop(err)
			return
		}
		written++
	})
	told(w, filter)
	if cause := context.Cause(ctx); cause != nil && w.ctx.Err() == nil {
		return cause
	}
	fmt.Fprintf(w.out, "%d written into %s\n", written, c.Folder)
	switch {
	case err != nil: // perhaps some are still hidden
		return err
	case w.ctx.Err() != nil:
		return outcome{left, "interrupted: the same command, given again, goes on"}
	case more:
		return outcome{left, fmt.Sprintf("more rest there than the %d that can be looked at in one go: --move makes room", redrive.MaxHeld)}
	case failed > 0:
		return outcome{left, fmt.Sprintf("%d are not written", failed)}
	case written == 0:
		return outcome{nothing, "nothing matched"}
	}
	return nil
}

// importing brings back what was exported.
type importing struct {
	Folder string `arg:"" help:"The folder of an export, or of the archive of a run."`
	stage  `embed:""`
	how    `embed:""`
}

// Help is shown with --help.
func (importing) Help() string {
	return `Sends what is in a folder where it belongs, as replay does it, and moves each file to done/ when that is confirmed. What is in a file
and was edited is marked with x-replay-edited-by, and its replays count from the beginning. A file that cannot be read stays, and is
named. Given again, it goes on where it was stopped or killed.

    scripts/replay import letters
    scripts/replay import letters --confirm`
}

// Run imports.
func (c importing) Run(w world) (err error) {
	if why := c.how.refuse(true); why != "" { // the folder is the choice
		return outcome{refused, why}
	}
	files, err := dirqueue.Open(c.Folder)
	if err != nil {
		return outcome{refused, err.Error()}
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	lock, err := os.OpenFile(filepath.Join(c.Folder, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if redrive.Lock(lock) != nil {
		return outcome{refused, "another import of " + c.Folder + " goes on: both would send all of it"}
	}
	named, err := whose(w.ctx, files)
	if err != nil {
		return err
	}
	if strings.Contains(named, "://") {
		return outcome{refused, "a file names the queue that it is of by a URL, which may be of any account: want its name"}
	}
	p, err := w.find(named, c.stage)
	if err != nil {
		return err
	}
	chosen, err := conditions{}.filter()
	if err != nil {
		return err
	}
	run := redrive.NewRun(time.Now())
	log, err := w.log(run, c.Confirm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	path, err := filepath.Abs(c.Folder)
	if err != nil {
		return err
	}
	plan := p.plan(run)
	plan.Source, plan.SourceName = files, path
	plan.Log, plan.Filter, plan.Limit = log, conditions{Command: "import", From: c.From, Limit: c.Limit}.text(), c.Limit
	plan.Decide = func(ctx context.Context, m redrive.Message) (redrive.Decision, error) {
		about := files.About(m)
		if about.From != p.Name {
			return keep("it is of " + about.From + ": a folder is for one queue"), nil
		}
		l, err := p.decide(ctx, m, chosen, nil)
		switch {
		case err != nil || !about.Edited || l.Fate != redrive.Replay:
		case l.Messages != nil:
			l.Decision = keep("it stands for records that are elsewhere: what it says cannot be edited")
		default:
			l.Decision = edited(l.message)
		}
		return l.Decision, err
	}
	_, err = w.carry(plan, job{how: c.how, from: c.Folder, to: p.owner().Target, chosen: true, again: "the same command, given again"}, chosen)
	broken := files.Broken()
	for _, b := range broken {
		fmt.Fprintf(w.errs, "replay: %s\n", printable(b.Error()))
	}
	if len(broken) > 0 && err == nil {
		err = outcome{left, fmt.Sprintf("%d files cannot be read", len(broken))}
	}
	return err
}

// whose is the queue that the first letter of a folder is of.
func whose(ctx context.Context, files *dirqueue.Queue) (string, error) {
	messages, err := files.Receive(ctx, 1, time.Minute)
	if err != nil {
		return "", err
	}
	if broken := files.Broken(); len(messages) == 0 && len(broken) > 0 {
		return "", outcome{left, printable(errors.Join(broken...).Error())}
	}
	if len(messages) == 0 {
		return "", outcome{nothing, "nothing is in it"}
	}
	defer func() { _, _ = files.Hide(ctx, messages, 0) }()
	return cmp.Or(files.About(messages[0]).From, "a queue that its file does not name"), nil
}

// edited is the decision to send a message that somebody edited: it says who, and its replays count anew.
func edited(m redrive.Message) redrive.Decision {
	if m.Attributes == nil {
		m.Attributes = map[string]redrive.Attribute{}
	}
	delete(m.Attributes, redrive.CountAttribute)
	m.Attributes[redrive.EditedAttribute] = redrive.Text(cmp.Or(whoami(), "somebody"))
	if len(m.Attributes) > redrive.MaxAttributes {
		return keep(fmt.Sprintf("it has %d attributes, so there is no room to say who edited it", len(m.Attributes)-1))
	}
	return redrive.Decision{Fate: redrive.Replay, Message: &m}
}
