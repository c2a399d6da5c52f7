package session_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/summary"
	"github.com/iops-dashboard/live/services/internal/summary/memsummary"
	"github.com/iops-dashboard/live/services/session"
)

// fleet are sandboxes, which share nothing but what they tell each other. Each has one message in hand at a time.
type fleet struct {
	*rig
	summaries *memsummary.Store
	idle      chan *session.Sync
}

func newFleet(t *testing.T, sandboxes int, clock func(n int) time.Duration) *fleet {
	t.Helper()
	f := &fleet{rig: newRig(t, nil), summaries: &memsummary.Store{}, idle: make(chan *session.Sync, sandboxes)}
	for n := range sandboxes {
		one, err := session.NewSync(session.SyncConfig{
			Registry: f.registry, State: f.table, Gateway: f.gateway, Log: slog.New(slog.NewJSONHandler(f.log, nil)),
			Summaries: skewed{f.summaries, clock(n)},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.idle <- one
	}
	return f
}

func right(int) time.Duration { return 0 }

// sync has the next idle sandbox answer one.
func (f *fleet) sync(id string, syncID int64, views, digest string) {
	one := <-f.idle
	defer func() { f.idle <- one }()
	more := ""
	if digest != "" {
		more = `,"digest":"` + digest + `"`
	}
	f.handTo(context.Background(), one, id, events.APIGatewayWebsocketProxyRequest{Body: syncText(syncID, views, more)})
}

// skewed is a store as one sees it whose clock differs.
type skewed struct {
	*memsummary.Store
	by time.Duration
}

func (s skewed) Begin(ctx context.Context, k summary.Key, after int64, now time.Time) (bool, error) {
	return s.Store.Begin(ctx, k, after, now.Add(s.by))
}

func (s skewed) End(ctx context.Context, k summary.Key, r summary.Read) error {
	r.BegunAt = r.BegunAt.Add(s.by)
	return s.Store.End(ctx, k, r)
}

// revisions are the digests of one student, by revision.
func revision(n int64) string {
	if n == 0 {
		return contracts.Digest(nil)
	}
	return contracts.Digest([]contracts.DigestRow{{Key: "student/stu_1", Version: contracts.Version{Epoch: epoch, Revision: n}}})
}

// A network returns, and 300 browsers with it, who missed nothing.
func TestReconnectStormReadsATenth(t *testing.T) {
	t.Parallel()
	for name, within := range map[string]time.Duration{"at once": 0, "in ten seconds": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 16, right)
				f.onPage(func(state.Range, int) error { time.Sleep(20 * time.Millisecond); return nil })
				var gets, writes atomic.Int64
				f.summaries.OnCall = func(_ context.Context, call string) error {
					if call == "Get" {
						gets.Add(1)
					} else {
						writes.Add(1)
					}
					return nil
				}
				f.put("acme", "student", "stu_1", `{}`)
				const browsers = 300
				begin := time.Now()
				var group sync.WaitGroup
				for n := range browsers {
					group.Go(func() {
						time.Sleep(within / browsers * time.Duration(n))
						f.open("acme", fmt.Sprint(n))
						f.sync(fmt.Sprint(n), 1, everything, revision(1))
					})
				}
				group.Wait()
				took := time.Since(begin)
				for n := range browsers {
					f.wantAnswers(fmt.Sprint(n), "SYNCED 1")
				}
				fresh, shared := strings.Count(f.log.String(), `"read":"fresh"`), strings.Count(f.log.String(), `"read":"shared"`)
				t.Logf("%d reconnects %s: %d read the table, %d were told, within %v, by %d reads of summaries and %d writes",
					browsers, name, fresh, shared, took, gets.Load(), writes.Load())
				if gets.Load() > 6*browsers || writes.Load() > browsers {
					t.Errorf("%d reads of summaries, and %d writes", gets.Load(), writes.Load())
				}
				if fresh > browsers/6 || fresh+shared != browsers || f.lists() != fresh*allTypes {
					t.Errorf("%d read, by %d lists, and %d were told", fresh, f.lists(), shared)
				}
				if took > within+20*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestHeartbeatsOfManySandboxesShareARead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 4, right)
		f.put("acme", "student", "stu_1", `{}`)
		for n := range 20 {
			f.open("acme", fmt.Sprint(n))
			f.sync(fmt.Sprint(n), 1, everything, "")
		}
		time.Sleep(3 * time.Second)
		before := f.lists()
		for n := range 20 {
			f.sync(fmt.Sprint(n), 2, everything, revision(1))
			f.wantAnswers(fmt.Sprint(n), "SYNCED 2")
			time.Sleep(40 * time.Millisecond)
		}
		if got := f.lists() - before; got != allTypes {
			t.Errorf("%d lists for 20 heartbeats in a second", got)
		}
	})
}

