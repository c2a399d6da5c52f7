package fanout

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/registry"
)

func failure(kind fault.Kind) error { return fault.Newf("planted", kind, "planted") }

func TestDuplicatesAndOldVersionsAreConflated(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		for _, revision := range []int64{3, 1, 2, 3, 1} {
			r.send("stu_1", revision)
		}
		r.start()
		r.wantFrames("a", "stu_1@3")
		r.wantQueue(0, 0)
		r.wantPosts("delivered", 1)
		if got := r.rounds(); len(got) != 1 || got[0] != (report{"done", 5, 1, 4}) {
			t.Errorf("reports %+v", got)
		}
	})
}

func TestRegistryPageThatFails(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		var reads atomic.Int64
		r.registry.PageSize = 2
		r.registry.OnPage = func(_ context.Context, tenant string, n int) error {
			if tenant == "default" && n == 1 && reads.Add(1) == 1 {
				return failure(fault.Throttled)
			}
			return nil
		}
		for i := range 5 {
			r.connect("default", fmt.Sprint("c", i), grown)
		}
		r.connect("acme", "other", grown)
		r.send("stu_1", 1)
		r.queue.Send(encode(t, newEvent("acme", "stu_1", 1)), nil)
		r.start()
		r.wantQueue(1, 0) // the other tenant's is done
		r.wantFrames("other", "stu_1@1")
		pass(31 * time.Second)
		r.wantQueue(0, 0)
		for i := range 5 {
			if got := r.frames(fmt.Sprint("c", i)); !strings.HasSuffix(got, "stu_1@1") {
				t.Errorf("c%d got %q", i, got)
			}
		}
	})
}

func TestSoftStopFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		release := r.gateway.Hold("a")
		r.send("stu_1", 1)
		r.start()
		r.stop()
		synctest.Wait()
		r.send("stu_2", 1) // it is not received any more
		pass(time.Second)
		release()
		<-r.stopped
		r.wantFrames("a", "stu_1@1")
		r.wantQueue(1, 0)
		if got := r.queue.Waiting()[0].ReceiveCount; got != 0 {
			t.Errorf("received %d times after the stop", got)
		}
	})
}

func TestHardStopHandsBackWhatIsNotFinished(t *testing.T) {
	t.Parallel()
	// Posts take longer than the grace.
	patient := func(c *Config) { c.PostTimeout = 15 * time.Second }
	bubble(t, patient, func(r *rig) {
		r.connect("default", "a", grown)
		r.connect("acme", "b", grown)
		release := r.gateway.Hold("a")
		r.send("stu_1", 1)
		r.queue.Send(encode(t, newEvent("acme", "stu_9", 1)), nil)
		r.start()
		stopAt := time.Now()
		r.end()
		if took := time.Since(stopAt); took != 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
		r.wantFrames("a", "")
		r.wantFrames("b", "stu_9@1")
		r.wantQueue(1, 0) // b's is deleted
		release()
		r.start() // it is visible at once
		r.wantFrames("a", "stu_1@1")
		r.wantQueue(0, 0)
	})
}

// A killed worker leaves the message to its visibility timeout; the next worker posts it.
func TestKilledInMidBatch(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.send("stu_1", 1)
		if _, err := r.queue.Receive(context.Background(), queue.MaxBatch, 0); err != nil { // and then no more
			t.Fatal(err)
		}
		r.start()
		r.wantFrames("a", "")
		pass(31 * time.Second)
		r.wantFrames("a", "stu_1@1")
		r.wantQueue(0, 0)
	})
}

func TestRunTwice(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		for revision := range int64(3) {
			r.start()
			r.send("stu_1", revision+1)
			synctest.Wait()
			r.end()
		}
		r.wantFrames("a", "stu_1@1 | stu_1@2 | stu_1@3")
	})
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.send("stu_1", 1)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.worker.Run(ctx); err != nil {
			t.Error(err)
		}
		r.wantQueue(1, 0)
	})
}

func TestSlowConnectionDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "slow", grown)
		r.connect("default", "fast", grown)
		release := r.gateway.Hold("slow")
		defer release()
		r.start()
		var want []string
		for revision := range int64(20) {
			r.send("stu_1", revision+1)
			want = append(want, fmt.Sprintf("stu_1@%d", revision+1))
			synctest.Wait() // no time passes
			r.wantFrames("fast", strings.Join(want, " | "))
		}
	})
}

