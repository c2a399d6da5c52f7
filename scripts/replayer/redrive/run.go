package redrive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// DefaultRate is how many messages a second are sent unless the plan says otherwise.
const DefaultRate = 50

const interrupted = "interrupted"

// maxTries is how often a message is tried in a run, if what failed may heal by itself.
const maxTries = 3

// grace is how much later than it should a message may show again: some receives.
const grace = 5 * time.Second

// Plan is what a run does.
type Plan struct {
	Run                    string // its name, which the messages carry
	Source                 Queue
	Target                 Sink
	SourceName, TargetName string // for the log
	Filter, By             string // for the log: what is replayed, in words, and who does it

	// Decide says what becomes of a message; nil replays all as they are. A message that this run sent and that is
	// dead again is kept, whatever its fate; one that was replayed [MaxReplays] times is quarantined. An error
	// ends the run, but for that of ctx.
	Decide func(ctx context.Context, m Message) (Decision, error)

	// Quarantine and Archive may be nil: then what should go there is kept. Quarantined makes the form that the
	// quarantine wants; nil sends the message as it is, and one for which it fails is kept. Neither bears marks,
	// and the rate is not theirs.
	Quarantine, Archive Sink
	Quarantined         func(m Message, why string) (Entry, error)

	Limit  int           // the most messages of the run, all its resumptions together; 0 for all
	Rate   float64       // messages a second, which no second exceeds by more than a tenth; 0 for [DefaultRate]
	Hold   time.Duration // how long received messages are hidden at a time; 0 for [DefaultHold]
	DryRun bool          // only count what matches

	Log      *Log           // may be nil in a dry run only
	Progress func(Progress) // called between batches; nil for none
}

