package redrive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// DefaultRate is how many messages a second are sent unless the plan says otherwise.
const DefaultRate = 50

// maxTries is how often a message is tried in a run, if what failed may heal by itself.
const maxTries = 3

// Plan is what a run does.
type Plan struct {
	Run                    string // its name, which the messages carry
	Source, Target         Queue
	SourceName, TargetName string // for the log
	Filter, By             string // for the log: what is replayed, in words, and who does it

	// Unwrap returns the message to be sent for one at rest; nil sends it as it is. One that it cannot
	// unwrap stays, and counts as failed.
	Unwrap func(Message) (Message, error)
	// Match says which messages, unwrapped, are replayed; nil all. One for which it fails stays, and counts as failed.
	Match func(Message) (bool, error)

	Limit  int           // the most messages of the run, all its resumptions together; 0 for all
	Rate   float64       // messages a second, which no second exceeds by more than a tenth; 0 for [DefaultRate]
	Hold   time.Duration // how long received messages are hidden at a time; 0 for [DefaultHold]
	DryRun bool          // only count what matches

	Log      *Log           // may be nil in a dry run only
	Progress func(Progress) // called between batches; nil for none
}

// Result is what a run did.
type Result struct {
	Matched int `json:"matched"` // messages that the run is about
	Sent    int `json:"sent"`    // confirmed by the target, this time
	Deleted int `json:"deleted"` // confirmed by the source, this time, what was sent before included
	Left    int `json:"left"`    // of those that matched, or could not be read: still in the source
	Skipped int `json:"skipped"` // messages that do not match
	Failed  int `json:"failed"`  // of those that are left: refused by the target, or not to be read
	// Elsewhere is about how many messages somebody else held at the end: they were not looked at. SQS is up to a
	// minute late with it, and may still count what this run held.
	Elsewhere int    `json:"elsewhere"`
	Why       string `json:"why,omitempty"` // it stopped early; empty if it saw all of the queue, or reached its limit
}

// Progress is how far a run is.
type Progress struct {
	Result
	Total   int           // messages that were in the source at the beginning, about
	Seen    int           // of those
	Elapsed time.Duration // since the beginning
	ETA     time.Duration // until the end, at this pace; negative if it cannot be told yet
	Pause   string        // why nothing is done at the moment, or empty
}

// Do carries the plan out. When ctx ends it finishes the batch in hand and returns the others to the queue;
// Result.Why tells. An error is one of the source, of the log, or [ErrDenied] of the target. The result holds
// with an error, too: what it says was done is done.
func Do(ctx context.Context, p Plan) (Result, error) {
	if err := p.complete(); err != nil {
		return Result{}, err
	}
	r := &run{
		Plan: p, holds: newHolds(p.Source, p.Hold), pace: pace{rate: p.Rate}, began: time.Now(),
		seen: map[string]bool{}, matched: map[string]bool{}, undeleted: map[string]*held{}, unmarked: map[string]bool{},
	}
	r.pending, r.room = p.Log.sent()
	r.room = p.Limit - r.room
	err := r.begin(ctx)
	if err == nil {
		err = r.work(ctx)
	}
	return r.result, errors.Join(err, r.end(ctx))
}

func (p *Plan) complete() error {
	switch {
	case !runName.MatchString(p.Run):
		return fmt.Errorf("%q is no name of a run", p.Run)
	case p.Source == nil || p.Target == nil && !p.DryRun:
		return errors.New("a run needs a source and a target")
	case p.Log == nil && !p.DryRun:
		return errors.New("a run without a log could not be resumed")
	case p.Rate < 0 || p.Limit < 0 || p.Hold < 0:
		return errors.New("rate, limit and hold are not negative")
	}
	if p.Rate == 0 {
		p.Rate = DefaultRate
	}
	if p.Log.Resumed() {
		if b := p.Log.Begin(); b.Run != p.Run || b.Source != p.SourceName || b.Target != p.TargetName || b.Filter != p.Filter {
			return fmt.Errorf("run %s was %s → %s, filter %q: it cannot be resumed as %s → %s, filter %q",
				b.Run, b.Source, b.Target, b.Filter, p.SourceName, p.TargetName, p.Filter)
		}
	}
	return nil
}