// A large audience is read no more often than its posts can be made: what arrives meanwhile shares a read.
func TestReadsOfALargeAudienceAreSpaced(t *testing.T) {
	t.Parallel()
	const connections, perSecond = 100, 500
	bubble(t, func(c *Config) { c.Rate = perSecond }, func(r *rig) {
		for i := range connections {
			r.connect("default", fmt.Sprint("c", i), grown)
		}
		r.start()
		began := time.Now()
		for revision := range int64(200) {
			r.send("stu_1", revision+1)
			pass(5 * time.Millisecond)
		}
		pass(time.Second)
		sweeps := int(time.Since(began) / (connections * time.Second / perSecond))
		if got := len(r.rounds()); got < sweeps || got > sweeps*readsPerSweep+1 {
			t.Errorf("%d reads in %d sweeps", got, sweeps)
		}
		r.wantQueue(0, 0)
		if got := r.frames("c0"); !strings.HasSuffix(got, "stu_1@200") {
			t.Errorf("c0 shows %s", got)
		}
	})
}

// The default load has eight updates a second, each a window of its own. One connection that keeps all
// of them waiting, as long as it can, must not keep the others waiting.
func TestOneBadConnectionAtTheDefaultLoad(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		age   time.Duration
		spoil func(*rig)
	}{
		"gone as a newborn": {0, func(r *rig) { r.gateway.Close("bad") }},
		"never answers":     {grown, func(r *rig) { r.gateway.Hold("bad") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.connect("default", "bad", tc.age)
				r.connect("default", "good", grown)
				tc.spoil(r)
				r.start()
				for n := range 96 {
					r.send(fmt.Sprint("stu_", n), 1)
					synctest.Wait()
					if got := len(r.gateway.Frames("good")); got != n+1 {
						t.Errorf("%d frames of %d", got, n+1)
						break
					}
					pass(125 * time.Millisecond)
				}
			})
		})
	}
}

func TestReceivesOnlyWhatThereIsRoomFor(t *testing.T) {
	t.Parallel()
	small := func(c *Config) { c.UnderWay = 20 }
	bubble(t, small, func(r *rig) {
		r.connect("default", "a", grown)
		release := r.gateway.Hold("a")
		for i := range 35 {
			r.send(fmt.Sprint("stu_", i), 1)
		}
		r.start()
		received := 0
		for _, m := range r.queue.Waiting() {
			received += m.ReceiveCount
		}
		if received != 20 {
			t.Errorf("%d received with room for 20", received)
		}
		release()
		pass(10 * time.Second)
		r.wantQueue(0, 0)
	})
}

// Batches that come while the audience is read share the next read, and an update that waits in a
// mailbox is replaced by the next one of its entity.
func TestBatchesShareAReadAndMailboxesConflate(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		release := r.gateway.Hold("a")
		reading := make(chan struct{})
		var reads atomic.Int64
		r.registry.OnPage = func(context.Context, string, int) error {
			if reads.Add(1) == 1 {
				<-reading
			}
			return nil
		}
		r.send("stu_1", 1)
		r.start()
		for revision := range int64(129) {
			r.send("stu_1", revision+2)
			r.send(fmt.Sprint("tut_", revision), 1)
		}
		synctest.Wait()
		close(reading)
		synctest.Wait()
		if got := reads.Load(); got != 2 {
			t.Errorf("%d reads, want 2", got)
		}
		release()
		pass(time.Second)
		frames := r.gateway.Frames("a")
		if got := r.frames("a"); strings.Count(got, "stu_1@130") != 1 || strings.Count(got, "stu_1@") > 2 {
			t.Errorf("frames %s", got)
		}
		if len(frames) > 4 {
			t.Errorf("%d frames for 130 entities", len(frames))
		}
		r.wantQueue(0, 0)
	})
}

func TestPostersAreBounded(t *testing.T) {
	t.Parallel()
	few := func(c *Config) { c.Posters = 3 }
	bubble(t, few, func(r *rig) {
		var releases []func()
		for i := range 10 {
			id := fmt.Sprint("c", i)
			r.connect("default", id, grown)
			releases = append(releases, r.gateway.Hold(id))
		}
		r.send("stu_1", 1)
		r.start()
		posts := 0
		for i := range 10 {
			posts += r.gateway.Posts(fmt.Sprint("c", i))
		}
		if posts != 3 {
			t.Errorf("%d posts in flight, want 3", posts)
		}
		for _, release := range releases {
			release()
		}
		pass(time.Second)
		r.wantQueue(0, 0)
	})
}