// Whoever differs is sent what the table holds, by a read of its own.
func TestSharedReadRefutesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, right)
		f.put("acme", "student", "stu_1", `{}`)
		f.open("acme", id)
		f.sync(id, 1, everything, "")
		time.Sleep(3 * time.Second)
		f.sync(id, 2, everything, revision(1)) // reads, and tells
		f.put("acme", "student", "stu_1", `{}`)
		f.open("acme", "other")
		f.sync("other", 1, everything, revision(2))
		f.sync(id, 3, everything, revision(7))
		f.wantAnswers(id, "SNAPSHOT 1 1/1 student/stu_1@1", "SYNCED 2", "SNAPSHOT 3 1/1 student/stu_1@2")
		f.wantAnswers("other", "SYNCED 1")
	})
}

// What may be seen, what is asked for and whose it is make a summary.
func TestOthersSummariesAreOfNoUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, right)
		f.put("acme", "student", "stu_1", `{}`)
		f.put("umbrella", "student", "stu_1", `{}`)
		f.put("umbrella", "student", "stu_1", `{}`)
		f.put("acme", "tutor", "tut_1", `{}`)
		narrow := registry.Connection{ID: "narrow", Tenant: "acme", ConnectedAt: time.Now(), EntityTypes: []string{"student"}}
		if err := f.registry.Open(t.Context(), narrow); err != nil {
			t.Fatal(err)
		}
		f.gateway.Open("narrow")
		f.open("acme", "wide")
		f.open("acme", "students")
		f.open("umbrella", "theirs")
		for syncID := range int64(3) { // all hold what the narrow one is to see
			for _, id := range []string{"narrow", "wide", "theirs"} {
				f.sync(id, syncID+1, everything, revision(1))
			}
			f.sync("students", syncID+1, `[{"entity_type":"student"}]`, revision(1))
		}
		f.wantAnswers("narrow", "SYNCED 1", "SYNCED 2", "SYNCED 3")
		f.wantAnswers("students", "SYNCED 1", "SYNCED 2", "SYNCED 3")
		f.wantAnswers("wide", "SNAPSHOT 1 1/1 student/stu_1@1 tutor/tut_1@1", "SNAPSHOT 2 1/1 student/stu_1@1 tutor/tut_1@1", "SNAPSHOT 3 1/1 student/stu_1@1 tutor/tut_1@1")
		f.wantAnswers("theirs", "SNAPSHOT 1 1/1 student/stu_1@2", "SNAPSHOT 2 1/1 student/stu_1@2", "SNAPSHOT 3 1/1 student/stu_1@2")
	})
}

// A sandbox that ends in the middle of its read keeps nobody for long, and a mark is as it was.
func TestDeadReaderIsOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, right)
		f.put("acme", "student", "stu_1", `{}`)
		f.open("acme", "dead")
		f.onPage(func(state.Range, int) error { return failure(fault.Transient) })
		f.sync("dead", 1, everything, revision(1))
		f.onPage(nil)
		var group sync.WaitGroup
		for n := range 3 {
			f.open("acme", fmt.Sprint(n))
			group.Go(func() {
				begin := time.Now()
				f.sync(fmt.Sprint(n), 1, everything, revision(1))
				if took := time.Since(begin); took > 3*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		}
		group.Wait()
		for n := range 3 {
			f.wantAnswers(fmt.Sprint(n), "SYNCED 1")
		}
		f.mark("0")
		f.sync("0", 2, everything, revision(1))
		f.wantAnswers("0", "SNAPSHOT 2 1/1 student/stu_1@1")
	})
}

func TestSyncWithoutSummaries(t *testing.T) {
	t.Parallel()
	for name, on := range map[string]func(ctx context.Context, call string) error{
		"an outage":        func(context.Context, string) error { return failure(fault.Transient) },
		"no permission":    func(context.Context, string) error { return failure(fault.Denied) },
		"it hangs":         func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
		"none can begin":   func(_ context.Context, call string) error { return failIn("Begin", call) },
		"none can end":     func(_ context.Context, call string) error { return failIn("End", call) },
		"the end is stuck": func(ctx context.Context, call string) error { return hangIn(ctx, "End", call) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1, right)
				f.summaries.OnCall = on
				f.put("acme", "student", "stu_1", `{}`)
				f.open("acme", id)
				begin := time.Now()
				f.sync(id, 1, everything, revision(1))
				f.sync(id, 2, everything, revision(7))
				f.wantAnswers(id, "SYNCED 1", "SNAPSHOT 2 1/1 student/stu_1@1")
				if took := time.Since(begin); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				if log := f.log.String(); !strings.Contains(log, "nothing is shared") || strings.Count(log, `"msg":"sync"`) != 2 {
					t.Errorf("the log tells: %s", log)
				}
			})
		})
	}
}

