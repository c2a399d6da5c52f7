package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
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
