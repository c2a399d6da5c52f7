package redrive

import (
	"context"
	"iter"
	"slices"
	"time"
)

// againMost is how many entries wait at most to be sent once more before others are.
const againMost = 100

// contents is what becomes of a message at rest: what is sent for it, one after the other.
type contents struct {
	fate Fate
	why  string

	message Message // what is sent, unless there are several
	several iter.Seq2[Message, error]
	pull    func() (Message, error, bool)
	stop    func()
	next    Message
	more    bool // next is to be sent
	begun   bool
	lapsed  bool  // somebody else may have it: whatever was sent, it is not dealt with
	open    int   // entries that were taken, and are neither confirmed nor failed for good
	fault   error // why it cannot be sent, or not in whole
	refused bool  // an entry failed for good

	logged  bool   // that it is being sent
	digest  string // of the first body that is sent to the target for it
	count   int
	without []string
}

// take returns what is to be sent next. It looks one ahead: so it is known of the last one that it is the last. Looking may
// take long, and is done by patiently.
func (c *contents) take(patiently func(func())) (m Message, ok bool) {
	if !c.begun {
		c.begun = true
		if c.several == nil {
			c.next, c.more = c.message, true
		} else {
			c.pull, c.stop = iter.Pull2(c.several)
			c.advance(patiently)
		}
	}
	if !c.more {
		return Message{}, false
	}
	m = c.next
	c.open++
	c.advance(patiently)
	return m, true
}

func (c *contents) advance(patiently func(func())) {
	if c.pull == nil {
		c.more = false
		return
	}
	patiently(func() { c.next, c.fault, c.more = c.pull() })
	if c.fault != nil || !c.more {
		c.close()
	}
}

// close gives up what was not taken.
func (c *contents) close() {
	if c.stop != nil {
		c.stop()
	}
	c.more, c.pull, c.stop = false, nil, nil
}

// settled reports that nothing more comes of it.
func (c *contents) settled() bool { return c.begun && !c.more && c.open == 0 && !c.lapsed }

// parcel is an entry on its way.
type parcel struct {
	Entry
	item     *held
	tries    int
	alone    bool // the batch that it was in was refused as a whole
	unmarked bool // it does not say which run sent it
}

// lane is the way to a sink.
type lane struct {
	fate  Fate
	sink  Sink
	ready []*held   // of which there is something to be sent
	spare []*parcel // to be sent first
	again []*parcel // to be sent once more, when the others were
}

func (l *lane) waiting() int { return len(l.ready) + len(l.spare) }

// retry takes up what failed when there is nothing else, or too much of it.
func (l *lane) retry(drained bool) {
	if len(l.again) >= againMost || drained && l.waiting() == 0 {
		l.spare, l.again = append(l.spare, l.again...), nil
	}
}

// pack takes the next batch of a lane: so many as may be sent at once, and as fit.
func (r *run) pack(ctx context.Context, l *lane) (batch []*parcel) {
	size := 0
	for len(batch) < r.batch(l) {
		p := r.next(ctx, l)
		if p == nil {
			break
		}
		if size += p.size(); len(batch) > 0 && (size > MaxBytes || p.alone) {
			l.spare = append([]*parcel{p}, l.spare...)
			break
		}
		if batch = append(batch, p); p.alone {
			break
		}
	}
	return batch
}

// next takes what is to be sent next, or nil.
func (r *run) next(ctx context.Context, l *lane) *parcel {
	for len(l.spare) > 0 {
		p := l.spare[0]
		l.spare = l.spare[1:]
		if !r.lost(p.item) {
			return p
		}
	}
	for len(l.ready) > 0 {
		item := l.ready[0]
		if r.lost(item) {
			l.ready = l.ready[1:]
			continue
		}
		m, ok := item.take(func(pull func()) { r.patiently(ctx, pull) })
		if !item.more {
			l.ready = l.ready[1:]
		}
		if ok {
			p, err := r.parcel(item, m)
			if err == nil {
				return p
			}
			item.open--
			item.fault = err
		}
		r.settle(item)
	}
	return nil
}

// parcel makes an entry of what is sent for a message.
func (r *run) parcel(item *held, m Message) (p *parcel, err error) {
	p = &parcel{item: item}
	count := 0
	var without []string
	switch {
	case item.fate == Replay:
		count = Replays(m) + 1
		if item.several != nil { // they were never replayed themselves
			count = Replays(item.Message) + 1
		}
		p.Entry, without = mark(m, r.Run, item.ID, count)
		p.unmarked = slices.Contains(without, RunAttribute)
	case item.fate == Quarantine && r.Quarantined != nil:
		if p.Entry, err = r.Quarantined(m, item.why); err != nil {
			return nil, err
		}
		p.ID = item.ID
	default:
		p.Entry = Entry{ID: item.ID, Body: m.Body, Trace: m.Trace, Attributes: m.Attributes}
	}
	if item.fate == Replay && item.digest == "" {
		item.digest, item.count, item.without = digest(p.Body), count, without
	}
	return p, nil
}

// patiently calls f, which may read for long, and keeps what is held meanwhile. What f calls hears of the end of ctx.
func (r *run) patiently(ctx context.Context, f func()) {
	done := make(chan struct{})
	var panicked any // as it would have here
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		f()
	}()
	tick := time.NewTicker(r.holds.hold / 10)
	defer tick.Stop()
	for {
		select {
		case <-done:
			if panicked != nil {
				panic(panicked)
			}
			return
		case <-tick.C:
			r.holds.extend(ctx)
		}
	}
}

// lost reports that somebody else may have a message before it is dealt with: it is received again.
func (r *run) lost(item *held) bool {
	if r.holds.items[item.ID] != item {
		return true
	}
	if time.Until(item.until) >= min(callTimeout, r.holds.hold/4) {
		return false
	}
	item.close()
	item.lapsed = true
	delete(r.holds.items, item.ID)
	r.lapsed[item.ID] = item.until
	if now := time.Now(); now.After(item.until) { // it shows already
		r.lapsed[item.ID] = now
	}
	return true
}
