package fanout

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
)

func TestGoneConnectionIsRemoved(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.connect("default", "b", grown)
		r.gateway.Close("a")
		r.send("stu_1", 1)
		r.start()
		r.wantFrames("b", "stu_1@1")
		r.wantQueue(0, 0)
		r.wantWatchers("default", 1)
		if got := r.gateway.Posts("a"); got != 1 {
			t.Errorf("posted %d times to a gone connection", got)
		}
	})
}

// A row that cannot be removed does not keep the message; the next update tries again.
func TestGoneConnectionThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.registry.OnClose = func(context.Context, string) error {
			if broken.Load() {
				return failure(fault.Transient)
			}
			return nil
		}
		r.connect("default", "a", grown)
		r.gateway.Close("a")
		r.send("stu_1", 1)
		r.start()
		r.wantQueue(0, 0)
		r.wantWatchers("default", 1)
		broken.Store(false)
		r.send("stu_1", 2)
		synctest.Wait()
		r.wantWatchers("default", 0)
	})
}

func TestNewbornGetsItsFrameOnceItIsThere(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "new", 0)
		r.connect("default", "old", grown)
		r.gateway.Close("new")
		r.send("stu_1", 1)
		r.start()
		r.wantFrames("old", "stu_1@1") // it did not wait
		r.wantQueue(1, 0)
		pass(5 * time.Second)
		if got := r.gateway.Posts("new"); got < 15 || got > 45 {
			t.Errorf("asked %d times in 5 s", got)
		}
		r.gateway.Open("new")
		pass(time.Second)
		r.wantFrames("new", "stu_1@1")
		r.wantQueue(0, 0)
		r.wantWatchers("default", 2)
	})
}

func TestNewbornThatNeverComesIsRemovedWhenItIsGrown(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "new", 0)
		r.gateway.Close("new")
		r.send("stu_1", 1)
		r.start()
		pass(9_900 * time.Millisecond)
		r.wantWatchers("default", 1)
		r.wantQueue(1, 0)
		pass(time.Second)
		r.wantWatchers("default", 0)
		r.wantQueue(0, 0)
	})
}

func TestFailuresThatPass(t *testing.T) {
	t.Parallel()
	for kind, n := range map[fault.Kind]int{fault.Throttled: 1, fault.Transient: 2, fault.Internal: 2} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.connect("default", "a", grown)
				for range n {
					r.gateway.Script("a", failure(kind))
				}
				r.send("stu_1", 1)
				r.start()
				pass(2 * time.Second)
				r.wantFrames("a", "stu_1@1")
				r.wantQueue(0, 0)
			})
		})
	}
}

// A connection that cannot be served pins no message: it is marked, told so as soon as something gets
// through, and gets what came meanwhile with that.
func TestFailuresThatStay(t *testing.T) {
	t.Parallel()
	for kind, posts := range map[fault.Kind]int{fault.Throttled: 2, fault.Transient: 3, fault.Internal: 3} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.connect("default", "a", grown)
				r.connect("default", "b", grown)
				for range posts {
					r.gateway.Script("a", failure(kind))
				}
				r.send("stu_1", 1)
				r.start()
				pass(450 * time.Millisecond)
				r.wantQueue(0, 0)
				if got := r.gateway.Posts("a"); got != posts {
					t.Errorf("%d posts before it is marked, want %d", got, posts)
				}
				if !r.marked("default", "a") || r.marked("default", "b") {
					t.Error("not marked, or the wrong one")
				}
				r.send("stu_2", 1)
				pass(time.Second)
				if got := r.frames("a"); got != "RESYNC | stu_1@1 stu_2@1" && got != "RESYNC | stu_2@1" {
					t.Errorf("a got %s", got)
				}
				r.wantFrames("b", "stu_1@1 | stu_2@1")
				r.wantQueue(0, 0)
				r.send("stu_3", 1)
				pass(2 * time.Second)
				if got := r.frames("a"); !strings.HasSuffix(got, " | stu_3@1") || strings.Count(got, "RESYNC") != 1 {
					t.Errorf("a got %s", got)
				}
			})
		})
	}
}

// A reader that takes one post in three seconds gets about that, and not every update pins its message.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.worker.Gateway = &reluctant{Gateway: r.gateway, id: "slow", every: 3 * time.Second}
		r.connect("default", "slow", grown)
		r.connect("default", "fast", grown)
		r.start()
		const updates = 1200 // 10 a second for two minutes
		for n := range updates {
			r.send("stu_1", int64(n+1))
			pass(100 * time.Millisecond)
			if waiting := len(r.queue.Waiting()); waiting > 20 {
				t.Fatalf("%d messages wait after %d updates", waiting, n)
			}
		}
		if got := len(r.gateway.Frames("fast")); got != updates {
			t.Errorf("the other got %d of %d", got, updates)
		}
		pass(time.Minute)
		if got := r.frames("slow"); !strings.HasSuffix(got, fmt.Sprint("stu_1@", updates)) {
			t.Errorf("it has %s", got)
		}
		if refused := r.worker.Gateway.(*reluctant).refused.Load(); refused > updates/10 {
			t.Errorf("%d posts refused", refused)
		}
		r.wantQueue(0, 0)
	})
}

