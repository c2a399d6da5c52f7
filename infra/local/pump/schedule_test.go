package pump

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// clock is a Scheduler at work in a bubble of fake time.
type clock struct {
	log  *logCounter
	stop func() // and wait for the end

	mu     sync.Mutex
	began  time.Time
	at     []time.Duration // of each invocation
	events []events.EventBridgeEvent
}

func newClock(t *testing.T, answer func(ctx context.Context, n int) (Response, error)) *clock {
	c := &clock{log: &logCounter{}, began: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	c.stop = func() { cancel(); running.Wait() }
	s := NewScheduler(Schedule{Function: "canary", Every: time.Minute, Region: "eu-west-1"}, InvokerFunc(
		func(ctx context.Context, function string, payload []byte) (Response, error) {
			var e events.EventBridgeEvent
			if err := json.Unmarshal(payload, &e); err != nil || function != "canary" {
				t.Errorf("%s is invoked with %s: %v", function, payload, err)
			}
			c.mu.Lock()
			c.at, c.events = append(c.at, time.Since(c.began)), append(c.events, e)
			n := len(c.at)
			c.mu.Unlock()
			return answer(ctx, n)
		}), slog.New(c.log))
	running.Go(func() { s.Run(ctx) })
	return c
}

func (c *clock) want(t *testing.T, at ...time.Duration) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.at) != len(at) {
		t.Fatalf("invoked at %v, want %v", c.at, at)
	}
	for i := range at {
		if c.at[i] != at[i] {
			t.Errorf("invoked at %v, want %v", c.at, at)
		}
	}
}

func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestScheduleInvokesInItsRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(t, func(context.Context, int) (Response, error) { return Response{}, nil })
		after(firstRun + 2*time.Minute)
		c.stop()
		after(time.Hour)
		c.want(t, firstRun, firstRun+time.Minute, firstRun+2*time.Minute)
		if len(c.log.lines) > 0 {
			t.Errorf("logged %q", c.log.lines)
		}
	})
}

func TestScheduledEventIsThatOfEventBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(t, func(context.Context, int) (Response, error) { return Response{}, nil })
		after(firstRun + time.Minute)
		c.stop()
		e := c.events[0]
		if e.Version != "0" || e.DetailType != "Scheduled Event" || e.Source != "aws.events" || e.Region != "eu-west-1" || e.AccountID != "000000000000" ||
			len(e.Resources) != 1 || e.Resources[0] != "arn:aws:events:eu-west-1:000000000000:rule/canary" || string(e.Detail) != "{}" {
			t.Errorf("got %+v", e)
		}
		if want := c.began.Add(firstRun); !e.Time.Equal(want.Truncate(time.Second)) {
			t.Errorf("time %s, want %s", e.Time, want)
		}
		if e.ID == "" || e.ID == c.events[1].ID {
			t.Errorf("two events have the id %q", e.ID)
		}
	})
}

// What fails, or is throttled, is said, and the next run comes with the rhythm.
func TestScheduleGoesOnAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(t, func(_ context.Context, n int) (Response, error) {
			return []Response{failed, {}, {}}[n-1], []error{nil, errThrottle, nil}[n-1]
		})
		after(firstRun + 2*time.Minute)
		c.stop()
		c.want(t, firstRun, firstRun+time.Minute, firstRun+2*time.Minute)
		if c.log.count("WARN scheduled function failed") != 1 || c.log.count("WARN scheduled function was not invoked") != 1 || len(c.log.lines) != 2 {
			t.Errorf("logged %q", c.log.lines)
		}
	})
}

// An answer that does not come is waited for until the next run is due; one that comes late costs the runs that it missed.
func TestScheduleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(t, func(ctx context.Context, n int) (Response, error) {
			if n == 1 {
				<-ctx.Done()
				return Response{}, ctx.Err()
			}
			return Response{}, nil
		})
		after(firstRun + time.Minute)
		c.want(t, firstRun, firstRun+time.Minute)
		if c.log.count("was not invoked") != 1 {
			t.Errorf("logged %q", c.log.lines)
		}
		c.stop()
	})
}

// It ends at once: before its first run, between two, and in the middle of one, of which nothing is said.
func TestScheduleStops(t *testing.T) {
	for name, lived := range map[string]time.Duration{"before": firstRun / 2, "within": firstRun + time.Second, "between": firstRun + 30*time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClock(t, func(ctx context.Context, _ int) (Response, error) {
					select {
					case <-ctx.Done():
						return Response{}, ctx.Err()
					case <-time.After(10 * time.Second):
						return Response{}, nil
					}
				})
				after(lived)
				began := time.Now()
				c.stop()
				if took := time.Since(began); took > 0 || len(c.log.lines) > 0 {
					t.Errorf("took %s and said %q", took, c.log.lines)
				}
			})
		})
	}
}
