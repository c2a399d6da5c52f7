package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"
	"github.com/itchyny/gojq"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/filter"
	"github.com/iops-dashboard/live/scripts/replayer/normalizer"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/dirqueue"
)

// edit changes dead letters and sends them where they belong.
type edit struct {
	where `embed:""`
	which `embed:""`

	Set     string   `placeholder:"PROGRAM" help:"A jq program that changes a file as export writes it. Without: $VISUAL or $EDITOR is opened."`
	Most    int      `default:"20" help:"Refuse to edit more than so many at a time."`
	Confirm bool     `help:"With --set: send what was changed. Without: show it."`
	Rate    *float64 `help:"Messages a second, at most. Defaults to 50."`
}

// Help is shown with --help.
func (edit) Help() string {
	return `Changes what is sent for the messages that match, shows the differences, and sends them where they belong, each with the mark
x-replay-edited-by. Their replays count from the beginning. With an editor, it asks before it sends. What would break its contract is not
sent. The messages as they were are kept below .local/replay, where import finds them.

An edited record of the quarantine changes what dashboards show, and not the row in the table: the next write of the row is shown again.

    scripts/replay edit quarantine --entity student/stu_4532
    scripts/replay edit quarantine --entity student/stu_4532 --set '.body.dynamodb.NewImage.health_score.N = "100"' --confirm
    scripts/replay edit fanout-0 --id 0b7e3f62-1c6d-4a53-9d2b-1f0f6a3f2f10 --set 'del(.attributes.custom)'`
}

// Run edits.
func (c edit) Run(w world) (err error) {
	interactive := c.Set == ""
	switch {
	case c.which == which{} && c.From == "":
		return outcome{refused, "which messages? Give a condition, as --entity or --id"}
	case c.Most < 1 || c.Most > 1000 || !rated(c.Rate):
		return outcome{refused, "--most is 1 to 1000, and --rate, too"}
	case interactive && c.Confirm:
		return outcome{refused, "with an editor it is asked before anything is sent: --confirm is for --set"}
	case interactive && !w.terminal:
		return outcome{refused, "there is no terminal for an editor: change them with --set"}
	}
	var program *filter.Program
	if !interactive {
		if program, err = filter.Compile(c.Set); err != nil {
			return outcome{refused, "--set: " + err.Error()}
		}
	}
	said, err := c.conditions(time.Now())
	if err != nil {
		return err
	}
	said.Command, said.From, said.Set = "edit", c.From, c.Set
	if known, err := deadletter.Find(c.Queue, c.Stage); err == nil && known.Kind == deadletter.GivenUp {
		return outcome{refused, "what Lambda gave up is in the store, which keeps it as it is: scripts/replay replay failures brings it back"}
	}
	p, err := w.find(c.Queue, c.stage)
	if err != nil {
		return err
	}
	p.named = c.ID
	d := desk{run: redrive.NewRun(time.Now()), place: p}
	d.files = newFolder(filepath.Join(w.runs, d.run+".edit"))
	defer func() { err = errors.Join(err, d.close(w, interactive && err != nil)) }()
	if err := d.lay(w, said, c.Most); err != nil {
		return err
	}
	if interactive {
		err = d.open(w)
	} else {
		err = d.set(w.ctx, program)
	}
	if err != nil {
		return err
	}
	edits, refusedWhy, err := d.take(w)
	for interactive && err != nil && w.ctx.Err() == nil && w.yes(err.Error()+"\nOpen them again?") {
		if err = d.open(w); err == nil {
			edits, refusedWhy, err = d.take(w)
		}
	}
	if err != nil {
		return err
	}
	if len(edits) == 0 {
		return outcome{left, cmp.Or(refusedWhy, "nothing was changed, and nothing is sent")}
	}
	switch {
	case interactive && !w.yes(fmt.Sprintf("Send %d to %s?", len(edits), p.owner().Target)):
		fmt.Fprintln(w.out, "Nothing was sent.")
		return nil
	case !interactive && !c.Confirm:
		fmt.Fprintf(w.out, "%d would be sent to %s\nNothing was sent: --confirm sends them.\n", len(edits), p.owner().Target)
		return nil
	}
	err = d.send(w, said, edits, how{Confirm: true, Rate: c.Rate, Hold: redrive.DefaultHold})
	if err == nil && refusedWhy != "" {
		err = outcome{left, refusedWhy}
	}
	return err
}

