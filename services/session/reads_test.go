package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/logtest"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/session"
)

// Four entity types, and the insights.
const allTypes = 5

// Hundreds who come back at the same time cost two reads: one for the first, one for those who came while
// that was under way.
func TestSyncsThatArriveBeforeAReadBeginsShareIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		gate := make(chan struct{})
		r.onPage(func(state.Range, int) error { <-gate; return nil })
		r.put("acme", "student", "stu_1", `{}`)
		var group sync.WaitGroup
		for n := range 300 {
			id := fmt.Sprint(n)
			r.open("acme", id)
			group.Go(func() { r.sync(id, 1, everything, "") })
			if n == 0 {
				synctest.Wait() // its read is under way
				r.put("acme", "student", "stu_2", `{}`)
			}
		}
		r.open("umbrella", "other")
		group.Go(func() { r.sync("other", 1, `[{"entity_type":"tutor"}]`, "") })
		synctest.Wait()
		close(gate)
		group.Wait()
		if got := r.lists(); got != 2*allTypes+1 {
			t.Errorf("%d lists, want two of each type, and one of another tenant's", got)
		}
		r.wantReads(map[string]int{"fresh": 3, "joined": 298})
		for n := range 300 {
			r.wantAnswers(fmt.Sprint(n), "SNAPSHOT 1 1/1 student/stu_1@1 student/stu_2@1")
		}
		r.wantAnswers("other", "SNAPSHOT 1 1/1")
	})
}

// What a sync costs where 100,000 insights were found in the last four days, without the table's own work.
func BenchmarkSyncAmongManyInsights(b *testing.B) {
	r := &rig{t: b, registry: &memregistry.Registry{}, table: memstate.New(epoch), gateway: &memgateway.Gateway{}, log: &logtest.Log{}}
	for n := range 100_000 {
		at := time.Now().Add(-time.Duration(n) * 4 * 24 * time.Hour / 100_000)
		r.found("acme", fmt.Sprint("stu_", n), at.UTC().Format("2006-01-02T15:04:05.000Z"), n%100)
	}
	rows, _, err := r.table.Latest(b.Context(), state.Range{Tenant: "acme", EntityType: state.InsightType}, 100_000)
	if err != nil {
		b.Fatal(err)
	}
	r.session, err = session.NewSync(session.SyncConfig{
		Registry: r.registry, State: sorted{r.table, rows}, Gateway: r.gateway, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r.open("acme", fmt.Sprint(n))
		r.sync(fmt.Sprint(n), 1, `[{"entity_type":"insight","where":[{"attribute":"risk_score","operator":"ge","value":95}]}]`, "")
	}
}

// sorted is a table that has its latest rows at hand.
type sorted struct {
	state.Table
	latest []state.Entry
}

func (s sorted) Latest(_ context.Context, _ state.Range, limit int) ([]state.Entry, string, error) {
	return slices.Clone(s.latest[:limit]), s.latest[limit-1].EntityID, nil
}

func TestReadThatFailsIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var broken atomic.Bool
		r.onPage(func(state.Range, int) error {
			if broken.Load() {
				return failure(fault.Transient)
			}
			return nil
		})
		r.open("acme", id)
		r.sync(id, 1, everything, "")
		time.Sleep(3 * time.Second)
		broken.Store(true)
		r.sync(id, 2, everything, r.digest(id))
		broken.Store(false)
		r.sync(id, 3, everything, r.digest(id))
		r.wantAnswers(id, "SNAPSHOT 1 1/1", "ERROR 2 UNAVAILABLE", "SYNCED 3")
		if got := r.lists(); got != 3*allTypes {
			t.Errorf("%d lists, want three of each type", got)
		}
		r.wantReads(map[string]int{"fresh": 3})
	})
}