type run struct {
	Plan
	result  Result
	holds   *holds
	pace    pace
	breaker breaker
	began   time.Time
	checked time.Time // when the depth was asked for
	total   int
	pending int // messages that were sent before the run was resumed, and not deleted or seen since
	room    int // messages that may still match, if there is a limit

	seen      map[string]bool  // ids that were counted
	matched   map[string]bool  // those of them that the run is about
	ready     []*held          // to be sent
	again     []*held          // to be sent once more, when the others were
	undeleted map[string]*held // sent, and still in the source
	unmarked  map[string]bool  // digests of what was sent without its run, for want of room
	empty     int              // receives in a row that brought nothing
}

func (r *run) begin(ctx context.Context) error {
	call, cancel := finishing(ctx)
	defer cancel()
	visible, hidden, err := r.Source.Depth(call)
	if err != nil {
		return err
	}
	r.total, r.checked = visible+hidden, time.Now()
	r.breaker.low = r.total
	return r.Log.write(Line{Outcome: Began, Run: r.Run, Source: r.SourceName, Target: r.TargetName, Filter: r.Filter, By: r.By})
}

func (r *run) work(ctx context.Context) error {
	for r.result.Why == "" {
		switch {
		case ctx.Err() != nil:
			r.result.Why = "interrupted"
		case time.Since(r.began) > longest:
			r.result.Why = fmt.Sprintf("SQS hides no message for more than 12 hours, and %v are over", longest)
		case len(r.holds.items) > MaxHeld-MaxBatch:
			r.result.Why = fmt.Sprintf("%d messages are held, and no more can be", len(r.holds.items))
		}
		if r.result.Why != "" {
			break
		}
		r.holds.extend(ctx)
		if err := r.watch(ctx); err != nil {
			return err
		}
		drained, err := r.drained(ctx)
		if err != nil {
			return err
		}
		if len(r.ready) < r.pace.batch() && !drained {
			if err := r.receive(ctx); err != nil {
				return err
			}
			if r.empty == 0 && len(r.ready) < r.pace.batch() {
				continue
			}
		}
		if len(r.ready) == 0 && drained {
			if len(r.again) == 0 {
				return nil
			}
			r.ready, r.again = r.again, nil
		}
		if err := r.send(ctx); err != nil {
			return err
		}
		r.tell("")
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// drained reports whether nothing more is to be received. What a killed run held shows again after the hold only.
func (r *run) drained(ctx context.Context) (bool, error) {
	switch {
	case r.full() && r.pending == 0:
		return true, nil
	case r.empty < empties:
		return false, nil
	case !r.Log.Resumed() || time.Since(r.began) > r.holds.hold:
		return true, nil
	}
	call, cancel := finishing(ctx)
	defer cancel()
	visible, hidden, err := r.Source.Depth(call)
	return visible == 0 && hidden <= len(r.holds.items), err
}

// receive takes messages, and sorts them.
func (r *run) receive(ctx context.Context) error {
	const tries = 5
	for try := 1; ; try++ {
		fresh, came, err := r.holds.receive(ctx)
		if err != nil {
			if errors.Is(err, ErrDenied) || errors.Is(err, ErrRefused) || try == tries {
				return err
			}
			if !r.holds.sleep(ctx, time.Duration(try)*time.Second) {
				return nil
			}
			continue
		}
		if r.empty++; came > 0 {
			r.empty = 0
		}
		var sent []*held
		for _, item := range fresh {
			was, err := r.sort(item)
			if err != nil {
				return err
			}
			if was {
				sent = append(sent, item)
			}
		}
		return r.remove(ctx, sent)
	}
}

// sort says what becomes of a message; sent reports that it was sent before, and has only to be deleted.
func (r *run) sort(item *held) (sent bool, err error) {
	first := !r.seen[item.ID]
	r.seen[item.ID] = true
	switch r.Log.phase(item.ID) {
	case Sent, Deleted:
		if first {
			r.pending--
			r.matched[item.ID] = true
			r.result.Matched++
		}
		return true, nil
	}
	if first && r.full() {
		return false, nil
	}
	m := item.Message
	if r.Unwrap != nil {
		m, err = r.Unwrap(item.Message)
		m.ID, m.Receipt = item.ID, item.Receipt
		if err != nil {
			return false, r.unreadable(item, first, err)
		}
	}
	matches := true
	if r.Match != nil {
		if matches, err = r.Match(m); err != nil {
			return false, r.unreadable(item, first, err)
		}
	}
	switch {
	case !matches:
		if first {
			r.result.Skipped++
		}
		return false, nil
	case first:
		r.matched[item.ID] = true
		r.result.Matched++
		r.room--
	case !r.matched[item.ID]: // beyond the limit
		return false, nil
	}
	item.Message = m
	if why := r.keeps(m); why != "" {
		if !first {
			return false, nil
		}
		return false, r.Log.write(Line{Outcome: Kept, ID: m.ID, SHA256: digest(m.Body), Why: why})
	}
	if !r.DryRun {
		r.ready = append(r.ready, item)
	}
	return false, nil
}

// full reports whether the limit is reached.
func (r *run) full() bool { return r.Limit > 0 && r.room <= 0 }

func (r *run) unreadable(item *held, first bool, why error) error {
	if !first {
		return nil
	}
	r.matched[item.ID] = true
	r.result.Failed++
	return r.Log.write(Line{Outcome: Kept, ID: item.ID, SHA256: digest(item.Body), Why: why.Error()})
}

// keeps is why a message that matches must stay, or empty. One that this run sent, and that is dead again, would
// go round for ever.
func (r *run) keeps(m Message) string {
	if string(m.Attributes[RunAttribute].Value) == r.Run || r.unmarked[digest(m.Body)] {
		if !r.DryRun {
			r.breaker.record(true)
		}
		return "came back: this run sent it, and it was dead-lettered again"
	}
	if n := replays(m); n >= MaxReplays {
		return fmt.Sprintf("was replayed %d times, and came back each time", n)
	}
	return ""
}

// send sends the next batch, and deletes what was confirmed.
func (r *run) send(ctx context.Context) error {
	if len(r.ready) == 0 || !r.holds.sleep(ctx, r.pace.wait()) {
		return nil
	}
	batch, entries, without := r.pack()
	if len(batch) == 0 {
		return nil
	}
	lines := make([]Line, len(batch))
	for i, item := range batch {
		lines[i] = Line{
			Outcome: Sending, ID: item.ID, SHA256: digest(item.Body), Target: r.TargetName, Without: without[i], Count: replays(item.Message) + 1,
		}
		if r.Log.phase(item.ID) == Sending && item.tries == 0 {
			lines[i].Why = "again: it was in flight when the run was killed"
		}
	}
	if err := r.Log.write(lines...); err != nil {
		return err
	}
	r.pace.took(len(batch))
	call, cancel := finishing(ctx)
	defer cancel()
	failed, err := r.Target.Send(call, entries)
	switch {
	case errors.Is(err, ErrDenied):
		return err
	case errors.Is(err, ErrRefused) && len(batch) > 1: // one of them is why; nothing was sent
		for _, item := range batch {
			item.alone = true
		}
		r.ready = append(batch, r.ready...)
		return nil
	case err != nil:
		failed = make(map[int]Failure, len(batch))
		for i := range batch {
			failed[i] = Failure{Code: "no confirmation", Sender: errors.Is(err, ErrRefused)}
		}
	}
	var sent []*held
	for i, item := range batch {
		item.tries++
		f, bad := failed[i]
		r.breaker.record(bad)
		lines[i].Why = ""
		if !bad {
			lines[i].Outcome = Sent
			sent = append(sent, item)
			r.result.Sent++
			if slices.Contains(without[i], RunAttribute) {
				r.unmarked[lines[i].SHA256] = true
			}
			continue
		}
		lines[i].Outcome, lines[i].Why = Failed, f.Code
		if f.Sender || item.tries >= maxTries {
			r.result.Failed++
		} else {
			r.again = append(r.again, item)
		}
	}
	// What was confirmed is deleted even if that cannot be written down: it would be sent twice.
	err = r.Log.write(lines...)
	return errors.Join(err, r.remove(ctx, sent))
}

// pack takes the next batch from what is ready: so many as may be sent at once, and as fit.
func (r *run) pack() (batch []*held, entries []Entry, without [][]string) {
	size := 0
	for len(r.ready) > 0 && len(batch) < r.pace.batch() {
		item := r.ready[0]
		if !time.Now().Before(item.until) { // somebody else may have it; it is received again
			delete(r.holds.items, item.ID)
			r.ready = r.ready[1:]
			continue
		}
		if len(batch) > 0 && item.alone {
			break
		}
		entry, left := mark(item.Message, r.Run)
		if size += entry.size(); len(batch) > 0 && size > MaxBytes {
			break
		}
		batch, entries, without = append(batch, item), append(entries, entry), append(without, left)
		r.ready = r.ready[1:]
		if item.alone {
			break
		}
	}
	return batch, entries, without
}

// remove deletes what was sent. What fails is tried again at the end.
func (r *run) remove(ctx context.Context, sent []*held) error {
	if len(sent) == 0 || r.DryRun {
		return nil
	}
	call, cancel := finishing(ctx)
	defer cancel()
	failed, err := r.Source.Delete(call, messages(sent))
	var lines []Line
	for _, item := range sent {
		if _, bad := failed[item.ID]; bad || err != nil {
			r.undeleted[item.ID] = item
			continue
		}
		delete(r.undeleted, item.ID)
		delete(r.holds.items, item.ID)
		if r.matched[item.ID] { // else it was counted
			delete(r.matched, item.ID)
			r.result.Deleted++
		}
		lines = append(lines, Line{Outcome: Deleted, ID: item.ID, SHA256: digest(item.Body), Target: r.TargetName})
	}
	return r.Log.write(lines...)
}

// watch looks now and then whether the source grows.
func (r *run) watch(ctx context.Context) error {
	if r.DryRun || time.Since(r.checked) < growthEvery {
		return nil
	}
	call, cancel := finishing(ctx)
	defer cancel()
	r.checked = time.Now()
	if visible, hidden, err := r.Source.Depth(call); err == nil { // else the next look says it
		r.breaker.rests(visible + hidden)
	}
	return nil
}

// pause stands still while the breaker is open, or stops the run.
func (r *run) pause(ctx context.Context) error {
	why := r.breaker.why()
	if why == "" {
		return nil
	}
	d, ok := r.breaker.trip()
	if !ok {
		r.result.Why = fmt.Sprintf("%s, after %d pauses", why, len(pauses))
		return nil
	}
	r.tell(fmt.Sprintf("%s: nothing is sent for %v", why, d))
	r.holds.sleep(ctx, d)
	return nil
}

// end deletes what was sent, and returns all else.
func (r *run) end(ctx context.Context) error {
	var errs []error
	for try := range 3 {
		if len(r.undeleted) == 0 || try > 0 && !r.holds.sleep(context.WithoutCancel(ctx), time.Second) {
			break
		}
		for batch := range slices.Chunk(slices.Collect(maps.Values(r.undeleted)), MaxBatch) {
			errs = append(errs, r.remove(ctx, batch))
		}
	}
	keep := map[string]bool{} // not shown: somebody would replay them once more
	for id := range r.undeleted {
		keep[id] = true
	}
	errs = append(errs, r.holds.restore(ctx, keep))
	if n := len(r.undeleted); n > 0 && r.result.Why == "" {
		r.result.Why = fmt.Sprintf("%d messages were sent and could not be deleted: resuming this run deletes them", n)
	}
	r.result.Left = len(r.matched)
	call, cancel := finishing(ctx)
	defer cancel()
	if _, hidden, err := r.Source.Depth(call); err == nil {
		r.result.Elsewhere = max(0, hidden-len(keep))
	}
	r.tell("")
	result := r.result
	return errors.Join(append(errs, r.Log.write(Line{Outcome: Ended, Run: r.Run, Result: &result}))...)
}

func (r *run) tell(pause string) {
	if r.Progress == nil {
		return
	}
	p := Progress{Result: r.result, Total: r.total, Seen: len(r.seen), Elapsed: time.Since(r.began), ETA: -1, Pause: pause}
	p.Left = len(r.matched)
	done := p.Seen - len(r.ready) - len(r.again)
	if done > 0 {
		p.ETA = time.Duration(float64(p.Elapsed) / float64(done) * float64(max(0, p.Total-done)))
	}
	r.Progress(p)
}
