package fanout

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// errLate is why a window ends that has used up its share of the visibility timeout.
var errLate = errors.New("fanout: the messages' visibility timeout comes too near")

// window is one batch on its way through the stages.
type window struct {
	*Worker
	batch
	work context.Context // ends only if the worker is cut off

	connections atomic.Int64
	frameCount  atomic.Int64
	posts       [verdicts]atomic.Int64
	lastPost    atomic.Int64 // Unix milliseconds of the latest delivery
	crossed     atomic.Int64
	alarm       sync.Once
}

// process brings a batch from decode to settle.
func (w *Worker) process(work context.Context, b batch) {
	defer b.done()
	win := &window{Worker: w, batch: b, work: work}
	ctx, cancel := context.WithDeadlineCause(work, b.receivedAt.Add(w.budget()), errLate)
	defer cancel()

	events, rejects := w.majors.decode(b.messages)
	audiences := conflate(events)

	var reads, posts, letters sync.WaitGroup
	var kept []rejected
	letters.Go(func() { kept = win.deadLetter(ctx, rejects) })
	for _, a := range audiences {
		reads.Go(func() { win.deliver(ctx, a, &posts) })
	}
	reads.Wait()
	b.readDone()
	posts.Wait()
	letters.Wait()

	report := win.settle(audiences, rejects, kept)
	report.log(work, w.Log)
	if w.Observe != nil {
		w.Observe(report)
	}
}

// deliver reads the audience from the registry and starts a delivery to each of its connections,
// while it reads on. It starts no more than there are posters.
func (w *window) deliver(ctx context.Context, a *audience, posts *sync.WaitGroup) {
	at := time.Now()
	frames := map[reading][]frame{}
	for page, err := range w.Registry.Watchers(ctx, a.tenant) {
		if err != nil {
			// Some connections are not known, so none of these updates is done.
			w.miss(a.updates)
			w.Log.ErrorContext(ctx, "audience not read", "kind", fault.KindOf(err).String(), "error", err.Error())
			return
		}
		for _, c := range page {
			if !w.belongs(ctx, c, a) {
				continue
			}
			r := w.majors.reading(c.Contracts)
			own, packed := frames[r]
			if !packed {
				own = pack(a.updates, r, at)
				frames[r] = own
				w.frameCount.Add(int64(len(own)))
			}
			if len(own) == 0 {
				continue // it reads nothing of what is new
			}
			place, ok := w.posters.enter(ctx)
			if !ok {
				w.miss(a.updates)
				return
			}
			w.connections.Add(1)
			d := delivery{window: w, connection: c, place: place}
			posts.Go(func() { d.frames(ctx, own) })
		}
	}
}

// belongs keeps a frame from crossing a tenant even if the registry is wrong.
func (w *window) belongs(ctx context.Context, c registry.Connection, a *audience) bool {
	if c.Tenant == a.tenant {
		return true
	}
	w.crossed.Add(1)
	w.Log.ErrorContext(ctx, "the registry names another tenant's connection", registry.LogID(c.ID))
	return false
}

// miss records that a connection does not get these updates.
func (w *window) miss(updates []*update) {
	for _, u := range updates {
		if w.work.Err() != nil {
			u.unfinished.Store(true)
		} else {
			u.failed.Store(true)
		}
	}
}

func (w *window) count(v verdict) {
	w.posts[v].Add(1)
	if v == delivered {
		w.lastPost.Store(time.Now().UnixMilli())
	}
}
