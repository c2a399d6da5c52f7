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
	for _, kind := range []fault.Kind{fault.Throttled, fault.Transient, fault.Internal} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.connect("default", "a", grown)
				r.gateway.Script("a", failure(kind), failure(kind))
				r.send("stu_1", 1)
				r.start()
				pass(2 * time.Second)
				r.wantFrames("a", "stu_1@1")
				r.wantQueue(0, 0)
			})
		})
	}
}

// What failed is not handed back at once: it comes again after its visibility timeout, five times,
// and then it is a dead letter.
func TestFailuresThatStay(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Throttled, fault.Transient, fault.Internal} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.connect("default", "a", grown)
				r.connect("default", "b", grown)
				for range 3 * 5 {
					r.gateway.Script("a", failure(kind))
				}
				r.send("stu_1", 1)
				r.start()
				for delivery := 1; delivery <= 5; delivery++ {
					pass(29 * time.Second)
					if got := r.gateway.Posts("a"); got != 3*delivery {
						t.Errorf("%d posts in %d deliveries", got, delivery)
					}
					r.wantQueue(1, 0)
					pass(time.Second)
				}
				pass(30 * time.Second)
				r.wantQueue(0, 1)
				r.wantFrames("a", "")
				r.wantWatchers("default", 2)
				r.wantFrames("b", strings.Repeat("stu_1@1 | ", 4)+"stu_1@1")
			})
		})
	}
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
		pass(7 * time.Second)
		if got := r.gateway.Posts("a"); got != 3 {
			t.Errorf("%d tries", got)
		}
		if reports := r.windows(); len(reports) != 1 || reports[0].Failed != 1 || reports[0].Posts["spent"] != 1 {
			t.Errorf("reports %+v", reports)
		}
		release()
		pass(30 * time.Second)
		r.wantFrames("a", "stu_1@1")
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
		if got := r.log.with("post refused: check permission and WEBSOCKET_API_ENDPOINT"); len(got) != 1 {
			t.Errorf("%d alarms, want one a window", len(got))
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

func TestAnUpdateThatNeverFitsFailsAlone(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.send("stu_1", 1)
		r.send("stu_2", 1)
		r.gateway.Script("a", failure(fault.TooLarge), failure(fault.TooLarge))
		r.start()
		if got := r.gateway.Frames("a"); len(got) != 1 {
			t.Errorf("frames %s", r.frames("a"))
		}
		r.wantQueue(1, 0)
		if got := r.log.with("update does not fit"); len(got) != 1 {
			t.Errorf("%d log lines", len(got))
		}
	})
}