// desk is where messages are edited.
type desk struct {
	run       string
	place     place
	files     *folder                    // as they are sent
	originals map[string]redrive.Message // by id, as they rest
	about     map[string]dirqueue.About  // by id
	before    map[string]string          // by id, the file as it was
}

// close takes the files away, unless there is work in them.
func (d *desk) close(w world, keep bool) error {
	err := d.files.Close()
	if _, missing := os.Stat(d.files.path); keep && missing == nil {
		fmt.Fprintf(w.errs, "replay: what you wrote is in %s; it holds data of your users, so delete it when it is not wanted\n", d.files.path)
		return err
	}
	return errors.Join(err, os.RemoveAll(d.files.path))
}

// lay writes a file for each message that matches.
func (d *desk) lay(w world, said conditions, most int) error {
	chosen, err := said.filter()
	if err != nil {
		return err
	}
	d.originals, d.about, d.before = map[string]redrive.Message{}, map[string]dirqueue.About{}, map[string]string{}
	ctx, stop := context.WithCancelCause(w.ctx)
	defer stop(nil)
	_, more, err := redrive.Look(ctx, d.place.source(), redrive.MaxHeld, func(m redrive.Message) {
		l, err := d.place.decide(ctx, m, chosen, nil)
		if err == nil && l.Fate == redrive.Skip || ctx.Err() != nil {
			return
		}
		if l.foreign {
			fmt.Fprintf(w.errs, "replay: %s is not edited: %s\n", m.ID, l.Why)
			return
		}
		if err == nil && len(d.originals) == most {
			err = outcome{refused, fmt.Sprintf("more than %d match: choose fewer, or allow more with --most", most)}
		}
		if err == nil {
			d.files.knows(m, d.place, l)
			d.originals[m.ID], d.about[m.ID] = m, d.files.about[m.ID]
			var failed map[int]redrive.Failure
			failed, err = d.files.Send(ctx, []redrive.Entry{{ID: m.ID, Body: l.message.Body, Trace: l.message.Trace, Attributes: l.message.Attributes}})
			if f, bad := failed[0]; bad {
				err = fmt.Errorf("%s: %s", m.ID, f.Code)
			}
		}
		if err != nil {
			stop(err)
		}
	})
	told(w, chosen)
	switch cause := context.Cause(ctx); {
	case w.ctx.Err() != nil:
		return outcome{left, "interrupted: nothing was sent"}
	case cause != nil:
		return cause
	case err != nil:
		return err
	case len(d.originals) == 0 && more:
		return outcome{left, fmt.Sprintf("none of the %d that can be looked at in one go matches, and more rest there", redrive.MaxHeld)}
	case len(d.originals) == 0:
		return outcome{nothing, "nothing matched"}
	}
	return d.each(func(path string, text []byte) error {
		d.before[path] = string(text)
		return nil
	})
}