// reluctant is a gateway with a connection whose buffer is full until it had its time.
type reluctant struct {
	gateway.Gateway
	id      string
	every   time.Duration
	last    atomic.Int64
	refused atomic.Int64
}

func (g *reluctant) Post(ctx context.Context, id string, f *gateway.Frame, timeout time.Duration) error {
	if id == g.id {
		now := time.Now().UnixNano()
		if last := g.last.Load(); last > 0 && now-last < int64(g.every) {
			g.refused.Add(1)
			return failure(fault.Throttled)
		}
		g.last.Store(now)
	}
	return g.Gateway.Post(ctx, id, f, timeout)
}

// If the mark cannot be made, the message waits.
func TestMarkThatCannotBeMade(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.worker.Registry = unmarkable{r.registry, &broken}
		r.connect("default", "a", grown)
		release := r.gateway.Hold("a")
		defer release()
		r.send("stu_1", 1)
		r.start()
		pass(20 * time.Second)
		r.wantQueue(1, 0)
		broken.Store(false)
		pass(10 * time.Second)
		r.wantQueue(0, 0)
		if !r.marked("default", "a") {
			t.Error("not marked")
		}
	})
}

type unmarkable struct {
	registry.Registry
	broken *atomic.Bool
}

func (u unmarkable) MarkResync(ctx context.Context, id string) error {
	if u.broken.Load() {
		return failure(fault.Transient)
	}
	return u.Registry.MarkResync(ctx, id)
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.connect("default", "b", grown)
		release := r.gateway.Hold("a")
		r.send("stu_1", 1)
		r.start()
		r.wantFrames("b", "stu_1@1")
		pass(1900 * time.Millisecond)
		r.wantQueue(1, 0)
		pass(200 * time.Millisecond)
		r.wantQueue(0, 0)
		r.wantPosts("hung", 1)
		release()
		pass(2 * time.Second)
		if got := r.frames("a"); got != "RESYNC | stu_1@1" && got != "RESYNC" {
			t.Errorf("a got %s", got)
		}
	})
}

// When many connections are throttled, it is the account: all go slower, and nobody is marked for it.
func TestThrottledAccount(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		const connections = 50
		for i := range connections {
			id := fmt.Sprint("c", i)
			r.connect("default", id, grown)
			r.gateway.Script(id, failure(fault.Throttled), failure(fault.Throttled), failure(fault.Throttled))
		}
		r.send("stu_1", 1)
		r.start()
		pass(60 * time.Second)
		marked := 0
		for i := range connections {
			id := fmt.Sprint("c", i)
			if r.marked("default", id) {
				marked++
			}
			if got := r.frames(id); !strings.Contains(got, "stu_1@1") && !r.marked("default", id) {
				t.Errorf("%s got %q", id, got)
			}
		}
		if marked > 2 {
			t.Errorf("%d connections are marked for what the account did", marked)
		}
		r.wantQueue(0, 0)
	})
}

func TestRefusalIsAnAlarmAndNoRetry(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		for i := range 5 {
			id := fmt.Sprint("c", i)
			r.connect("default", id, grown)
			r.gateway.Script(id, failure(fault.Denied))
		}
		r.send("stu_1", 1)
		r.start()
		pass(10 * time.Second)
		for i := range 5 {
			if got := r.gateway.Posts(fmt.Sprint("c", i)); got != 1 {
				t.Errorf("%d posts", got)
			}
		}
		if got := r.log.With("post refused: check permission and WEBSOCKET_API_ENDPOINT"); len(got) != 5 {
			t.Errorf("%d alarms", len(got))
		}
		r.wantQueue(1, 0)
		r.wantWatchers("default", 5)
	})
}

func TestTooLargeIsSplit(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		for i := range 3 {
			r.send(fmt.Sprint("stu_", i), 1)
		}
		// The three, then the first half, of one; then the rest.
		r.gateway.Script("a", failure(fault.TooLarge), nil, failure(fault.TooLarge))
		r.start()
		frames := strings.Split(r.frames("a"), " | ")
		slices.Sort(frames) // the queue has no order
		if got := strings.Join(frames, " "); got != "stu_0@1 stu_1@1 stu_2@1" {
			t.Errorf("frames %v", frames)
		}
		r.wantQueue(0, 0)
	})
}

func TestAnUpdateThatNeverFits(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.send("stu_1", 1)
		r.send("stu_2", 1)
		r.gateway.Script("a", failure(fault.TooLarge), failure(fault.TooLarge))
		r.start()
		pass(2 * time.Second)
		r.wantQueue(0, 0)
		r.wantPosts("oversize", 1)
		if !r.marked("default", "a") || !strings.Contains(r.frames("a"), "RESYNC") {
			t.Errorf("not marked, or not told: %s", r.frames("a"))
		}
	})
}