// wantReads counts the lines of the log by how their syncs had the state.
func (r *rig) wantReads(want map[string]int) {
	r.t.Helper()
	got := map[string]int{}
	for line := range strings.Lines(r.log.String()) {
		var sync struct{ Read string }
		if err := json.Unmarshal([]byte(line), &sync); err != nil {
			r.t.Fatal(err)
		}
		got[sync.Read]++
	}
	if !maps.Equal(got, want) {
		r.t.Errorf("reads %v, want %v", got, want)
	}
}

// However many insights there are, a sync reads five times as many as count at most. A browser that was told of each that
// came agrees with it, but when the cut moves.
func TestInsightsBeyondTheBoundAreNotRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const found, day = state.InsightRows / 4 * 5, 12 * time.Hour
	held := map[string]contracts.FoundInsight{} // by the browser
	begin := time.Now().Add(-day)
	find := func(n int) contracts.FoundInsight {
		risk := 10
		if n%20 == 0 {
			risk = 90
		}
		at := begin.Add(time.Duration(n) * day / found).UTC()
		of := contracts.InsightID{Pk: fmt.Sprint("insight#stu_", n), Sk: at.Format("2006-01-02T15:04:05.000Z")}
		r.found("acme", fmt.Sprint("stu_", n), of.Sk, risk)
		return contracts.FoundInsight{Key: contracts.InsightDigestKey(of), FoundAt: at.UnixMilli()}
	}
	for n := range found {
		find(n)
	}
	take := func(frames [][]byte) {
		for n, text := range frames {
			var f contracts.SnapshotFrameV1
			if err := json.Unmarshal(text, &f); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				maps.DeleteFunc(held, func(key string, _ contracts.FoundInsight) bool {
					return f.Covers == nil || slices.Contains(f.Covers, int64(contracts.DigestSlice(key)))
				})
			}
			for _, u := range f.Insights {
				at, err := time.Parse(time.RFC3339, u.InsightID.Sk)
				if err != nil {
					t.Fatal(err)
				}
				key := contracts.InsightDigestKey(u.InsightID)
				held[key] = contracts.FoundInsight{Key: key, FoundAt: at.UnixMilli()}
			}
		}
	}
	shown := func() string {
		var rows []contracts.DigestRow
		for _, f := range contracts.LatestInsights(slices.Collect(maps.Values(held)), func(f contracts.FoundInsight) contracts.FoundInsight { return f }) {
			rows = append(rows, contracts.DigestRow{Key: f.Key, Version: contracts.Version{Epoch: epoch, Revision: 1}})
		}
		return summed(rows)
	}

	r.open("acme", "all")
	r.sync("all", 1, everything, "")
	if take(r.gateway.Frames("all")); len(held) != contracts.InsightLimit {
		t.Errorf("%d insights count", len(held))
	}

	const critical = `[{"entity_type":"insight","where":[{"attribute":"risk_score","operator":"ge","value":80}]}]` // one of twenty
	r.open("acme", id)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.sync(id, 1, critical, "")
	runtime.ReadMemStats(&after)
	t.Logf("of %d insights, a sync that matches one of twenty allocates %d MB", found, (after.TotalAlloc-before.TotalAlloc)>>20)
	clear(held)
	if take(r.gateway.Frames(id)); len(held) > state.InsightRows/20 || len(held) < state.InsightRows/40 {
		t.Errorf("%d critical insights are held", len(held))
	}
	differ := 0
	for round := range 3 {
		for n := range 60 {
			if n = found + 60*round + n; n%20 == 0 {
				f := find(n)
				held[f.Key] = f
			} else {
				find(n)
			}
		}
		before := len(r.gateway.Frames(id))
		r.send(id, syncText(int64(2+round), critical, shown()))
		if answer := r.gateway.Frames(id)[before:]; !strings.HasPrefix(string(answer[0]), `{"type":"SYNCED"`) {
			differ++
			take(answer)
		}
	}
	if differ > 1 { // 180 insights come in eleven minutes
		t.Errorf("%d of 3 heartbeats differ", differ)
	}
}