func failIn(name, call string) error {
	if name == call {
		return failure(fault.Throttled)
	}
	return nil
}

func hangIn(ctx context.Context, name, call string) error {
	if name == call {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// hurry is what happens to a few sandboxes whose clocks differ, as data.
type hurry struct {
	clocks []time.Duration
	calls  []time.Duration // how long calls of the store take
	pages  []time.Duration // and pages of the table
	writes []time.Duration // when
	syncs  []asking
}

type asking struct {
	at, after  time.Duration // the second one of the connection
	claim      int64         // the revision that it shows, from that of the table
	reconnects bool          // instead of a heartbeat
}

// No sync is told that it holds what the table does, unless that was so at a moment after its views were stored.
func TestNobodyIsToldWhatWasNotSo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ms := func(label string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(rt, label)) * time.Millisecond
		}
		var h hurry
		for range 3 {
			h.clocks = append(h.clocks, ms("clock", 999)-time.Duration(rapid.SampledFrom([]int{0, 0, 999}).Draw(rt, "behind"))*time.Millisecond)
		}
		for range 20 {
			h.calls, h.pages = append(h.calls, ms("call", 100)), append(h.pages, ms("page", 300))
		}
		for range rapid.IntRange(0, 12).Draw(rt, "writes") {
			h.writes = append(h.writes, ms("write", 5000))
		}
		for range rapid.IntRange(2, 12).Draw(rt, "syncs") {
			h.syncs = append(h.syncs, asking{ms("sync", 5000), ms("after", 3000), int64(rapid.IntRange(-1, 1).Draw(rt, "claim")), rapid.Bool().Draw(rt, "reconnects")})
		}
		var complaint string
		synctest.Test(t, func(t *testing.T) { complaint = h.play(t) })
		if complaint != "" {
			rt.Fatal(complaint)
		}
	})
}

func (h hurry) play(t *testing.T) (complaint string) {
	f := newFleet(t, len(h.clocks), func(n int) time.Duration { return h.clocks[n] })
	var mu sync.Mutex
	next := func(list *[]time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		if len(*list) == 0 {
			return 0
		}
		one := (*list)[0]
		*list = (*list)[1:]
		return one
	}
	f.summaries.OnCall = func(context.Context, string) error { time.Sleep(next(&h.calls)); return nil }
	f.onPage(func(state.Range, int) error { time.Sleep(next(&h.pages)); return nil })
	written := []time.Time{time.Now()} // revisions from 0
	stored := map[string]time.Time{}
	f.registry.OnSubscribe = func(_ context.Context, id string) error {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := stored[id]; !ok {
			stored[id] = time.Now()
		}
		return nil
	}
	var group sync.WaitGroup
	for _, at := range h.writes {
		group.Go(func() {
			time.Sleep(at)
			mu.Lock()
			defer mu.Unlock()
			f.put("acme", "student", "stu_1", `{}`)
			written = append(written, time.Now())
		})
	}
	for n, one := range h.syncs {
		group.Go(func() {
			time.Sleep(one.at)
			for round := range int64(2) {
				id := fmt.Sprint(n)
				if one.reconnects {
					id += fmt.Sprint("-", round)
				}
				if round == 0 || one.reconnects {
					f.open("acme", id)
				}
				mu.Lock()
				claim := max(0, int64(len(written))-1+one.claim)
				mu.Unlock()
				f.sync(id, round+1, everything, revision(claim))
				answers := f.brief(id)
				if len(answers) == 0 {
					t.Error("no answer")
				} else if answers[len(answers)-1] == fmt.Sprint("SYNCED ", round+1) {
					mu.Lock()
					// It was so until the next revision.
					if claim >= int64(len(written)) || claim+1 < int64(len(written)) && written[claim+1].Before(stored[id]) {
						complaint = fmt.Sprintf("sync %d of %s is told that it holds revision %d; its views were stored at %v, and the writes were at %v",
							round+1, id, claim, stored[id], written)
					}
					mu.Unlock()
				}
				time.Sleep(one.after)
			}
		})
	}
	group.Wait()
	return complaint
}
