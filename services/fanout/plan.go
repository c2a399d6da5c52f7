package fanout

import (
	"fmt"
	"sync"
	"time"

	"github.com/iops-dashboard/live/contracts"
	frames "github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/gateway"
)

// plan is what a mailbox gets next: what waits behind its places, all of it. Mailboxes that stand at
// the same places share one, and so its frames. The frames are made once, by whoever needs them
// first.
type plan struct {
	key     planKey
	entries []*entry
	users   int // drains under way; the engine's lock guards it

	once sync.Once
	made []frame
}

// planKey names the stretch of a channel's log, or of several channels'.
type planKey struct {
	channel, from, to int64
	more              string
}

// drain is one mailbox's use of a plan: when it has ended well, each of its places is moved.
type drain struct {
	plan    *plan
	targets []target
}

type target struct {
	place *place
	to    int64
}

// maxIdlePlans bounds the plans that are kept for others who may stand at the same place.
const maxIdlePlans = 64

// draw plans a mailbox's next posts. Nothing may wait for it: then the plan is nil. The targets are
// written to room, if they fit.
func (t *tenant) draw(b *mailbox, room []target) drain {
	d := drain{targets: room[:0]}
	var key planKey
	for _, p := range b.places {
		if p.cursor == p.channel.head {
			continue
		}
		if len(d.targets) == 0 {
			key = planKey{channel: p.channel.id, from: p.cursor, to: p.channel.head}
		} else {
			key.more += fmt.Sprint(p.channel.id, ",", p.cursor, ",", p.channel.head, ";")
		}
		d.targets = append(d.targets, target{p, p.channel.head})
	}
	if len(d.targets) == 0 {
		return d
	}
	d.plan = t.plans[key]
	if d.plan == nil {
		if len(t.plans) >= maxIdlePlans {
			t.sweepPlans()
		}
		d.plan = &plan{key: key}
		for _, to := range d.targets {
			d.plan.entries = append(d.plan.entries, to.place.channel.after(to.place.cursor)...)
		}
		t.plans[key] = d.plan
	}
	d.plan.users++
	return d
}

// sweepPlans drops the plans that nobody uses.
func (t *tenant) sweepPlans() {
	for key, p := range t.plans {
		if p.users == 0 {
			delete(t.plans, key)
		}
	}
}

// frames joins the plan's updates into as few frames as their limit of size allows.
func (p *plan) frames() []frame {
	p.once.Do(func() { p.made = pack(p.entries, time.Now()) })
	return p.made
}

// reconnectFrame tells a browser to move at once.
func reconnectFrame(at time.Time) *gateway.Frame {
	return gateway.NewFrame(frames.Reconnect(contracts.ReconnectReasonLifetime, 0, at))
}

// resyncFrame tells a browser to synchronise at once.
func resyncFrame(at time.Time) *gateway.Frame {
	return gateway.NewFrame([]byte(`{"type":"RESYNC","version":1,"timestamp":"` + at.UTC().Format(timestampForm) + `","reason":"UNDELIVERED"}`))
}
