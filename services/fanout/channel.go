package fanout

import (
	"slices"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/view"
)

// channel is what the connections of a tenant have in common that watch the same, in the same words: a
// log of what changed. It holds the newest state of each entity and no other, in the order of change; a
// state that all have got is dropped. Offsets count the entries from 1. The engine's lock guards it.
type channel struct {
	id     int64
	tenant *tenant
	key    channelKey
	set    *view.Set

	entries []*entry // by offset; superseded ones among them
	newest  map[name]*entry
	stale   int   // superseded ones among the entries
	head    int64 // offset of the newest entry
	trimmed int64 // what was up to here, is gone

	places  places // of those for whom messages wait
	slow    places // of the others
	members map[*mailbox]*place
	ends    []end // of rounds that wait for this channel, by offset

	round uint64 // the last one that was ingested
	start int64  // head before that
}

type channelKey struct {
	partition string // of the registry: an entity type, insight, or *
	views     string
	reading   reading
}

// entry says of one entity what the members of the channel must be told.
type entry struct {
	*change
	offset  int64
	how     telling
	matched time.Time
	stale   bool
}

// end is where a round ends in a channel: who has got that far, has got all of the round.
type end struct {
	offset int64
	round  *round
}

// ingest matches the events of a round, and appends what the members must be told. It remembers where
// the log began before, so that members which are met for the first time start there.
func (c *channel) ingest(r *round) {
	c.round, c.start = r.id, c.head
	touched, now := false, time.Now()
	for _, e := range r.events {
		if c.key.partition != registry.Everything && e.partition() != c.key.partition {
			continue
		}
		major := c.key.reading[e.name.form.index]
		if major == 0 {
			continue
		}
		how, ok := tell(c.set, &e.change, major)
		if !ok {
			continue
		}
		touched = true
		if c.append(&e.change, how, now) {
			r.conflated++
		}
	}
	if touched {
		c.ends = append(c.ends, end{c.head, r})
		r.waiting++
	}
}

// append conflates: of an entity that waits already only the newest state goes on waiting, behind
// everything else. So it does if the event brings nothing new: it came again because somebody did not
// get it, who may stand anywhere. It reports whether something waited.
func (c *channel) append(what *change, how telling, now time.Time) bool {
	before := c.newest[what.name]
	if before != nil {
		before.stale = true
		c.stale++
		if !what.newer(before.change) {
			what, how = before.change, before.how
		}
	}
	c.head++
	e := &entry{change: what, offset: c.head, how: how, matched: now}
	c.newest[what.name] = e
	c.entries = append(c.entries, e)
	if c.stale > len(c.entries)/2+16 {
		c.entries = slices.DeleteFunc(c.entries, func(e *entry) bool { return e.stale })
		c.stale = 0
	}
	return before != nil
}

// after returns the entries behind an offset.
func (c *channel) after(offset int64) []*entry {
	at, _ := slices.BinarySearchFunc(c.entries, offset+1, func(e *entry, o int64) int { return int(e.offset - o) })
	var all []*entry
	for _, e := range c.entries[at:] {
		if !e.stale {
			all = append(all, e)
		}
	}
	return all
}

// hold puts a place among those for whom messages wait, or among the slow.
func (c *channel) hold(p *place, slow bool) {
	c.release(p)
	if p.slow = slow; slow {
		c.slow.hold(p)
	} else {
		c.places.hold(p)
	}
}

func (c *channel) release(p *place) {
	if p.slow {
		c.slow.release(p)
	} else {
		c.places.release(p)
	}
}

// low is the offset up to which everybody has got everything for whom messages wait.
func (c *channel) low() int64 {
	if c.places.first == nil {
		return c.head
	}
	return c.places.first.offset
}

// retained is how many entries are kept for slow members only. What they miss beyond that, they get when
// they synchronise.
const retained = 10_000

// trim drops what everybody has got, except what a round that is still read may need for members which
// it has not met yet.
func (c *channel) trim() {
	low := c.low()
	if c.slow.first != nil && len(c.newest) <= retained {
		low = min(low, c.slow.first.offset)
	}
	if reading := c.tenant.round; reading != nil && c.round == reading.id {
		low = min(low, c.start)
	}
	if low <= c.trimmed {
		return
	}
	c.trimmed = low
	n := 0
	for n < len(c.entries) && c.entries[n].offset <= low {
		if e := c.entries[n]; e.stale {
			c.stale--
		} else {
			delete(c.newest, e.name)
		}
		n++
	}
	c.entries = slices.Delete(c.entries, 0, n)
}

// telling is how a channel's members are told of a change.
type telling struct {
	major  int
	remove contracts.RemovalReason // or empty, for an upsert
	fields view.Selection          // of an upsert
}

// tell decides what one set of views makes of a change, before anything is conflated. What matches now
// is told; what does not, but did before, is removed. Where it is not known what was before, it is removed,
// too: that is harmless where it was never there.
func tell(set *view.Set, c *change, major int) (telling, bool) {
	w := c.in(major)
	how := telling{major: major}
	kind := c.partition()
	if c.gone() {
		how.remove = removal(c)
	} else {
		fields, ok := set.Match(kind, w.image)
		if ok {
			how.fields = fields
			return how, true
		}
		how.remove = contracts.RemovalReasonLeftView
	}
	if w.previous == nil {
		return how, c.version.Revision > 1 || c.gone()
	}
	_, was := set.Match(kind, w.previous)
	return how, was
}
