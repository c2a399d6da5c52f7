package fanout

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/logtest"
	"github.com/iops-dashboard/live/services/internal/queue/memqueue"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// grown is the age of a connection whose 410 is believed.
const grown = time.Hour

// rig is a worker between fakes, in a bubble of time.
type rig struct {
	t        *testing.T
	queue    *memqueue.Queue
	registry *memregistry.Registry
	gateway  *memgateway.Gateway
	worker   *Worker
	log      *logtest.Log

	stop    context.CancelFunc
	stopped chan struct{}

	mu      sync.Mutex
	reports []report
	posts   map[string]int // by verdict
	crossed int
}

// report is what a Meter is told of a round.
type report struct {
	outcome                   string
	messages, rows, conflated int
}

// bubble runs test with a rig whose worker has not started. The bubble's clock moves when all
// wait; the test moves it on with pass.
func bubble(t *testing.T, change func(*Config), test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, change)
		test(r)
		r.end()
	})
}

// pass lets d go by on the bubble's clock. It takes no time.
func pass(d time.Duration) { time.Sleep(d) }

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{
		t:        t,
		queue:    memqueue.New(memqueue.Options{}),
		registry: &memregistry.Registry{},
		gateway:  &memgateway.Gateway{},
		log:      &logtest.Log{},
	}
	config := Config{
		Queue: r.queue, Registry: r.registry, Gateway: r.gateway, Closer: r.gateway,
		Log:   slog.New(slog.NewJSONHandler(r.log, nil)),
		Meter: r,
	}
	if change != nil {
		change(&config)
	}
	worker, err := NewWorker(config)
	if err != nil {
		t.Fatal(err)
	}
	r.worker = worker
	return r
}

// start runs the worker until all that can happen at once has happened.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.stopped = cancel, make(chan struct{})
	stopped := r.stopped
	go func() {
		defer close(stopped)
		if err := r.worker.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}()
	synctest.Wait()
}

// end stops the worker, if it runs, and waits for it.
func (r *rig) end() {
	if r.stop != nil {
		r.stop()
		<-r.stopped
		r.stop = nil
	}
}

// Post, Round, Settled, Depth and Crossed make the rig a Meter.
func (r *rig) Post(p telemetry.Post) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.posts == nil {
		r.posts = map[string]int{}
	}
	r.posts[p.Verdict]++
}

func (r *rig) Round(told telemetry.Round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, report{told.Outcome, told.Messages, told.Rows, told.Conflated})
}

func (r *rig) Settled(time.Duration) {}
func (r *rig) Depth(int, int)        {}

func (r *rig) Crossed(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crossed += n
}

// wantPosts checks how many posts had a verdict.
func (r *rig) wantPosts(verdict string, want int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.posts[verdict] != want {
		r.t.Errorf("%d posts %s, want %d; all: %v", r.posts[verdict], verdict, want, r.posts)
	}
}

func (r *rig) connect(tenant, id string, age time.Duration) {
	r.t.Helper()
	c := registry.Connection{ID: id, Tenant: tenant, ConnectedAt: time.Now().Add(-age)}
	if err := r.registry.Open(context.Background(), c); err != nil {
		r.t.Fatal(err)
	}
	r.gateway.Open(id)
}

// send puts an update of tenant default into the queue.
func (r *rig) send(id string, revision int64) string {
	r.t.Helper()
	return r.queue.Send(encode(r.t, newEvent("default", id, revision)), nil)
}

// frames returns what id was sent, as "entity@revision entity@revision | …". The order within a frame
// means nothing, and the queue shuffles, so each frame is sorted.
func (r *rig) frames(id string) string {
	r.t.Helper()
	var frames []string
	for _, f := range r.gateway.Frames(id) {
		if resync(f) {
			frames = append(frames, "RESYNC")
			continue
		}
		if reconnect(f) {
			frames = append(frames, "RECONNECT")
			continue
		}
		var updates []string
		for _, u := range read(r.t, f) {
			updates = append(updates, fmt.Sprintf("%s@%d", u.EntityID, u.Version.Revision))
		}
		slices.Sort(updates)
		frames = append(frames, strings.Join(updates, " "))
	}
	return strings.Join(frames, " | ")
}

func resync(frame []byte) bool {
	var f contracts.ResyncFrameV1
	return json.Unmarshal(frame, &f) == nil && f.Type == contracts.ResyncFrameV1Type && contracts.ValidateProducer(contracts.KindResyncFrameV1, frame) == nil
}

func reconnect(frame []byte) bool {
	var f contracts.ReconnectFrameV1
	return json.Unmarshal(frame, &f) == nil && f.Type == contracts.ReconnectFrameV1Type && contracts.ValidateProducer(contracts.KindReconnectFrameV1, frame) == nil
}

func (r *rig) wantFrames(id, want string) {
	r.t.Helper()
	if got := r.frames(id); got != want {
		r.t.Errorf("%s got %q, want %q", id, got, want)
	}
}

// wantQueue checks how many messages the queue and its dead-letter queue hold.
func (r *rig) wantQueue(waiting, dead int) {
	r.t.Helper()
	if got := len(r.queue.Waiting()); got != waiting {
		r.t.Errorf("%d messages in the queue, want %d", got, waiting)
	}
	if got := len(r.queue.Dead()); got != dead {
		r.t.Errorf("%d dead letters, want %d", got, dead)
	}
}

func (r *rig) wantWatchers(tenant string, want int) {
	r.t.Helper()
	got := 0
	for page, err := range r.registry.Watching(context.Background(), registry.Query{Tenant: tenant, Types: []string{"student", "tutor", "subject", "region", "insight"}}) {
		if err != nil {
			r.t.Fatal(err)
		}
		got += len(page)
	}
	if got != want {
		r.t.Errorf("%d watchers of %s, want %d", got, tenant, want)
	}
}

// marked reports whether the registry says that a connection must synchronise.
func (r *rig) marked(tenant, id string) bool {
	r.t.Helper()
	for page, err := range r.registry.Watching(context.Background(), registry.Query{Tenant: tenant, Types: []string{"student", "tutor", "subject", "region", "insight"}}) {
		if err != nil {
			r.t.Fatal(err)
		}
		for _, w := range page {
			if w.ID == id {
				return w.Resync
			}
		}
	}
	return false
}

func (r *rig) rounds() []report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]report(nil), r.reports...)
}
