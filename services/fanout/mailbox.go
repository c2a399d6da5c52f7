package fanout

import (
	"math/rand/v2"
	"slices"
	"time"
)

// mailbox is one connection: where it stands in the logs of its channels, and how it takes its posts.
// There is one post at a time. The engine's lock guards it, and while it is posting only its poster
// changes what the post is about.
type mailbox struct {
	id          string
	tenant      *tenant
	connectedAt time.Time
	places      []*place // one for each partition in which it is

	state boxState
	more  bool // something came while it was posting

	tries    int  // of the same thing, in vain
	cadence  int  // how many steps it was slowed down
	taken    int  // posts since the last step
	detached bool // marked in the registry as one that must synchronise; no message waits for it
	owed     bool // it is to be told so with the next post
	told     bool // it was told
	ended    bool // its permission has ended: it is to be told so, and nothing else
}

type boxState uint8

const (
	idle    boxState = iota
	queued           // for a poster
	posting          // by one
	parked           // until its timer fires
)

// in returns its place in a partition.
func (b *mailbox) in(partition string) *place {
	for _, p := range b.places {
		if p.channel.key.partition == partition {
			return p
		}
	}
	return nil
}

func (b *mailbox) drop(p *place) {
	b.places = slices.DeleteFunc(b.places, func(q *place) bool { return q == p })
}

// behind reports whether there is something for it.
func (b *mailbox) behind() bool {
	return b.owed || slices.ContainsFunc(b.places, func(p *place) bool { return p.cursor < p.channel.head })
}

// enqueue has a mailbox posted as soon as a poster is free, unless that is seen to already, or it waits
// for its time.
func (e *engine) enqueue(b *mailbox) {
	switch b.state {
	case idle:
		b.state = queued
		e.ready = append(e.ready, b)
	case posting:
		b.more = true
	}
}

// park lets a mailbox wait before its next post.
func (e *engine) park(b *mailbox, d time.Duration) {
	b.state = parked
	e.parked[b] = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, waits := e.parked[b]; !waits {
			return
		}
		delete(e.parked, b)
		b.state = idle
		e.enqueue(b)
		e.startPosters(len(e.ready))
	})
}

func (e *engine) unpark(b *mailbox) {
	if timer := e.parked[b]; timer != nil {
		timer.Stop()
		delete(e.parked, b)
		b.state = idle
	}
}

// detach lets no message wait for this connection any more: the registry says that it must
// synchronise. It goes on getting what is new.
func (e *engine) detach(b *mailbox) {
	if b.detached {
		return
	}
	b.detached, b.owed, b.told = true, true, false
	for _, p := range b.places {
		p.channel.hold(p, true)
		e.advance(p.channel)
	}
}

// attach is the reverse, when it keeps up again.
func (e *engine) attach(b *mailbox) {
	b.detached = false
	for _, p := range b.places {
		p.channel.hold(p, false)
		e.advance(p.channel)
	}
}

// slowDown lets a mailbox wait longer between its posts, and speedUp lets it wait less when it has
// taken a few. It is attached again when it needs no pause any more.
func (e *engine) slowDown(b *mailbox) {
	b.tries, b.taken = 0, 0
	b.cadence = min(b.cadence+1, len(e.Cadences))
	e.park(b, jitter(e.Cadences[b.cadence-1]))
}

// takenToSpeedUp is how many posts a slow reader must take until its rhythm is quickened.
const takenToSpeedUp = 4

// speedUp reports whether the mailbox waits for its next post.
func (e *engine) speedUp(b *mailbox) bool {
	b.tries = 0
	if b.cadence == 0 {
		return false
	}
	if b.taken++; b.taken >= takenToSpeedUp {
		b.taken = 0
		b.cadence--
	}
	if b.cadence == 0 {
		e.attach(b)
		return false
	}
	e.park(b, jitter(e.Cadences[b.cadence-1]))
	return true
}

// jitter returns a random time between half of d and d, so that those who failed together do not
// try again together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