// Newborns wait without a poster, so that they do not keep others waiting.
func TestWaitingTakesNoPoster(t *testing.T) {
	t.Parallel()
	few := func(c *Config) { c.Posters = 2 }
	bubble(t, few, func(r *rig) {
		for i := range 6 {
			id := fmt.Sprint("new", i)
			r.connect("default", id, 0)
			r.gateway.Close(id)
		}
		r.connect("acme", "grown", grown)
		r.send("stu_1", 1)
		r.start()
		r.queue.Send(encode(t, newEvent("acme", "stu_1", 1)), nil)
		synctest.Wait()
		r.wantFrames("grown", "stu_1@1")
		pass(19 * time.Second)
		r.wantWatchers("default", 0)
		r.wantQueue(0, 0)
	})
}

// Whoever is worked on for long stays hidden from other receivers, and is let go when the patience
// ends.
func TestMessagesStayHiddenUntilThePatienceEnds(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", -time.Hour) // a clock is wrong: it stays a newborn
		r.gateway.Close("a")
		r.send("stu_1", 1)
		r.start()
		pass(119 * time.Second)
		if got := r.queue.Waiting()[0].ReceiveCount; got != 1 {
			t.Errorf("received %d times while it was worked on", got)
		}
		pass(62 * time.Second)
		if got := r.queue.Waiting()[0].ReceiveCount; got != 2 {
			t.Errorf("received %d times, want 2: once more when the patience has ended", got)
		}
		r.gateway.Open("a")
		pass(time.Second)
		r.wantFrames("a", "stu_1@1")
		r.wantQueue(0, 0)
	})
}

func TestReceiveOutageIsLoggedOnce(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		var down atomic.Bool
		var calls atomic.Int64
		down.Store(true)
		r.queue.OnReceive = func(context.Context) error {
			if down.Load() {
				calls.Add(1)
				return failure(fault.Transient)
			}
			return nil
		}
		r.connect("default", "a", grown)
		r.send("stu_1", 1)
		r.start()
		pass(time.Minute)
		if got := len(r.log.With("cannot receive")); got != 1 {
			t.Errorf("logged %d times", got)
		}
		if got := calls.Load(); got < 20 || got > 80 {
			t.Errorf("%d calls in a minute", got)
		}
		down.Store(false)
		pass(30 * time.Second)
		if got := len(r.log.With("receiving again")); got != 1 {
			t.Errorf("recovery logged %d times", got)
		}
		r.wantFrames("a", "stu_1@1")
	})
}

func TestTenantsNeverCross(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.worker.Registry = lying{r.registry}
		r.connect("acme", "a", grown)
		r.connect("umbrella", "b", grown)
		r.queue.Send(encode(t, newEvent("acme", "stu_1", 1)), nil)
		r.queue.Send(encode(t, newEvent("umbrella", "stu_1", 2)), nil)
		r.start()
		r.wantFrames("a", "stu_1@1")
		r.wantFrames("b", "stu_1@2")
		r.wantQueue(0, 0)
		if got := len(r.log.With("the registry names another tenant's connection")); got != 2 || r.crossed != 2 {
			t.Errorf("%d crossings logged, %d counted", got, r.crossed)
		}
	})
}

// An event that was sorted to another tenant is shown to nobody, and its message comes again.
func TestEventsOfAnotherTenantAreKeptBack(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("acme", "a", grown)
		r.connect("umbrella", "b", grown)
		events, _ := r.worker.majors.decode([]queue.Message{
			{Body: encode(t, newEvent("acme", "stu_1", 1))}, {Body: encode(t, newEvent("umbrella", "stu_2", 1))},
		})
		e := r.worker.newEngine(t.Context())
		defer e.close()
		fates := make(chan fate, 1)
		e.give(&parcel{tenant: "acme", events: events, end: func(what fate) { fates <- what }})
		if what := <-fates; what != failed {
			t.Errorf("the messages are %v, want them to come again", what)
		}
		synctest.Wait() // for the posts
		r.wantFrames("a", "stu_1@1")
		r.wantFrames("b", "")
		if got := len(r.log.With("events were sorted to another tenant")); got != 1 || r.crossed != 1 {
			t.Errorf("%d crossings logged, %d counted", got, r.crossed)
		}
	})
}