// Result is what a run did, or would do if it is a dry one: that moves nothing, but counts by fate.
type Result struct {
	Matched     int `json:"matched"`     // messages whose fate is to be replayed
	Sent        int `json:"sent"`        // of those: confirmed by the target, this time
	Entries     int `json:"entries"`     // that the target confirmed, this time: several may stand for one message
	Quarantined int `json:"quarantined"` // confirmed by the quarantine, and deleted
	Archived    int `json:"archived"`    // confirmed by the archive, and deleted
	Deleted     int `json:"deleted"`     // confirmed by the source, this time, of whatever fate, what was sent before included
	Left        int `json:"left"`        // of whatever fate but skipped: still in the source
	Skipped     int `json:"skipped"`     // messages that do not match
	Failed      int `json:"failed"`      // of those that are left: refused where they were to go, or kept
	// Elsewhere is about how many messages of those that were there at the beginning were not seen, where the run looked
	// at all that it could: somebody else holds them.
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
// Result.Why tells. An error is one of the source, of the log, of Decide, or [ErrDenied] of a sink. The result
// holds with an error, too: what it says was done is done.
func Do(ctx context.Context, p Plan) (Result, error) {
	if err := p.complete(); err != nil {
		return Result{}, err
	}
	r := &run{
		Plan: p, holds: newHolds(p.Source, p.Hold), pace: pace{rate: p.Rate}, began: time.Now(), came: time.Now(),
		lanes: []*lane{{fate: Replay, sink: p.Target}, {fate: Quarantine, sink: p.Quarantine}, {fate: Archive, sink: p.Archive}},
		seen:  map[string]bool{}, matched: map[string]bool{}, failed: map[string]bool{}, lapsed: map[string]time.Time{},
		undeleted: map[string]*held{}, unmarked: p.Log.unmarkedBodies(),
	}
	defer r.close()
	r.pending, r.room = p.Log.sent()
	r.room = p.Limit - r.room
	err := r.begin(ctx)
	if err == nil {
		err = r.work(ctx)
	}
	if err != nil && r.result.Why == "" {
		r.result.Why = err.Error()
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
	case !(p.Rate >= 0) || p.Limit < 0 || p.Hold < 0: // NaN is not
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

	lanes       []*lane
	finished    []*held              // of which nothing more comes
	seen        map[string]bool      // ids that were looked at
	matched     map[string]bool      // those of them that are not skipped, and not deleted
	failed      map[string]bool      // those of them that will not go
	lapsed      map[string]time.Time // until when those are hidden that may be lost to somebody else
	undeleted   map[string]*held     // sent, and still in the source
	undeletable error                // the latest cause of that
	unmarked    map[string]bool      // digests of what was sent without its run, for want of room
	empty       int                  // receives in a row that brought nothing
	came        time.Time            // when one brought something, or the beginning
	unseen      int                  // how many did not come in time
}

func (r *run) begin(ctx context.Context) error {
	err := r.Log.write(Line{Outcome: Began, Run: r.Run, Source: r.SourceName, Target: r.TargetName, Filter: r.Filter, By: r.By, Hold: r.holds.hold.Seconds()})
	if err != nil {
		return err
	}
	call, cancel := finishing(ctx)
	defer cancel()
	visible, hidden, err := r.Source.Depth(call)
	if err != nil {
		return err
	}
	r.total, r.checked = visible+hidden, time.Now()
	r.breaker.low = r.total
	return nil
}

func (r *run) work(ctx context.Context) error {
	for r.result.Why == "" {
		switch {
		case ctx.Err() != nil:
			r.result.Why = interrupted
		case time.Since(r.began) > longest:
			r.result.Why = fmt.Sprintf("SQS hides no message for more than 12 hours, and %v are over", longest)
		case len(r.holds.items) > MaxHeld-MaxBatch:
			r.result.Why = fmt.Sprintf("%d messages are held that do not match, or could not be deleted, and no more can be: conditions that more of them meet make room, or export --move", len(r.holds.items))
		}
		if r.result.Why != "" {
			break
		}
		r.holds.extend(ctx)
		r.watch(ctx)
		drained, err := r.drained(ctx)
		if err != nil {
			return err
		}
		if target := r.lanes[0]; target.waiting() < r.batch(target) && !drained {
			if err := r.receive(ctx); err != nil {
				return err
			}
		}
		idle := true
		for _, l := range r.lanes {
			l.retry(drained)
			if drained || r.empty > 0 || l.waiting() >= r.batch(l) {
				if err := r.send(ctx, l); err != nil {
					return err
				}
			}
			idle = idle && l.waiting()+len(l.again) == 0
		}
		r.tell("")
		if drained && idle && len(r.lapsed) == 0 {
			if !r.full() {
				r.result.Elsewhere = max(0, r.total-len(r.seen))
			}
			if r.unseen > 0 {
				r.result.Why = fmt.Sprintf("about %d messages were not seen: somebody else may hold them", r.unseen)
			}
			return nil
		}
		r.pause(ctx)
	}
	return nil
}

// drained reports whether nothing more is to be received. What a killed run held shows again after the hold only, and so
// does what this one lost, also where the answer to a receive was lost: then fewer were seen than there were.
func (r *run) drained(ctx context.Context) (bool, error) {
	for id, until := range r.lapsed {
		if time.Since(until) > r.holds.hold { // somebody else has it
			delete(r.lapsed, id)
		}
	}
	switch {
	case len(r.lapsed) > 0:
		return false, nil
	case r.full() && r.pending == 0:
		return true, nil
	case r.empty < empties:
		return false, nil
	case !r.Log.Resumed() && (r.DryRun || len(r.seen) >= r.total):
		return true, nil
	case time.Since(r.came) > max(r.holds.hold, r.Log.longestHold())+grace:
		r.unseen = max(r.pending, r.total-len(r.seen))
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
		if ctx.Err() != nil { // they are returned like all others
			return nil
		}
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
			r.empty, r.came = 0, time.Now()
		}
		if r.empty > empties { // not every queue waits for what shows again
			r.tell("what is hidden is waited for")
			r.holds.sleep(ctx, time.Second)
		}
		var gone []*held
		for _, item := range fresh {
			was, err := r.sort(ctx, item)
			if err != nil {
				return err
			}
			if was {
				gone = append(gone, item)
			}
		}
		return r.remove(ctx, gone)
	}
}

// sort gives a message its fate; gone reports that it went where it sends it before, and has only to be deleted.
func (r *run) sort(ctx context.Context, item *held) (gone bool, err error) {
	first := !r.seen[item.ID]
	r.seen[item.ID] = true
	delete(r.lapsed, item.ID)
	if phase := r.Log.phase(item.ID); phase.gone() || phase == Deleted {
		item.fate = phase.fate()
		if first {
			r.matched[item.ID] = true
			if phase.gone() {
				r.pending--
			}
			if item.fate == Replay {
				r.result.Matched++
			}
		}
		return true, nil
	}
	if first && r.full() || !first && !r.matched[item.ID] {
		item.forget()
		return false, nil
	}
	d, err := r.decide(ctx, item.Message)
	switch {
	case ctx.Err() != nil:
		return false, nil
	case err != nil:
		return false, err
	case d.Fate == Skip:
		if first {
			r.result.Skipped++
		}
		item.forget()
		return false, nil
	case d.Fate == Keep:
		r.fail(item)
		line := Line{Outcome: Kept, ID: item.ID, SHA256: digest(item.Body), Why: d.Why}
		item.forget()
		return false, r.Log.write(line)
	}
	if first {
		r.matched[item.ID] = true
		r.room--
		switch {
		case d.Fate == Replay:
			r.result.Matched++
		case r.DryRun && d.Fate == Quarantine:
			r.result.Quarantined++
		case r.DryRun && d.Fate == Archive:
			r.result.Archived++
		}
	}
	if r.DryRun {
		item.forget()
		return false, nil
	}
	item.contents = contents{fate: d.Fate, why: d.Why, message: item.Message}
	if d.Fate == Replay {
		item.several = d.Messages
		if d.Message != nil {
			item.message = *d.Message
		}
	}
	for _, l := range r.lanes {
		if l.fate == d.Fate {
			l.ready = append(l.ready, item)
		}
	}
	return false, nil
}

// full reports whether the limit is reached.
func (r *run) full() bool { return r.Limit > 0 && r.room <= 0 }

// fail says that a message stays.
func (r *run) fail(item *held) {
	r.matched[item.ID], r.failed[item.ID] = true, true
	r.result.Failed = len(r.failed)
}

// decide is Decide, and what holds whatever it says: what this run sent, and is dead again, would go round for ever.
func (r *run) decide(ctx context.Context, m Message) (d Decision, err error) {
	d.Fate = Replay
	if r.Decide != nil {
		if d, err = r.Decide(ctx, m); err != nil {
			return d, err
		}
	}
	if d.Fate == Replay {
		sent := m
		if d.Message != nil {
			sent = *d.Message
		}
		switch {
		case r.cameBack(m) || r.cameBack(sent):
			if !r.DryRun {
				r.breaker.record(Replay, true)
			}
			d = Decision{Fate: Keep, Why: "came back: this run sent it, and it was dead-lettered again"}
		case Replays(sent) >= MaxReplays: // who takes the count off has it begin anew
			d = Decision{Fate: Quarantine, Why: fmt.Sprintf("was replayed %d times, and came back each time", Replays(sent))}
		}
	}
	if d.Fate == Quarantine && r.Quarantine == nil || d.Fate == Archive && r.Archive == nil {
		d.Fate = Keep
	}
	return d, nil
}

func (r *run) cameBack(m Message) bool {
	return string(m.Attributes[RunAttribute].Value) == r.Run || r.unmarked[digest(m.Body)]
}

// batch is how many entries may go down a lane at once.
func (r *run) batch(l *lane) int {
	if l.fate == Replay {
		return r.pace.batch()
	}
	return MaxBatch
}

// send sends the next batch of a lane, and deletes what was confirmed.
func (r *run) send(ctx context.Context, l *lane) error {
	if l.waiting() == 0 || l.fate == Replay && !r.holds.sleep(ctx, r.pace.wait()) {
		return nil
	}
	batch := r.pack(ctx, l)
	if len(batch) == 0 {
		return r.conclude(ctx, nil)
	}
	var lines []Line
	entries := make([]Entry, len(batch))
	for i, p := range batch {
		entries[i] = p.Entry
		if p.item.logged {
			continue
		}
		p.item.logged = true
		line := r.line(Sending, p.item)
		if r.Log.phase(p.item.ID) == Sending && p.tries == 0 {
			line.Why = "again: it was in flight when the run was killed, or lost its hold of it"
		}
		lines = append(lines, line)
	}
	if err := r.Log.write(lines...); err != nil {
		return err
	}
	if l.fate == Replay {
		r.pace.took(len(batch))
	}
	call, cancel := finishing(ctx)
	defer cancel()
	failed, err := l.sink.Send(call, entries)
	switch {
	case errors.Is(err, ErrDenied):
		return err
	case errors.Is(err, ErrRefused) && len(batch) > 1: // one of them is why; nothing was sent
		for _, p := range batch {
			p.alone = true
		}
		l.spare = append(batch, l.spare...)
		return nil
	case err != nil:
		failed = make(map[int]Failure, len(batch))
		for i := range batch {
			failed[i] = Failure{Code: "no confirmation", Sender: errors.Is(err, ErrRefused)}
		}
	}
	lines = nil
	for i, p := range batch {
		p.tries++
		f, bad := failed[i]
		r.breaker.record(l.fate, bad)
		if bad {
			line := r.line(Failed, p.item)
			line.Why = f.Code
			lines = append(lines, line)
			p.item.logged = false
			if !f.Sender && p.tries < maxTries {
				l.again = append(l.again, p)
				continue
			}
			p.item.refused = true
		} else if l.fate == Replay {
			r.result.Entries++
			if p.unmarked {
				r.unmarked[digest(p.Body)] = true
			}
		}
		p.item.open--
		r.settle(p.item)
	}
	return r.conclude(ctx, lines)
}

// line is a line of the log about a message.
func (r *run) line(o Outcome, item *held) Line {
	line := Line{Outcome: o, ID: item.ID, SHA256: item.digest, Count: item.count, Without: item.without}
	if line.SHA256 == "" {
		line.SHA256 = digest(item.Body)
	}
	if item.fate == Replay {
		line.Target = r.TargetName
	}
	return line
}

// settle notes a message if nothing more comes of it.
func (r *run) settle(item *held) {
	if item.settled() {
		r.finished = append(r.finished, item)
	}
}

// conclude writes lines, and what became of the messages of which nothing more comes, and deletes those that are where
// they were to go.
func (r *run) conclude(ctx context.Context, lines []Line) error {
	var gone []*held
	for _, item := range r.finished {
		switch {
		case item.fault != nil && ctx.Err() != nil: // that may be why
			r.result.Why = interrupted
		case item.fault != nil:
			line := r.line(Failed, item)
			if line.Why = item.fault.Error(); !item.logged {
				line.Outcome = Kept
			}
			lines = append(lines, line)
			r.fail(item)
		case item.refused: // that was written
			r.fail(item)
		default:
			line := r.line(item.fate.done(), item)
			line.Why = item.why
			lines = append(lines, line)
			gone = append(gone, item)
			if item.fate == Replay {
				r.result.Sent++
			}
		}
	}
	r.finished = nil
	// What was confirmed is deleted even if that cannot be written down: it would be sent twice.
	err := r.Log.write(lines...)
	return errors.Join(err, r.remove(ctx, gone))
}

// remove deletes what went where it was to go. What fails is tried again at the end.
func (r *run) remove(ctx context.Context, gone []*held) error {
	for batch := range slices.Chunk(gone, MaxBatch) {
		err, logged := r.delete(ctx, batch)
		if !errors.Is(err, ErrDenied) {
			err = nil
		}
		if err = errors.Join(err, logged); err != nil {
			return err
		}
	}
	return nil
}

// delete deletes a batch. The errors are that of the source, and that of the log.
func (r *run) delete(ctx context.Context, batch []*held) (err, logged error) {
	call, cancel := finishing(ctx)
	defer cancel()
	failed, err := r.Source.Delete(call, messages(batch))
	var lines []Line
	for _, item := range batch {
		if f, bad := failed[item.ID]; bad || err != nil {
			r.undeleted[item.ID], r.undeletable = item, cmp.Or(err, error(f))
			r.breaker.record(item.fate, true)
			continue
		}
		delete(r.undeleted, item.ID)
		delete(r.holds.items, item.ID)
		if r.matched[item.ID] { // else it was counted
			delete(r.matched, item.ID)
			r.result.Deleted++
			switch item.fate {
			case Quarantine:
				r.result.Quarantined++
			case Archive:
				r.result.Archived++
			}
		}
		line := r.line(Deleted, item)
		line.Without, line.Count = nil, 0
		lines = append(lines, line)
	}
	return err, r.Log.write(lines...)
}

// watch looks now and then whether the source grows.
func (r *run) watch(ctx context.Context) {
	if r.DryRun || time.Since(r.checked) < growthEvery {
		return
	}
	call, cancel := finishing(ctx)
	defer cancel()
	r.checked = time.Now()
	if visible, hidden, err := r.Source.Depth(call); err == nil { // else the next look says it
		r.breaker.rests(visible + hidden)
	}
}

// pause stands still while the breaker is open, or stops the run.
func (r *run) pause(ctx context.Context) {
	why := r.breaker.why()
	if why == "" {
		return
	}
	d, ok := r.breaker.trip()
	if !ok {
		r.result.Why = fmt.Sprintf("%s, after %d pauses", why, len(pauses))
		return
	}
	r.tell(fmt.Sprintf("%s: nothing is sent for %v", why, d))
	r.holds.sleep(ctx, d)
}

// end deletes what was sent, and returns all else.
func (r *run) end(ctx context.Context) error {
	var errs []error
	failing := 0
tries:
	for try := range 3 {
		if len(r.undeleted) == 0 || try > 0 && !r.holds.sleep(context.WithoutCancel(ctx), time.Second) {
			break
		}
		for batch := range slices.Chunk(slices.Collect(maps.Values(r.undeleted)), MaxBatch) {
			err, logged := r.delete(ctx, batch)
			errs = append(errs, logged)
			if err != nil {
				failing++
			}
			if failing == 3 { // so would the others
				break tries
			}
		}
	}
	keep := map[string]bool{} // not shown: somebody would replay them once more
	for id := range r.undeleted {
		keep[id] = true
	}
	errs = append(errs, r.holds.restore(ctx, keep))
	if n := len(r.undeleted); n > 0 && r.result.Why == "" {
		r.result.Why = fmt.Sprintf("%d messages were sent and could not be deleted (%v): resuming this run deletes them", n, r.undeletable)
	}
	r.result.Left = len(r.matched)
	r.tell("")
	result := r.result
	return errors.Join(append(errs, r.Log.write(Line{Outcome: Ended, Run: r.Run, Result: &result}))...)
}

// close lets go of what was not sent.
func (r *run) close() {
	for _, l := range r.lanes {
		for _, item := range l.ready {
			item.close()
		}
	}
}

func (r *run) tell(pause string) {
	if r.Progress == nil {
		return
	}
	p := Progress{Result: r.result, Total: r.total, Seen: len(r.seen), Elapsed: time.Since(r.began), ETA: -1, Pause: pause}
	p.Left = len(r.matched)
	done := p.Seen
	for _, l := range r.lanes {
		done -= l.waiting() + len(l.again)
	}
	if done > 0 {
		p.ETA = time.Duration(float64(p.Elapsed) / float64(done) * float64(max(0, p.Total-done)))
	}
	r.Progress(p)
}
