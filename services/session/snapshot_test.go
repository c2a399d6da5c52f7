package session_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
)

func TestSnapshotIsAllThatTheViewsHold(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	r.put("acme", "student", "stu_1", `{"sessions_7d":3,"health_score":50.5,"segment":"at_risk"}`)
	r.put("acme", "student", "stu_1", `{"sessions_7d":4,"health_score":60.5,"segment":"at_risk"}`)
	r.put("acme", "student", "stu_2", `{"health_score":70}`)
	r.put("acme", "student", "stu_gone", `{"health_score":10}`)
	r.put("acme", "student", "stu_gone", "")
	r.put("acme", "tutor", "tut \"<&>\" 1", `{"health_score":1}`)
	r.put("acme", "region", "reg_1", `{"health_score":1}`)
	r.put("umbrella", "student", "stu_9", `{"health_score":1}`)
	r.found("acme", "stu_1", "2099-11-22T10:00:00.000Z", 84)

	r.sync(id, 1, everything, "")
	r.wantAnswers(id, "SNAPSHOT 1 1/1 insight#stu_1@1 region/reg_1@1 student/stu_1@2 student/stu_2@1 tutor/tut \"<&>\" 1@1")
	r.sync(id, 2, `[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":70}],"fields":["health_score"]},{"entity_type":"tutor"}]`, "")
	r.wantAnswers(id, "SNAPSHOT 2 1/1 student/stu_1@2 tutor/tut \"<&>\" 1@1")
	var f contracts.SnapshotFrameV1
	if err := json.Unmarshal([]byte(r.answers(id)[1]), &f); err != nil {
		t.Fatal(err)
	}
	for _, u := range f.Entities {
		if u.EntityID == "stu_1" && (string(u.Attributes) != `{"health_score":60.5}` || u.WrittenAt != "2026-11-22T10:00:00.123Z" || u.Version.Epoch != epoch) {
			t.Errorf("the snapshot says %+v, %s", u, u.Attributes)
		}
	}
	r.sync(id, 3, `[]`, "")
	r.wantAnswers(id, "SNAPSHOT 3 1/1")
	if got := r.watching("acme"); len(got) != 0 {
		t.Errorf("it watches %q", got)
	}
}

func TestDigestOfWhatIsHeldIsConfirmed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	r.put("acme", "student", "stu_1", `{}`)
	r.found("acme", "stu_1", "2099-11-22T10:00:00.000Z", 84)
	r.sync(id, 1, everything, "")
	digest := r.digest(id)
	r.sync(id, 2, everything, digest)
	r.sync(id, 3, everything, "ffffffffffffffff")
	r.put("acme", "student", "stu_2", `{}`)
	r.put("acme", "student", "stu_2", "")
	r.sync(id, 4, everything, digest)
	r.put("acme", "student", "stu_1", "")
	r.sync(id, 5, everything, digest)
	r.wantAnswers(id,
		"SNAPSHOT 1 1/1 insight#stu_1@1 student/stu_1@1", "SYNCED 2", "SNAPSHOT 3 1/1 insight#stu_1@1 student/stu_1@1", "SYNCED 4", "SNAPSHOT 5 1/1 insight#stu_1@1")

	// On a new connection the digest counts, too: hundreds may come back at the same time.
	r.open("acme", "again=")
	r.sync("again=", 1, everything, r.digest(id))
	r.wantAnswers("again=", "SYNCED 1")
}

