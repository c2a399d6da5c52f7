package fanout

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// permit connects a listener whose permission ends after so long.
func (r *rig) permit(id string, left time.Duration, views map[string]string) {
	r.t.Helper()
	now := time.Now()
	c := registry.Connection{ID: id, Tenant: "default", ConnectedAt: now.Add(-grown), Until: now.Add(left)}
	if err := r.registry.Open(context.Background(), c); err != nil {
		r.t.Fatal(err)
	}
	if views != nil {
		if _, err := r.registry.Subscribe(context.Background(), id, registry.Subscription{SyncID: 1, Views: views}); err != nil {
			r.t.Fatal(err)
		}
	}
	r.gateway.Open(id)
}

// wantOpen checks whether a socket and its rows are there.
func (r *rig) wantOpen(id string, want bool) {
	r.t.Helper()
	posts := r.gateway.Posts(id)
	if open := r.gateway.Post(context.Background(), id, gateway.NewFrame([]byte(`{}`)), time.Second) == nil; open != want {
		r.t.Errorf("after %d posts %s is open: %t, want %t", posts, id, open, want)
	}
	rows := 0
	for page, err := range r.registry.Watching(context.Background(), registry.Query{Tenant: "default", Types: []string{"student", "tutor"}}) {
		if err != nil {
			r.t.Fatal(err)
		}
		for _, w := range page {
			if w.ID == id {
				rows++
			}
		}
	}
	if (rows > 0) != want {
		r.t.Errorf("%s has %d rows, want some: %t", id, rows, want)
	}
}

// Who only listens never hears from a sync that its permission has ended.
func TestAListenerWhosePermissionEndsIsToldAndClosed(t *testing.T) {
	t.Parallel()
	students := `[{"entity_type":"student"}]`
	for name, views := range map[string]map[string]string{
		"of everything":    nil,
		"of a type":        {"student": students},
		"of two types":     {"student": students, "tutor": `[{"entity_type":"tutor"}]`},
		"of other things":  {"student": `[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":-1}]}]`},
		"of nothing right": {"student": "not a view"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.connect("default", "other", grown)
				r.permit("a", time.Minute, views)
				r.start()
				r.send("stu_1", 1)
				synctest.Wait()
				before := r.frames("a")
				pass(time.Minute)
				r.send("stu_2", 1)
				synctest.Wait()
				want := "RECONNECT"
				if before != "" {
					want = before + " | " + want
				}
				r.wantFrames("a", want)
				r.wantOpen("a", false)
				r.wantQueue(0, 0)
				r.wantFrames("other", "stu_1@1 | stu_2@1")

				posts := r.gateway.Posts("a")
				r.send("stu_1", 3)
				synctest.Wait()
				if got := r.gateway.Posts("a"); got != posts {
					t.Errorf("%d more posts to a closed connection", got-posts)
				}
			})
		})
	}
}

// Data that waits when the permission ends is not sent.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.permit("a", time.Second, nil)
		r.start()
		release := r.gateway.Hold("a")
		r.send("stu_1", 1)
		synctest.Wait()
		r.send("stu_2", 1) // waits for that post
		pass(time.Second)
		r.send("stu_3", 1)
		synctest.Wait()
		release()
		synctest.Wait()
		r.wantFrames("a", "stu_1@1 | RECONNECT")
		r.wantOpen("a", false)
		r.wantQueue(0, 0)
	})
}

// It is told what it may not miss: if it cannot hear it, or cannot be closed, that is tried again, and nothing waits.
func TestAnEndThatMeetsAnOutage(t *testing.T) {
	t.Parallel()
	planted := func(kind fault.Kind) error { return fault.New("planted", kind, nil) }
	for name, tc := range map[string]struct {
		script []error // of the posts, and of the end
		want   string
	}{
		"the post meets an outage":     {[]error{planted(fault.Transient)}, "RECONNECT"},
		"the post meets outages":       {[]error{planted(fault.Transient), planted(fault.Transient), planted(fault.Transient)}, "RECONNECT"},
		"the post meets a slow reader": {[]error{planted(fault.Throttled), planted(fault.Throttled)}, "RECONNECT"},
		"its socket has gone":          {[]error{planted(fault.Gone)}, ""},
		"the end meets an outage":      {[]error{nil, planted(fault.Transient)}, "RECONNECT | RECONNECT"},
		"the end is refused":           {[]error{nil, planted(fault.Denied), nil, planted(fault.Denied)}, "RECONNECT | RECONNECT | RECONNECT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.permit("a", time.Second, nil)
				pass(time.Second)
				r.gateway.Script("a", tc.script...)
				r.start()
				r.send("stu_1", 1)
				pass(time.Second)
				r.wantQueue(0, 0)
				pass(10 * time.Second)
				r.wantFrames("a", tc.want)
				if posts := r.gateway.Posts("a"); posts > len(tc.script)+1 {
					t.Errorf("%d posts", posts)
				}
				if tc.want == "" {
					r.gateway.Close("a")
				}
				r.wantOpen("a", false)
			})
		})
	}
}

// Where ends are refused, as where a permission is missing, the updates of others cost no more for it.
func TestAnEndThatIsNeverAllowed(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.permit("a", time.Second, nil)
		pass(time.Second)
		for range 1000 {
			r.gateway.Script("a", nil, fault.New("planted", fault.Denied, nil))
		}
		r.start()
		for n := range 100 {
			r.send(fmt.Sprint("stu_", n), 1)
			pass(time.Second)
			r.wantQueue(0, 0)
		}
		if posts := r.gateway.Posts("a"); posts < 5 || posts > 20 || r.posts["delivered"] != posts {
			t.Errorf("%d posts, %v", posts, r.posts)
		}
		if r.marked("default", "a") {
			t.Error("it is to synchronise, which it cannot")
		}
	})
}

// Without a closer it is told with each update, and never more.
func TestAnEndWithoutACloser(t *testing.T) {
	t.Parallel()
	bubble(t, func(c *Config) { c.Closer = nil }, func(r *rig) {
		r.permit("a", time.Second, nil)
		pass(time.Second)
		if err := r.registry.MarkResync(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		r.start()
		want := ""
		for n := range 3 {
			r.send(fmt.Sprint("stu_", n), 1)
			synctest.Wait()
			pass(time.Minute)
			if want += "RECONNECT"; n < 2 {
				r.wantFrames("a", want)
				want += " | "
			}
		}
		r.wantFrames("a", want)
		r.wantQueue(0, 0)
	})
}

// Nothing of a function runs after its answer.
func TestFunctionEndsAListenerInItsBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, r := function(t, func(c *Config) { c.Closer = c.Gateway.(gateway.Closer) })
		r.permit("a", time.Second, nil)
		pass(time.Second)
		if got := failures(t, f, t.Context(), batchOf(encode(t, newEvent("default", "stu_1", 1)))); got != nil {
			t.Errorf("failed: %v", got)
		}
		r.wantFrames("a", "RECONNECT")
		r.wantOpen("a", false)
	})
}
