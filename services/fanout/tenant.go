package fanout

import (
	"slices"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// tenant is what the engine knows of one tenant. Its audience is read once for all messages that wait,
// and those that come during a read share the next. The engine's lock guards it.
type tenant struct {
	name     string
	boxes    map[string]*mailbox // by connection id
	channels map[channelKey]*channel
	plans    map[planKey]*plan

	waiting []*parcel
	reading bool
	round   *round // the one that is read
	rounds  uint64
}

// parcel is what one batch has for one tenant. Its end is told once.
type parcel struct {
	tenant string
	events []*event
	end    func(fate)
	given  time.Time
}

// parcels sorts events by tenant. Each parcel's end is told with the messages in it.
func parcels(events []*event, end func([]queue.Message, fate)) []*parcel {
	var all []*parcel
	byTenant := map[string]*parcel{}
	for _, e := range events {
		p := byTenant[e.tenant]
		if p == nil {
			p = &parcel{tenant: e.tenant}
			p.end = func(what fate) { end(p.messages(), what) }
			byTenant[e.tenant] = p
			all = append(all, p)
		}
		p.events = append(p.events, e)
	}
	return all
}

func (p *parcel) messages() []queue.Message {
	all := make([]queue.Message, len(p.events))
	for i, e := range p.events {
		all[i] = e.message
	}
	return all
}

// fate is what became of a parcel.
type fate int

const (
	done       fate = iota // everybody has it
	failed                 // somebody could not be served: it must come again
	unfinished             // the engine was stopped before that was known
)

// round is all that one read of a tenant's audience is for.
type round struct {
	id      uint64
	parcels []*parcel
	events  []*event
	types   []string // partitions that are read, besides *
	begin   time.Time
	waited  time.Duration // until then, of its first parcel

	read    bool // to its end
	failed  bool
	waiting int // channels in which not everybody has got it
	rows    int // of the registry

	conflated int // states that waited and were replaced
}

func newRound(id uint64, parcels []*parcel) *round {
	r := &round{id: id, parcels: parcels, begin: time.Now()}
	r.waited = r.begin.Sub(parcels[0].given)
	seen := map[string]bool{}
	for _, p := range parcels {
		r.events = append(r.events, p.events...)
		for _, e := range p.events {
			if kind := e.partition(); !seen[kind] {
				seen[kind] = true
				r.types = append(r.types, kind)
			}
		}
	}
	return r
}

// give hands a parcel over.
func (e *engine) give(p *parcel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.tenants[p.tenant]
	if t == nil {
		t = &tenant{
			name: p.tenant, boxes: map[string]*mailbox{}, channels: map[channelKey]*channel{}, plans: map[planKey]*plan{},
		}
		e.tenants[p.tenant] = t
	}
	p.given = time.Now()
	t.waiting = append(t.waiting, p)
	if !t.reading {
		t.reading = true
		e.running.Go(func() { e.readAudience(t) })
	}
}

// readAudience reads for as long as messages wait.
func (e *engine) readAudience(t *tenant) {
	for {
		acquired := take(e.ctx, e.readers)
		e.mu.Lock()
		if !acquired || len(t.waiting) == 0 {
			t.reading = false
			parcels := t.waiting
			t.waiting = nil
			if len(t.boxes) == 0 && len(parcels) == 0 {
				delete(e.tenants, t.name)
			}
			e.mu.Unlock()
			for _, p := range parcels {
				p.end(unfinished)
			}
			if acquired {
				<-e.readers
			}
			return
		}
		t.rounds++
		r := newRound(t.rounds, t.waiting)
		e.keepOwn(t, r)
		t.waiting, t.round = nil, r
		t.sweepPlans()
		e.rounds[r] = struct{}{}
		e.mu.Unlock()

		err := e.read(t, r)
		<-e.readers
		e.mu.Lock()
		e.endRead(t, r, err)
		pause := e.pauseAfter(r)
		e.mu.Unlock()
		if pause > 0 {
			sleep(e.ctx, pause)
		}
	}
}

const (
	// readsPerSweep is how often an audience is read, at most, in the time in which all of it can be posted to.
	readsPerSweep = 4
	// maxReadPause bounds what that may cost in freshness, and minReadPause is what is worth a wait.
	maxReadPause = 250 * time.Millisecond
	minReadPause = 5 * time.Millisecond
)

// pauseAfter returns how long to wait before the next read: the larger the audience, the more a read
// costs, and the less a further one hastens the posts. An idle tenant waits for nothing.
func (e *engine) pauseAfter(r *round) time.Duration {
	sweep := time.Duration(float64(r.rows) / e.pace.limit() * float64(time.Second))
	if sweep < readsPerSweep*minReadPause {
		return 0
	}
	return min(sweep/readsPerSweep, maxReadPause) - time.Since(r.begin)
}

func (e *engine) read(t *tenant, r *round) error {
	q := registry.Query{Tenant: t.name, Types: r.types, Buckets: e.Buckets}
	for page, err := range e.Registry.Watching(e.ctx, q) {
		if err != nil {
			return err
		}
		e.mu.Lock()
		r.rows += len(page)
		for _, w := range page {
			e.meet(t, r, w)
		}
		e.startPosters(len(e.ready))
		e.mu.Unlock()
	}
	return nil
}

// keepOwn leaves out of a round the events of other tenants. There are none, unless they were sorted wrongly; then
// the round fails, so that they come again and end among the dead letters.
func (e *engine) keepOwn(t *tenant, r *round) {
	all := len(r.events)
	r.events = slices.DeleteFunc(r.events, func(v *event) bool { return v.tenant != t.name })
	if crossed := all - len(r.events); crossed > 0 {
		r.failed = true
		e.Meter.Crossed(crossed)
		e.Log.ErrorContext(e.ctx, "events were sorted to another tenant", "messages", crossed)
	}
}

// meet gives a connection that the registry names its place, and has it posted what is new.
func (e *engine) meet(t *tenant, r *round, w registry.Watcher) {
	if w.Tenant != t.name {
		// Nothing may cross a tenant, even if the registry is wrong.
		e.Meter.Crossed(1)
		e.Log.ErrorContext(e.ctx, "the registry names another tenant's connection", registry.LogID(w.ID))
		return
	}
	key := channelKey{w.Type, w.Views, e.majors.reading(w.Contracts)}
	c := t.channels[key]
	if c == nil {
		e.channelIDs++
		c = &channel{
			id: e.channelIDs, tenant: t, key: key, set: e.sets.get(e.ctx, e.Log, w.Views),
			newest: map[name]*entry{}, members: map[*mailbox]*place{},
		}
		t.channels[key] = c
	}
	if c.round != r.id {
		c.ingest(r)
	}
	box := t.boxes[w.ID]
	if box == nil {
		box = &mailbox{id: w.ID, tenant: t, connectedAt: w.ConnectedAt}
		t.boxes[w.ID] = box
	}
	p := box.in(w.Type)
	if p != nil && p.channel != c {
		// Its views changed. What it had not got of the old ones is in the snapshot that follows.
		e.leave(box, p)
		p = nil
	}
	if p == nil {
		p = &place{channel: c, cursor: c.start}
		box.places = append(box.places, p)
		c.members[box] = p
		c.hold(p, box.detached)
	}
	p.seen = r.id
	if w.Resync && !box.told {
		box.owed = true
	}
	if w.Ended {
		box.ended = true
	}
	if p.cursor < c.head || box.owed || box.ended {
		e.enqueue(box)
	}
}

// endRead forgets who is not in the registry any more, and ends the round if nobody is waited for.
func (e *engine) endRead(t *tenant, r *round, err error) {
	t.round = nil
	if err != nil {
		// Some of the audience is not known, so none of these messages is done.
		r.failed = true
		e.Log.ErrorContext(e.ctx, "audience not read", "kind", fault.KindOf(err).String(), "error", err.Error())
	}
	r.read = true
	for key, c := range t.channels {
		if err == nil && r.covers(key.partition) {
			for box, p := range c.members {
				if p.seen != r.id {
					e.leave(box, p)
				}
			}
		}
		e.advance(c)
		if len(c.members) == 0 && len(c.ends) == 0 {
			delete(t.channels, key)
		}
	}
	e.tryEnd(r)
}

func (r *round) covers(partition string) bool {
	return partition == registry.Everything || slices.Contains(r.types, partition)
}

// leave takes a mailbox out of a channel, and forgets a mailbox that is in none.
func (e *engine) leave(box *mailbox, p *place) {
	p.channel.release(p)
	delete(p.channel.members, box)
	box.drop(p)
	if len(box.places) == 0 && box.state != posting {
		e.unpark(box)
		delete(box.tenant.boxes, box.id)
	}
	e.advance(p.channel)
}

// advance ends the rounds that everybody in a channel has got, and drops what nobody needs.
func (e *engine) advance(c *channel) {
	low := c.low()
	n := 0
	for n < len(c.ends) && c.ends[n].offset <= low && c.ends[n].round.read {
		r := c.ends[n].round
		r.waiting--
		e.tryEnd(r)
		n++
	}
	c.ends = c.ends[n:]
	c.trim()
}

// tryEnd settles a round that is read and waits for nobody.
func (e *engine) tryEnd(r *round) {
	if _, open := e.rounds[r]; !open || !r.read || r.waiting > 0 && !r.failed {
		return
	}
	delete(e.rounds, r)
	what := done
	if r.failed {
		what = failed
	}
	e.report(r, what)
	e.running.Go(func() {
		for _, p := range r.parcels {
			p.end(what)
		}
	})
}
