package bench

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/fanout"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/telemetry"
)

// unpaced is more posts a second than any machine makes.
const unpaced = 1e6

// Ours is the engine between a queue that is the feed and a registry in memory. It decodes, matches,
// conflates, frames and settles as in production.
type Ours struct {
	Gateway gateway.Gateway
	Pool    int
	// Quota is how many posts a second the account may make; 0: any number.
	Quota float64
	// Timeout ends a post; 0 is what production has.
	Timeout time.Duration
}

var _ Variant = Ours{}

// Run implements [Variant].
func (o Ours) Run(ctx context.Context, j Job) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	c := fanout.Config{
		Queue:    newFeedQueue(j, stop),
		Registry: newAudience(j.Connections, &j.Tally.Reads),
		Gateway:  tallied{o.Gateway, j.Tally},
		Log:      slog.New(slog.DiscardHandler),
		Meter:    telemetry.NewFanout(telemetry.New("bench")),
		Posters:  o.Pool, Receivers: 1, Rate: unpaced,
		PostTimeout: o.Timeout, Grace: time.Millisecond,
	}
	if o.Quota > 0 {
		c.Rate = 0.9 * o.Quota
	}
	worker, err := fanout.NewWorker(c)
	if err != nil {
		return err
	}
	if err := worker.Run(work); err != nil {
		return err
	}
	return ctx.Err()
}

type tallied struct {
	gateway.Gateway
	tally *Tally
}

func (t tallied) Post(ctx context.Context, id string, f *gateway.Frame, timeout time.Duration) error {
	start := time.Now()
	err := t.Gateway.Post(ctx, id, f, timeout)
	t.tally.Post(start, err)
	return err
}

// feedQueue is a queue with the updates of the job. When all were received and deleted it is done.
type feedQueue struct {
	job  Job
	done func()

	mu      sync.Mutex
	n       int
	ended   bool
	left    map[string]bool
	settled chan struct{} // has a token when nothing is left
}

func newFeedQueue(j Job, done func()) *feedQueue {
	return &feedQueue{job: j, done: done, left: map[string]bool{}, settled: make(chan struct{}, 1)}
}

func (f *feedQueue) Receive(ctx context.Context, _ int, _ time.Duration) ([]queue.Message, error) {
	if f.job.Feed.begins() {
		select {
		case <-f.settled:
		case <-ctx.Done():
			return nil, nil
		}
	}
	updates, more := f.job.Feed.Next(ctx)
	f.mu.Lock()
	f.ended = !more
	select {
	case <-f.settled: // of what came before
	default:
	}
	var all []queue.Message
	for _, u := range updates {
		f.n++
		id := strconv.Itoa(f.n)
		f.left[id] = true
		all = append(all, queue.Message{ID: id, Receipt: id, Body: string(u.Event()), ReceiveCount: 1, SentAt: u.Written})
	}
	f.check()
	f.mu.Unlock()
	if !more {
		<-ctx.Done()
	}
	return all, nil
}

func (f *feedQueue) Delete(_ context.Context, messages []queue.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range messages {
		delete(f.left, m.ID)
	}
	f.check()
	return nil
}

func (f *feedQueue) check() {
	if len(f.left) > 0 {
		return
	}
	if f.ended {
		f.done()
	}
	select {
	case f.settled <- struct{}{}:
	default:
	}
}

func (f *feedQueue) Return(context.Context, []queue.Message) error                { return nil }
func (f *feedQueue) Extend(context.Context, []queue.Message, time.Duration) error { return nil }
func (f *feedQueue) DeadLetter(context.Context, queue.Message, string) error      { return nil }