func TestOnlySlicesThatDifferAreSent(t *testing.T) {
	t.Parallel()
	row := func(key string, revision int64) contracts.DigestRow {
		return contracts.DigestRow{Key: key, Version: contracts.Version{Epoch: epoch, Revision: revision}}
	}
	const insight, older = "insight/insight#stu_1\t2099-11-22T10:00:00.000Z", "insight/insight#stu_2\t2099-11-22T09:00:00.000Z"
	right := []contracts.DigestRow{row("student/stu_1", 2), row("student/stu_2", 1), row("tutor/tut_1", 1), row(insight, 1), row(older, 1)}
	for name, tc := range map[string]struct {
		shown  []contracts.DigestRow
		covers []string // by a key in each
		rows   string   // in them
	}{
		"an update in flight":       {append([]contracts.DigestRow{row("student/stu_1", 1)}, right[1:]...), []string{"student/stu_1"}, "student/stu_1@2"},
		"one that it does not have": {right[1:], []string{"student/stu_1"}, "student/stu_1@2"},
		"one that is gone":          {append([]contracts.DigestRow{row("student/stu_gone", 1)}, right...), []string{"student/stu_gone"}, ""},
		"an insight in flight":      {right[:4], []string{older}, "insight#stu_2@1"},
		"another window": {
			append([]contracts.DigestRow{row("insight/insight#stu_1\t2099-12-22T10:00:00.000Z", 1)}, right[:3]...),
			[]string{insight, older, "insight/insight#stu_1\t2099-12-22T10:00:00.000Z"}, "insight#stu_1@1 insight#stu_2@1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.open("acme", id)
			r.put("acme", "student", "stu_1", `{}`)
			r.put("acme", "student", "stu_1", `{}`)
			r.put("acme", "student", "stu_2", `{}`)
			r.put("acme", "tutor", "tut_1", `{}`)
			r.found("acme", "stu_1", "2099-11-22T10:00:00.000Z", 84)
			r.found("acme", "stu_2", "2099-11-22T09:00:00.000Z", 84)
			r.send(id, syncText(1, everything, summed(tc.shown)))
			var f contracts.SnapshotFrameV1
			if got := r.answers(id); len(got) != 1 || json.Unmarshal([]byte(got[0]), &f) != nil {
				t.Fatalf("answered %q", got)
			}
			var covers []int64
			for _, key := range tc.covers {
				covers = append(covers, int64(contracts.DigestSlice(key)))
			}
			slices.Sort(covers)
			rows := rowsOf(f)
			slices.Sort(rows)
			if !slices.Equal(f.Covers, covers) || strings.Join(rows, " ") != tc.rows {
				t.Errorf("it covers %v with %q, want %v with %q", f.Covers, rows, covers, tc.rows)
			}
			if *f.Digest != contracts.Digest(right) {
				t.Error("the digest is not that of all that the views hold")
			}
		})
	}
}

func TestEverythingIsSent(t *testing.T) {
	t.Parallel()
	shown := summed(nil)
	for name, tc := range map[string]struct {
		prepare func(r *rig)
		more    string
	}{
		"no digest":               {more: shown[strings.Index(shown, `,"slices"`):]},
		"no slices":               {more: shown[:strings.Index(shown, `,"slices"`)]},
		"a mark":                  {func(r *rig) { r.mark(id) }, shown},
		"no slice differs":        {more: strings.Replace(summed(stored(1)), contracts.Digest(stored(1)), strings.Repeat("f", 32), 1)},
		"each slice differs":      {more: summed(stored(1000))},
		"another view, no digest": {func(r *rig) { r.sync(id, 1, `[]`, "") }, shown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.open("acme", id)
			r.put("acme", "student", "stu_0", `{}`)
			if tc.prepare != nil {
				tc.prepare(r)
			}
			r.send(id, syncText(2, everything, tc.more))
			r.wantAnswers(id, "SNAPSHOT 2 1/1 student/stu_0@1")
			if got := r.answers(id); strings.Contains(got[len(got)-1], "covers") {
				t.Errorf("answered %s", got[len(got)-1])
			}
		})
	}
}