// lying is a registry that gives everybody's connections to every tenant.
type lying struct{ registry.Registry }

func (l lying) Watching(ctx context.Context, q registry.Query) iter.Seq2[[]registry.Watcher, error] {
	return func(yield func([]registry.Watcher, error) bool) {
		for _, tenant := range []string{"acme", "umbrella"} {
			for page, err := range l.Registry.Watching(ctx, registry.Query{Tenant: tenant, Types: q.Types, Buckets: q.Buckets}) {
				if !yield(page, err) {
					return
				}
			}
		}
	}
}

func TestNobodyWatches(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.send("stu_1", 1)
		r.start()
		r.wantQueue(0, 0)
	})
}

func TestAllOfAConnectionsFramesComeAfterAFailure(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		for i := range 40 { // of about 2 KB each
			e := newEvent("default", fmt.Sprint("stu_", i), 1)
			e.Data.Current = []byte(`{` + strings.Repeat(" ", 2000) + `}`)
			r.queue.Send(encode(t, e), nil)
		}
		r.gateway.Script("a", nil, failure(fault.Transient))
		r.start()
		pass(5 * time.Second)
		seen := map[string]bool{}
		for _, f := range r.gateway.Frames("a") {
			if len(f) > contracts.MaxFrameBytes {
				t.Errorf("a frame of %d bytes", len(f))
			}
			for _, u := range read(t, f) {
				seen[u.EntityID] = true
			}
		}
		if len(seen) != 40 {
			t.Errorf("%d of 40", len(seen))
		}
		r.wantQueue(0, 0)
	})
}

func TestLogTellsNoSecrets(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		const id = "canary-connection="
		for i, result := range []error{failure(fault.Denied), failure(fault.TooLarge), failure(fault.Throttled), failure(fault.Gone)} {
			c := fmt.Sprint(id, i)
			r.connect("canary-tenant", c, grown)
			r.gateway.Script(c, result, result, result)
		}
		r.queue.Send(encode(t, newEvent("canary-tenant", "canary-entity", 1)), nil)
		r.queue.Send(`{"type":"METRIC_UPDATE","tenant":"canary-tenant","data":"canary-data"}`, nil)
		r.start()
		pass(10 * time.Second)
		if strings.Contains(r.log.String(), "canary") {
			t.Errorf("the log tells: %s", r.log)
		}
	})
}

func TestRoundLine(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.send("stu_1", 1)
		pass(250 * time.Millisecond)
		r.start()
		got := r.log.With("round")
		if len(got) != 1 {
			t.Fatalf("%d lines", len(got))
		}
		for field, want := range map[string]any{
			"outcome": "done", "messages": 1.0, "rows": 1.0, "duration_ms": 0.0, "queue_age_ms": 250.0, "level": "INFO",
			"trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		} {
			if got[0][field] != want {
				t.Errorf("%s = %v, want %v", field, got[0][field], want)
			}
		}
	})
}

func TestConfigFaultsAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := NewWorker(Config{Posters: -1, Tries: -2, UnderWay: 9, Patience: 8 * time.Second, Rate: -1, Buckets: []int{16}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Queue", "Posters", "Tries", "UnderWay", "Patience", "Rate", "bucket 16"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not tell of %s", err, want)
		}
	}
	if errors.Unwrap(err) == nil {
		t.Error("no cause")
	}
}

// Insights share windows, connections and verdicts with entities, and no frame.
func TestInsightsHaveFramesOfTheirOwn(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.connect("acme", "b", grown)
		r.gateway.Script("a", failure(fault.Transient))
		for _, e := range []any{
			newInsight("default", "stu_1", noon, 1), newEvent("default", "stu_1", 7), newInsight("default", "stu_1", noon.Add(time.Second), 1),
			newInsight("default", "stu_1", noon, 2), newInsight("acme", "stu_1", noon, 3),
		} {
			r.queue.Send(encode(t, e), nil)
		}
		r.queue.Send(strings.Replace(encode(t, newInsight("default", "stu_1", noon, 9)), "insight-created/v1", "insight-created/v2", 1), nil)
		r.start()
		pass(time.Second)
		r.wantFrames("a", "stu_1@7 | insight#stu_1@2026-11-22T12:00:00.000Z@2 insight#stu_1@2026-11-22T12:00:01.000Z@1")
		r.wantFrames("b", "insight#stu_1@2026-11-22T12:00:00.000Z@3")
		r.wantQueue(0, 1)
	})
}