// each visits the files, in the order of their names.
func (d *desk) each(visit func(path string, text []byte) error) error {
	paths, err := filepath.Glob(filepath.Join(d.files.path, "*.json"))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil {
			err = visit(path, text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// set changes each file with a jq program.
func (d *desk) set(ctx context.Context, program *filter.Program) error {
	return d.each(func(path string, text []byte) error {
		document, err := parse(text)
		if err != nil {
			return err
		}
		changed, err := program.One(ctx, document)
		if err != nil {
			return fmt.Errorf("--set: %w", err)
		}
		written, err := gojq.Marshal(changed)
		if err != nil || plain(written) == plain(text) { // it would only be in another order
			return err
		}
		return os.WriteFile(path, written, 0o600)
	})
}

func parse(text []byte) (document any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a float64 would change numbers of many digits
	err = decoder.Decode(&document)
	return document, err
}

// open has an editor change the files.
func (d *desk) open(w world) error {
	editor := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	return d.each(func(path string, _ []byte) error {
		cmd := exec.Command("sh", "-c", editor+` "$1"`, "sh", path) // an editor may have arguments
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		w.deaf.Store(true) // ctrl-C is the editor's
		err := cmd.Run()
		w.deaf.Store(false)
		if err != nil {
			return fmt.Errorf("%s: %w", editor, err)
		}
		return nil
	})
}

// take reads what was changed, and shows it. What would be dead again is not taken; why tells of it.
func (d *desk) take(w world) (edits map[string]redrive.Message, why string, err error) {
	files, err := dirqueue.Open(d.files.path)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	edits = map[string]redrive.Message{}
	for {
		messages, err := files.Receive(w.ctx, redrive.MaxBatch, time.Hour)
		if err != nil {
			return nil, "", err
		}
		if len(messages) == 0 {
			break
		}
		for _, m := range messages {
			if files.About(m).Edited {
				edits[m.ID] = m
			}
		}
	}
	if broken := files.Broken(); len(broken) > 0 {
		return nil, "", errors.Join(broken...)
	}
	err = d.each(func(path string, text []byte) error {
		before, after := plain([]byte(d.before[path])), plain(text)
		if before == after {
			return nil
		}
		id := strings.TrimSuffix(filepath.Base(path), ".json")
		_, err := fmt.Fprintln(w.out, colourless(udiff.Unified(id+" as it is", id+" as it would be sent", before, after)))
		return err
	})
	for id, m := range edits {
		if broken := d.place.breaks(m); broken != nil {
			why = fmt.Sprintf("%s is not sent, it would be dead again: %v", id, broken)
			fmt.Fprintln(w.errs, "replay:", why)
			delete(edits, id)
		}
	}
	return edits, why, err
}

// breaks is why a message that was edited would fail where it is sent.
func (p place) breaks(m redrive.Message) error {
	owner := p.owner()
	if owner.Kind == deadletter.Quarantined {
		_, _, err := normalizer.Unmark(m.Body)
		return err
	}
	_, _, err := owner.Read(m)
	return err
}

// plain is a file with its members in the order of the alphabet, so that what was only moved is no difference.
func plain(text []byte) string {
	document, err := parse(text)
	if err != nil {
		return string(text)
	}
	ordered, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return string(text)
	}
	return string(ordered) + "\n"
}

// colourless keeps what a body says from steering the terminal.
func colourless(diff string) string {
	lines := strings.Split(diff, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// send sends the edited messages. Each is kept as it was before.
func (d *desk) send(w world, said conditions, edits map[string]redrive.Message, h how) (err error) {
	log, err := w.log(d.run, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	kept := w.archive(d.run)
	defer func() { err = errors.Join(err, kept.Close()) }()
	plan := d.place.plan(d.run)
	plan.Log, plan.Filter, plan.Quarantine = log, said.text(), nil
	plan.Decide = func(ctx context.Context, m redrive.Message) (redrive.Decision, error) {
		changed, ok := edits[m.ID]
		if !ok || m.Body != d.originals[m.ID].Body {
			return redrive.Decision{}, nil
		}
		kept.about[m.ID] = d.about[m.ID]
		failed, err := kept.Send(ctx, []redrive.Entry{{ID: m.ID, Body: m.Body, Trace: m.Trace, Attributes: m.Attributes}})
		if f, bad := failed[0]; bad {
			return keep("as it was it cannot be kept: " + f.Code), nil
		}
		return edited(changed), err
	}
	chosen, err := said.filter()
	if err != nil {
		return err
	}
	_, err = w.carry(plan, job{
		how: h, from: d.place.Name, to: d.place.owner().Target, chosen: true, again: "the same command, given again",
		sums: func(r redrive.Result) string {
			return fmt.Sprintf("%d sent to %s, %d left; as they were they are kept in %s", r.Sent, d.place.owner().Target, r.Left, kept.path)
		},
	}, chosen)
	return err
}

// yes asks on the terminal.
func (w world) yes(question string) bool {
	fmt.Fprintf(w.errs, "%s [y/N] ", question)
	said := make(chan string, 1)
	go func() { // it ends with the program, if nobody answers
		var answer string
		_, _ = fmt.Fscanln(os.Stdin, &answer)
		said <- answer
	}()
	select {
	case answer := <-said:
		return answer == "y" || answer == "Y" || answer == "yes"
	case <-w.ctx.Done():
		fmt.Fprintln(w.errs)
		return false
	}
}