// A heartbeat often meets an update in flight: that costs a slice, and not the table.
func TestHeartbeatThatMeetsAnUpdateIsCheap(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	const image = `{"sessions_7d":3,"sessions_14d":6,"sessions_30d":12,"ib_calls_7d":1,"ib_calls_14d":2,"avg_rating":4.75,"health_score":82.5,` +
		`"segment":"healthy","churn_risk_14d":0.12,"last_updated":"2026-11-22T10:00:00.123Z"}`
	for n := range 1000 {
		r.put("acme", "student", fmt.Sprint("stu_", n), image)
	}
	r.sync(id, 1, everything, "")
	whole, sum := 0, summed(stored(1000))
	for _, f := range r.answers(id) {
		whole += len(f)
	}
	r.put("acme", "student", "stu_7", image)
	r.send(id, syncText(2, everything, sum))
	frames := r.answers(id)
	sliced := frames[len(frames)-1]
	t.Logf("of 1,000 entities one differs: %d bytes by slices, %d bytes in whole; the command has %d", len(sliced), whole, len(syncText(2, everything, sum)))
	if len(sliced) > whole/30 || !strings.Contains(sliced, `"stu_7"`) {
		t.Errorf("%d bytes, and %d for everything", len(sliced), whole)
	}
}

// stored are so many students, as they are put first.
func stored(n int) []contracts.DigestRow {
	var rows []contracts.DigestRow
	for i := range n {
		rows = append(rows, contracts.DigestRow{Key: fmt.Sprint("student/stu_", i), Version: contracts.Version{Epoch: epoch, Revision: 1}})
	}
	return rows
}

// summed is what a sync says of rows.
func summed(rows []contracts.DigestRow) string {
	return fmt.Sprintf(`,"digest":%q,"slices":%q`, contracts.Digest(rows), contracts.SliceDigests(rows))
}

func TestMarkedConnectionIsSentASnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	r.put("acme", "student", "stu_1", `{}`)
	r.sync(id, 1, everything, "")
	digest := r.digest(id)
	r.mark(id)
	r.sync(id, 2, everything, digest)
	r.sync(id, 3, everything, digest)
	r.wantAnswers(id, "SNAPSHOT 1 1/1 student/stu_1@1", "SNAPSHOT 2 1/1 student/stu_1@1", "SYNCED 3")
}

// What was missed while the snapshot is posted need not be in it.
func TestMarkThatComesDuringASnapshotStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.open("acme", id)
		r.put("acme", "student", "stu_1", `{}`)
		r.sync(id, 1, everything, "")
		digest := r.digest(id)
		r.mark(id)
		release := r.gateway.Hold(id)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.sync(id, 2, everything, digest)
		}()
		synctest.Wait()
		r.mark(id)
		release()
		<-done
		r.sync(id, 3, everything, digest)
		r.sync(id, 4, everything, digest)
		r.wantAnswers(id, "SNAPSHOT 1 1/1 student/stu_1@1", "SNAPSHOT 2 1/1 student/stu_1@1", "SNAPSHOT 3 1/1 student/stu_1@1", "SYNCED 4")
	})
}

// The digest says nothing of attributes, so it cannot tell that other ones are shown now.
func TestOtherViewsAreSentASnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	r.put("acme", "student", "stu_1", `{"health_score":50,"segment":"at_risk"}`)
	few, more := `[{"entity_type":"student","fields":["segment"]}]`, `[{"entity_type":"student","fields":["segment","health_score"]}]`
	r.sync(id, 1, few, "")
	digest := r.digest(id)
	r.sync(id, 2, few, digest)
	r.sync(id, 3, more, digest)
	r.sync(id, 4, `[{"entity_type":"student","fields":["health_score","segment"]}]`, digest) // the same in another order
	r.wantAnswers(id, "SNAPSHOT 1 1/1 student/stu_1@1", "SYNCED 2", "SNAPSHOT 3 1/1 student/stu_1@1", "SYNCED 4")

	// That stays so until a snapshot was posted.
	r.gateway.Script(id, failure(fault.Denied))
	r.sync(id, 5, few, digest)
	r.onPage(func(state.Range, int) error { return failure(fault.Transient) })
	r.sync(id, 6, few, digest)
	r.onPage(nil)
	r.sync(id, 7, few, digest)
	r.sync(id, 8, few, digest)
	if got := r.brief(id)[4:]; !slices.Equal(got, []string{"ERROR 6 UNAVAILABLE", "SNAPSHOT 7 1/1 student/stu_1@1", "SYNCED 8"}) {
		t.Errorf("answered %q", got)
	}
}
