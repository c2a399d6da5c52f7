package redrive_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/memqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a source, a target, and a folder for the logs.
type rig struct {
	t                   *testing.T
	source, target      *memqueue.Queue
	quarantine, archive *memqueue.Queue // not of the plan unless a test wants it
	folder              string
}

// virtually runs the test on a virtual clock.
func virtually(t *testing.T, test func(*testing.T, *rig)) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		test(t, &rig{
			t: t, source: &memqueue.Queue{}, target: &memqueue.Queue{}, quarantine: &memqueue.Queue{}, archive: &memqueue.Queue{}, folder: folder,
		})
	})
}

// pass lets time go by on the virtual clock.
func pass(d time.Duration) { time.Sleep(d) }

func (r *rig) put(n int) {
	for i := range n {
		r.source.Put(redrive.Entry{Body: fmt.Sprintf("body-%d", i)})
	}
}

// do runs, or resumes, run.
func (r *rig) do(ctx context.Context, run string, change func(*redrive.Plan)) (redrive.Result, error) {
	r.t.Helper()
	log, err := redrive.Open(r.folder, run)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	p := redrive.Plan{
		Run: run, Source: r.source, Target: r.target, SourceName: "dlq", TargetName: "queue", Rate: 1000, Log: log,
	}
	if change != nil {
		change(&p)
	}
	return redrive.Do(ctx, p)
}

func (r *rig) must(run string, change func(*redrive.Plan)) redrive.Result {
	r.t.Helper()
	result, err := r.do(r.t.Context(), run, change)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

func (r *rig) lines(run string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.folder, run+".jsonl"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func bodies(q *memqueue.Queue) []string {
	var all []string
	for _, m := range q.All() {
		all = append(all, m.Body)
	}
	slices.Sort(all)
	return all
}

func (r *rig) visible(want int) {
	r.t.Helper()
	visible, hidden, _ := r.source.Depth(r.t.Context())
	if visible != want || hidden != 0 {
		r.t.Errorf("%d messages visible and %d hidden, want %d visible", visible, hidden, want)
	}
}

func (r *rig) atTarget(want int) {
	r.t.Helper()
	if got := r.target.All(); len(got) != want {
		r.t.Errorf("%d messages at the target, want %d", len(got), want)
	}
}