// Its end is not that of a read for which others wait.
func TestSyncThatEndsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		gate := make(chan struct{})
		r.onPage(func(state.Range, int) error { <-gate; return nil })
		r.open("acme", "impatient")
		r.open("acme", id)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.sendIn(ctx, "impatient", syncText(1, everything, ""))
		}()
		synctest.Wait()
		go r.sync(id, 1, everything, "")
		synctest.Wait()
		cancel()
		<-done
		close(gate)
		synctest.Wait()
		r.wantAnswers("impatient")
		r.wantAnswers(id, "SNAPSHOT 1 1/1")
	})
}

func TestHeartbeatIsConfirmedByARecentRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.put("acme", "student", "stu_1", `{}`)
		for n := range 10 {
			r.open("acme", fmt.Sprint(n))
			r.sync(fmt.Sprint(n), 1, everything, "")
		}
		time.Sleep(3 * time.Second)
		digest, before := r.digest("0"), r.lists()
		for n := range 10 {
			r.sync(fmt.Sprint(n), 2, everything, digest)
			r.wantAnswers(fmt.Sprint(n), "SYNCED 2")
			time.Sleep(100 * time.Millisecond)
		}
		if got := r.lists() - before; got != allTypes {
			t.Errorf("%d lists for ten heartbeats in a second, want one of each type", got)
		}
		time.Sleep(time.Millisecond)
		r.sync("0", 3, everything, digest)
		if got := r.lists() - before; got != 2*allTypes {
			t.Errorf("%d lists, want a new one of each type after a second", got)
		}
		r.wantReads(map[string]int{"fresh": 12, "recent": 9})
		r.send("0", "no command")
		r.wantReads(map[string]int{"fresh": 12, "recent": 9, "": 1})
	})
}

// What the client knows of may be newer than the read. Were it sent the old state, it would drop what is not
// in it.
func TestRecentReadRefutesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.put("acme", "student", "stu_1", `{}`)
		r.open("acme", id)
		r.open("acme", "other")
		r.sync(id, 1, everything, "")
		r.sync("other", 1, everything, "")
		time.Sleep(3 * time.Second)
		r.sync("other", 2, everything, r.digest("other")) // reads
		r.put("acme", "student", "stu_2", `{}`)
		r.sync(id, 2, everything, contracts.Digest([]contracts.DigestRow{
			{Key: "student/stu_1", Version: contracts.Version{Epoch: epoch, Revision: 1}},
			{Key: "student/stu_2", Version: contracts.Version{Epoch: epoch, Revision: 1}},
		}))
		r.wantAnswers(id, "SNAPSHOT 1 1/1 student/stu_1@1", "SYNCED 2")
	})
}

// Between the read and the new views, updates have passed that nobody was sent.
func TestNewViewsAreNeverAnsweredFromAReadBeforeThem(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(r *rig, digest string){
		"a first sync": func(r *rig, digest string) {
			r.open("acme", id)
			r.sync(id, 2, everything, digest)
		},
		"a first sync, and a heartbeat": func(r *rig, digest string) {
			r.open("acme", id)
			r.onPage(func(state.Range, int) error { return failure(fault.Transient) })
			r.sync(id, 1, everything, digest)
			r.onPage(nil)
			r.sync(id, 2, everything, digest)
		},
		"other views": func(r *rig, digest string) { r.sync("other", 2, everything, digest) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.put("acme", "student", "stu_1", `{}`)
				r.open("acme", "reader")
				r.open("acme", "other")
				r.sync("reader", 1, everything, "")
				r.sync("other", 1, `[{"entity_type":"tutor"}]`, "")
				time.Sleep(3 * time.Second)
				digest := r.digest("reader")
				r.sync("reader", 2, everything, digest) // reads
				r.put("acme", "student", "stu_2", `{}`)
				prepare(r, digest)
				r.sync("reader", 3, everything, digest) // may be answered from what it read
				got := append(r.brief(id), r.brief("other")...)
				if want := "SNAPSHOT 2 1/1 student/stu_1@1 student/stu_2@1"; !slices.Contains(got, want) {
					t.Errorf("answered %q, want %s", got, want)
				}
			})
		})
	}
}
