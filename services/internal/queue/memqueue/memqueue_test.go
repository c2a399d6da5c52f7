package memqueue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/queue/memqueue"
	"github.com/iops-dashboard/live/services/internal/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Harness {
		var failing atomic.Value
		failing.Store("")
		fail := func(m queue.Message) error {
			if body := failing.Load(); body != "" && body == m.Body {
				return fault.Newf("queue", fault.Transient, "planted")
			}
			return nil
		}
		q := memqueue.New(memqueue.Options{Visibility: queuetest.Visibility, MaxReceives: queuetest.MaxReceives})
		q.OnDelete, q.OnReturn = fail, fail
		return queuetest.Harness{
			Queue: q,
			Send:  func(body string, attributes map[string]queue.Attribute) { q.Send(body, attributes) },
			Dead: func(n int) []queue.Message {
				dead := q.Dead()
				if len(dead) != n {
					t.Fatalf("%d dead letters, want %d", len(dead), n)
				}
				return dead
			},
			FailEntry: func(body string) { failing.Store(body) },
		}
	})
}

func TestVisibilityFollowsTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New(memqueue.Options{})
		q.Send("a", nil)
		start := time.Now()
		for i := range 3 {
			if _, err := q.Receive(context.Background(), 1, 20*time.Second); err != nil {
				t.Fatal(err)
			}
			if messages, _ := q.Receive(context.Background(), 1, 20*time.Second); len(messages) != 0 {
				t.Fatal("not hidden")
			}
			time.Sleep(10 * time.Second) // the bubble's clock: it takes no time
			if got, want := time.Since(start), time.Duration(i+1)*30*time.Second; got != want {
				t.Errorf("at %v, want %v", got, want)
			}
		}
	})
}
