package fanout

import (
	"context"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/telemetry"
)

// serve posts a mailbox everything that waits for it, and acts on the verdict. The poster lends it room.
func (e *engine) serve(box *mailbox, room []target) {
	// First the permission and then the plan: what comes while it waits is in the frame.
	if !e.pace.wait(e.ctx) {
		e.finish(box, drain{}, true, interrupted, e.ctx.Err())
		return
	}
	e.mu.Lock()
	owed, ended := box.owed, box.ended
	d := box.tenant.draw(box, room)
	e.mu.Unlock()

	v, err := delivered, error(nil)
	permits := 1 // the one above
	switch {
	case ended:
		v, err = e.dismiss(box, &permits)
		owed = owed && v != delivered
	case owed:
		v, err = e.postFrame(box, frame{post: resyncFrame(time.Now())}, &permits)
		owed = v != delivered
	}
	if d.plan != nil && !ended {
		for _, f := range d.plan.frames() {
			if v != delivered {
				break
			}
			v, err = e.postFrame(box, f, &permits)
		}
	}
	if v.marks() && !ended && !e.mark(box, v, err) { // that it has ended, the registry knows
		v = again // the messages wait until the mark is made
	}
	e.finish(box, d, owed, v, err)
	switch v {
	case closed:
		e.forget(box)
	case refused:
		e.Log.ErrorContext(e.ctx, "post refused: check permission and WEBSOCKET_API_ENDPOINT", registry.LogID(box.id),
			"kind", fault.KindOf(err).String(), "error", err.Error())
	}
}

// postFrame posts one frame, in halves if need be. Each post but the first needs a permit of its own.
func (e *engine) postFrame(box *mailbox, f frame, permits *int) (verdict, error) {
	if *permits == 0 && !e.pace.wait(e.ctx) {
		return interrupted, e.ctx.Err()
	}
	*permits = 0
	start := time.Now()
	err := e.Gateway.Post(e.ctx, box.id, f.post, e.PostTimeout)
	now := time.Now()
	v := judge(attempt{
		err:     err,
		ended:   e.ctx.Err() != nil,
		late:    now.Sub(start) >= e.PostTimeout,
		young:   now.Sub(box.connectedAt) < e.NewbornAge,
		account: e.pace.record(now, box.id, err != nil && fault.KindOf(err) == fault.Throttled),
		single:  len(f.entries) < 2,
		tries:   box.tries,
		last:    box.tries+1 >= e.Tries,
	})
	e.Meter.Post(telemetry.Post{
		Verdict: v.String(), Updates: len(f.entries), Bytes: len(f.post.Text()),
		Age: f.age(now), Waited: f.waited(start), Took: now.Sub(start),
	})
	if v != split {
		return v, err
	}
	for _, half := range f.halves() {
		if v, err := e.postFrame(box, half, permits); v != delivered {
			return v, err
		}
	}
	return delivered, nil
}

// dismiss tells a connection whose permission has ended to move, and closes it. One that cannot be closed is dismissed
// again, less and less often, and no message waits for that.
func (e *engine) dismiss(box *mailbox, permits *int) (verdict, error) {
	v, err := e.postFrame(box, frame{post: reconnectFrame(time.Now())}, permits)
	if v != delivered || e.Closer == nil {
		return v, err
	}
	if !e.pace.wait(e.ctx) {
		return interrupted, e.ctx.Err()
	}
	if err := e.Closer.Disconnect(e.ctx, box.id, e.PostTimeout); err != nil {
		e.Log.WarnContext(e.ctx, "connection not closed, whose permission has ended", registry.LogID(box.id),
			"kind", fault.KindOf(err).String(), "error", err.Error())
		return slow, err
	}
	return closed, nil
}

// mark notes durably that a connection must synchronise, and reports whether it did. It is noted each time: a
// sync may have cleared what was noted before.
func (e *engine) mark(box *mailbox, v verdict, cause error) bool {
	log := e.Log.With(registry.LogID(box.id), "verdict", v.String(), "kind", fault.KindOf(cause).String())
	ctx, cancel := context.WithTimeout(e.ctx, e.PostTimeout)
	defer cancel()
	if err := e.Registry.MarkResync(ctx, box.id); err != nil {
		log.WarnContext(e.ctx, "connection not marked for synchronisation", "error", err.Error())
		return false
	}
	log.InfoContext(e.ctx, "connection marked for synchronisation", "error", cause.Error())
	return true
}

// finish moves the mailbox on, or lets it try again. It may still be owed the word to synchronise.
func (e *engine) finish(box *mailbox, d drain, owed bool, v verdict, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.plan != nil {
		d.plan.users--
	}
	box.state = idle
	if box.owed && !owed {
		box.owed, box.told = false, true
	}
	if len(box.places) == 0 { // the registry has let it go meanwhile
		delete(box.tenant.boxes, box.id)
		return
	}
	switch v {
	case delivered:
		e.move(d)
		if e.speedUp(box) {
			return
		}
	case closed:
		for len(box.places) > 0 {
			e.leave(box, box.places[0])
		}
		delete(box.tenant.boxes, box.id)
		return
	case newborn:
		e.park(box, jitter(newbornPause))
		return
	case paced:
		e.park(box, jitter(pacedPause))
		return
	case again:
		box.tries++
		e.park(box, pauseBefore(box.tries+1, err))
		return
	case slow, hung, spent, oversize:
		e.detach(box)
		if v == oversize {
			e.move(d)
		}
		e.slowDown(box)
		return
	case refused:
		e.fail(d) // and wait for their next coming
		return
	case interrupted:
		return
	}
	if box.more || box.behind() {
		e.enqueue(box)
	}
	e.startPosters(len(e.ready) - 1) // who called this takes one
}

// move puts the places of a drain where it ended. Those that were left meanwhile do not matter.
func (e *engine) move(d drain) {
	for _, t := range d.targets {
		p := t.place
		if p.held == nil {
			continue
		}
		p.channel.release(p)
		p.cursor = max(p.cursor, t.to)
		p.channel.hold(p, p.slow)
		e.advance(p.channel)
	}
}

// fail has the messages come again that a drain was to bring.
func (e *engine) fail(d drain) {
	for _, t := range d.targets {
		for _, end := range t.place.channel.ends {
			if end.offset > t.place.cursor {
				end.round.failed = true
				e.tryEnd(end.round)
			}
		}
	}
}

// forget takes the connection out of the registry, also when the engine stops meanwhile. If that fails,
// the next post to it will be answered in the same way, so it is not worth a retry here.
func (e *engine) forget(box *mailbox) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), e.PostTimeout)
	defer cancel()
	log := e.Log.With(registry.LogID(box.id), "age_ms", time.Since(box.connectedAt).Milliseconds())
	if err := e.Registry.Close(ctx, box.id); err != nil {
		log.WarnContext(e.ctx, "gone connection not removed", "kind", fault.KindOf(err).String(), "error", err.Error())
		return
	}
	log.InfoContext(e.ctx, "gone connection removed")
}
