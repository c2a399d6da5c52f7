package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const everything = `[{"entity_type":"*"}]`

func TestSyncRefusesWhatIsNoCommand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, want string
	}{
		"too large":          {syncText(1, everything, strings.Repeat(" ", 4096)), `"code":"TOO_LARGE"`},
		"nothing":            {``, `"code":"INVALID","pointer":"","rule":"syntax"`},
		"no JSON":            {`ping`, `"code":"INVALID","pointer":"","rule":"syntax"`},
		"no object":          {`["sync"]`, `"code":"INVALID","pointer":"","rule":"type"`},
		"not UTF-8":          {"{\"action\":\"sync\",\"sync_id\":1,\"views\":[],\"x\":\"\xff\"}", `"code":"INVALID","pointer":"","rule":"utf8","sync_id":1`},
		"no action":          {`{"sync_id":7,"views":[]}`, `"code":"INVALID","pointer":"/action","rule":"required","sync_id":7`},
		"an odd action":      {`{"action":7,"sync_id":7,"views":[]}`, `"code":"INVALID","pointer":"/action","rule":"const","sync_id":7`},
		"another action":     {`{"action":"subscribe","sync_id":7}`, `"code":"UNKNOWN_ACTION","sync_id":7`},
		"action in capitals": {`{"ACTION":"subscribe","action":"sync","sync_id":7,"views":[]}`, `"code":"INVALID","pointer":"/ACTION","rule":"additionalProperties","sync_id":7`},
		"a reserved route":   {`{"action":"$connect"}`, `"code":"UNKNOWN_ACTION"`},
		"sync id 0":          {syncText(0, everything, ""), `"code":"INVALID","pointer":"/sync_id","rule":"minimum"`},
		"a large sync id":    {`{"action":"sync","sync_id":9007199254740992,"views":[]}`, `"code":"INVALID","pointer":"/sync_id","rule":"maximum"`},
		"a tenant":           {syncText(2, everything, `,"tenant":"umbrella"`), `"code":"INVALID","pointer":"/tenant","rule":"additionalProperties","sync_id":2`},
		"slices too few":     {syncText(2, everything, `,"slices":"abc"`), `"code":"INVALID","pointer":"/slices","rule":"pattern","sync_id":2`},
		"a digest too short": {syncText(2, everything, `,"digest":"abc"`), `"code":"INVALID","pointer":"/digest","rule":"pattern","sync_id":2`},
		"51 views":           {syncText(2, "["+strings.Repeat(`{"entity_type":"tutor"},`, 50)+`{"entity_type":"tutor"}]`, ""), `"code":"INVALID","pointer":"/views","rule":"maxItems","sync_id":2`},
		"no such type":       {syncText(2, `[{"entity_type":"secret"}]`, ""), `"code":"INVALID","pointer":"/views/0/entity_type","rule":"enum","sync_id":2`},
		"no such attribute":  {syncText(2, `[{"entity_type":"tutor"},{"entity_type":"tutor","where":[{"attribute":"salary","operator":"gt","value":1}]}]`, ""), `"code":"INVALID","pointer":"/views/1/where/0/attribute","rule":"enum","sync_id":2`},
		"no such operator":   {syncText(2, `[{"entity_type":"tutor","where":[{"attribute":"segment","operator":"gt","value":"star"}]}]`, ""), `"code":"INVALID","pointer":"/views/0/where/0/operator","rule":"enum","sync_id":2`},
		"no such value":      {syncText(2, `[{"entity_type":"tutor","where":[{"attribute":"avg_rating","operator":"gt","value":"many"}]}]`, ""), `"code":"INVALID","pointer":"/views/0/where/0/value","rule":"type","sync_id":2`},
		"no such field":      {syncText(2, `[{"entity_type":"tutor","fields":["salary"]}]`, ""), `"code":"INVALID","pointer":"/views/0/fields/0","rule":"enum","sync_id":2`},
		"a later major":      {syncText(2, everything, `,"contracts":["METRIC_UPDATE/2"]`), `"code":"INVALID","pointer":"/contracts","rule":"unknown-major","sync_id":2`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.open("acme", id)
			r.put("acme", "student", "stu_1", `{"health_score":50}`)
			r.send(id, tc.body)
			if got := r.answers(id); len(got) != 1 || !strings.HasSuffix(got[0], tc.want+"}") {
				t.Errorf("answered %q, want the end %s", got, tc.want)
			}
			if got := r.watching("acme"); !slices.Equal(got, []string{"* *"}) {
				t.Errorf("it watches %q", got)
			}
			if r.lists() != 0 {
				t.Error("the table was read for it")
			}
		})
	}
}

func TestSyncRefusesWhatCannotBeStored(t *testing.T) {
	t.Parallel()
	t.Run("superseded", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.open("acme", id)
		r.sync(id, 7, `[{"entity_type":"tutor"}]`, "")
		r.sync(id, 6, `[{"entity_type":"student"}]`, "")
		r.wantAnswers(id, "SNAPSHOT 7 1/1", "ERROR 6 SUPERSEDED")
		if got := r.watching("acme"); !slices.Equal(got, []string{`tutor [{"entity_type":"tutor"}]`}) {
			t.Errorf("it watches %q", got)
		}
	})
	t.Run("forbidden", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.gateway.Open(id)
		c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now(), EntityTypes: []string{"student"}}
		if err := r.registry.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r.put("acme", "tutor", "tut_1", `{}`)
		r.put("acme", "student", "stu_1", `{}`)
		for i, views := range []string{`[{"entity_type":"tutor"}]`, `[{"entity_type":"student"},{"entity_type":"insight"}]`} {
			r.sync(id, i+1, views, "")
		}
		r.sync(id, 4, `[{"entity_type":"student"}]`, "")
		r.wantAnswers(id, "ERROR 1 FORBIDDEN", "ERROR 2 FORBIDDEN", "SNAPSHOT 4 1/1 student/stu_1@1")
	})
	t.Run("narrowed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.gateway.Open(id)
		c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now(), EntityTypes: []string{"insight", "student"}}
		if err := r.registry.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r.put("acme", "tutor", "tut_1", `{"health_score":1}`)
		r.put("acme", "student", "stu_1", `{"health_score":1}`)
		r.found("acme", "tut_1", "2099-11-22T10:00:00.000Z", 84)
		r.sync(id, 1, everything, "")
		r.sync(id, 2, everything, r.digest(id))
		r.sync(id, 3, `[{"entity_type":"*","where":[{"attribute":"health_score","operator":"lt","value":50}]},{"entity_type":"tutor"}]`, "")
		r.wantAnswers(id, "SNAPSHOT 1 1/1 insight#tut_1@1 student/stu_1@1", "SYNCED 2", "SNAPSHOT 3 1/1 student/stu_1@1")
		for _, w := range r.watchers("acme") {
			if w.Type != "insight" && w.Type != "student" {
				t.Errorf("it watches %s", w.Type)
			}
		}
	})
	t.Run("too fast", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.open("acme", id)
			for n := range registry.SubscribeBurst + 1 {
				r.sync(id, n+1, everything, "")
			}
			answers := r.answers(id)
			if last := answers[len(answers)-1]; !strings.HasSuffix(last, `"code":"RATE_LIMITED","sync_id":21,"retry_after_ms":600}`) {
				t.Errorf("answered %s", last)
			}
			time.Sleep(600 * time.Millisecond)
			r.sync(id, 30, everything, "")
			if got := r.brief(id); !strings.HasPrefix(got[len(got)-1], "SNAPSHOT 30") {
				t.Errorf("after the wait it is answered %s", got[len(got)-1])
			}
		})
	})
}

func TestSyncSaysThatItIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(*rig){
		"no registry": func(r *rig) {
			r.registry.OnSubscribe = func(context.Context, string) error {
				return fault.Newf("registry.Subscribe", fault.Throttled, "secret insides")
			}
		},
		"no permission for the registry": func(r *rig) {
			r.registry.OnSubscribe = func(context.Context, string) error {
				return fault.Newf("registry.Subscribe", fault.Denied, "secret insides")
			}
		},
		"no table": func(r *rig) {
			r.onPage(func(state.Range, int) error { return fault.Newf("state.List", fault.Transient, "secret insides") })
		},
		"half of the table": func(r *rig) {
			r.onPage(func(_ state.Range, n int) error {
				if n == 1 {
					return fault.Newf("state.List", fault.Transient, "secret insides")
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.table.PageSize = 1
			r.open("acme", id)
			r.put("acme", "student", "stu_1", `{}`)
			r.put("acme", "student", "stu_2", `{}`)
			plant(r)
			r.sync(id, 3, everything, "")
			r.wantAnswers(id, "ERROR 3 UNAVAILABLE")
			var f contracts.ErrorFrameV1
			if err := json.Unmarshal([]byte(r.answers(id)[0]), &f); err != nil || f.RetryAfterMS == nil || *f.RetryAfterMS < 1000 || *f.RetryAfterMS > 4000 {
				t.Errorf("answered %q", r.answers(id))
			}
			if strings.Contains(r.answers(id)[0], "secret") || !strings.Contains(r.log.String(), "secret insides") {
				t.Errorf("the cause is not where it belongs: %s, and in the log %s", r.answers(id), r.log)
			}
		})
	}
}

func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gateway.Open(id)
	r.sync(id, 1, everything, "")
	r.open("acme", "closed=")
	if err := r.registry.Close(t.Context(), "closed="); err != nil {
		t.Fatal(err)
	}
	r.sync("closed=", 1, everything, "")
	r.sync("", 1, everything, "")
	if r.gateway.Posts(id)+r.gateway.Posts("closed=")+r.gateway.Posts("") != 0 {
		t.Error("somebody is posted to")
	}

	r.open("acme", "gone=")
	r.gateway.Close("gone=")
	r.sync("gone=", 1, everything, "")
	r.send("gone=", "nonsense")
	if got := r.gateway.Posts("gone="); got != 2 {
		t.Errorf("%d posts to a connection that is gone, want one for each message", got)
	}
}

func TestPostsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script  []error
		posts   int
		arrives bool
	}{
		"an outage ends":        {[]error{failure(fault.Transient), failure(fault.Transient), failure(fault.Internal)}, 4, true},
		"a slow reader catches": {[]error{failure(fault.Throttled)}, 2, true},
		"an outage does not":    {slices.Repeat([]error{failure(fault.Transient)}, 9), 4, false},
		"a reader hangs":        {slices.Repeat([]error{failure(fault.Throttled)}, 9), 4, false},
		"no permission":         {[]error{failure(fault.Denied)}, 1, false},
		"too large":             {[]error{failure(fault.TooLarge)}, 1, false},
		"gone":                  {[]error{failure(fault.Gone)}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.open("acme", id)
				r.put("acme", "student", "stu_1", `{}`)
				r.mark(id)
				r.gateway.Script(id, tc.script...)
				r.sync(id, 1, everything, "")
				if got := r.gateway.Posts(id); got != tc.posts {
					t.Errorf("%d posts, want %d", got, tc.posts)
				}
				if got := len(r.answers(id)) == 1; got != tc.arrives {
					t.Errorf("arrived: %t", got)
				}
				if got := r.marked("acme"); got == tc.arrives {
					t.Errorf("marked: %t", got)
				}
			})
		})
	}
}

// API Gateway tells the client of a function that was cut off.
func TestSyncEndsBeforeItIsCutOff(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(r *rig) (release func()){
		"the reader hangs": func(r *rig) func() { return r.gateway.Hold(id) },
		"the table hangs": func(r *rig) func() {
			gate := make(chan struct{})
			r.onPage(func(state.Range, int) error { <-gate; return nil })
			return func() { close(gate) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.open("acme", id)
				defer hang(r)()
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				defer cancel()
				start := time.Now()
				r.sendIn(ctx, id, syncText(1, everything, ""))
				if took := time.Since(start); took != 2500*time.Millisecond || ctx.Err() != nil {
					t.Errorf("it took %v", took)
				}
				if got := strings.Count(r.log.String(), "\n"); got != 1 {
					t.Errorf("%d lines: %s", got, r.log)
				}
			})
		})
	}
}

func TestSnapshotStopsAtAPartThatDoesNotGetThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.open("acme", id)
		for n := range 400 {
			r.put("acme", "student", fmt.Sprint("stu_", n), `{"health_score":50,"segment":"at_risk","last_updated":"2026-11-22T10:00:00.123Z"}`)
		}
		r.mark(id)
		r.gateway.Script(id, append([]error{nil}, slices.Repeat([]error{failure(fault.Transient)}, 4)...)...)
		r.sync(id, 1, everything, "")
		if got := r.answers(id); len(got) != 1 || r.gateway.Posts(id) != 5 {
			t.Errorf("%d parts arrived by %d posts", len(got), r.gateway.Posts(id))
		}
		if !r.marked("acme") {
			t.Error("the mark is gone")
		}
	})
}

func TestPartsAreFullAndWithinTheLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	var want []string
	for n := range 1000 {
		id := fmt.Sprintf("stu_%s_%d", strings.Repeat("é\"", n%120), n)
		r.put("acme", "student", id, `{"health_score":50,"segment":"at_risk","last_updated":"2026-11-22T10:00:00.123Z"}`)
		want = append(want, "student/"+id+"@1")
	}
	// The largest that a contract allows.
	largest := `{"segment":"` + strings.Repeat("x", contracts.MaxEventBytes-14) + `"}`
	for n := range 3 {
		id := fmt.Sprint(strings.Repeat("\x01", 254), n)
		r.put("acme", "tutor", id, largest)
		want = append(want, "tutor/"+id+"@1")
	}
	r.put("acme", "tutor", "tut_beyond", largest[:len(largest)-2]+`x"}`)
	for n := range 100 {
		entity := fmt.Sprint("stu_", n)
		r.found("acme", entity, "2099-11-22T10:00:00.000Z", 84)
		want = append(want, "insight#"+entity+"@1")
	}
	r.syncWith(id, 9007199254740991, everything, "")
	frames := r.answers(id)
	var got []string
	size := 0
	for i, text := range frames {
		var f contracts.SnapshotFrameV1
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
		if f.Part != int64(i+1) || f.Parts != int64(len(frames)) || (f.Digest != nil) != (i == len(frames)-1) || f.SyncID != 9007199254740991 {
			t.Errorf("part %d: %.200s", i+1, text)
		}
		got = append(got, rowsOf(f)...)
		size += len(text)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	if least := size/contracts.MaxFrameBytes + 1; len(frames) > least+4 { // the largest leave gaps
		t.Errorf("%d parts for %d bytes", len(frames), size)
	}
	if !strings.Contains(r.log.String(), `"unreadable":1`) {
		t.Errorf("what does not fit is not told of: %s", r.log)
	}
}

func TestInsightsThatCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the bubble begins at 2000-01-01T00:00:00Z
		r := newRig(t, nil)
		r.open("acme", id)
		r.found("acme", "a", "2000-01-01T00:00:00.000Z", 84)
		r.found("acme", "b", "1999-12-31T00:00:00.000Z", 84)
		r.found("acme", "c", "1999-12-30T23:59:59.999Z", 20)
		r.found("acme", "d", "1999-12-29T23:00:00.000Z", 20)
		r.found("acme", "e", "1999-12-28T00:00:00.000Z", 10)
		r.found("acme", "f", "1999-12-27T23:59:59.999Z", 5) // older than is read
		r.sync(id, 1, `[{"entity_type":"insight"}]`, "")
		r.sync(id, 2, `[{"entity_type":"insight","where":[{"attribute":"risk_score","operator":"lt","value":60}]}]`, "")
		r.sync(id, 3, `[{"entity_type":"insight","where":[{"attribute":"risk_score","operator":"le","value":10}]}]`, "")
		r.sync(id, 4, `[{"entity_type":"insight","where":[{"attribute":"risk_score","operator":"lt","value":10}]}]`, "")
		r.wantAnswers(id,
			"SNAPSHOT 1 1/1 insight#a@1 insight#b@1", "SNAPSHOT 2 1/1 insight#c@1", "SNAPSHOT 3 1/1 insight#e@1", "SNAPSHOT 4 1/1")
		if !strings.Contains(r.answers(id)[1], `"risk_score":20`) {
			t.Error("it lacks its attributes")
		}
	})
}

func TestInsightsAreNoMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.open("acme", id)
		for n := range contracts.InsightLimit + 5 {
			r.found("acme", fmt.Sprint(n), time.Now().UTC().Add(-time.Duration(n)*time.Second).Format("2006-01-02T15:04:05.000Z"), 84)
		}
		r.sync(id, 1, everything, "")
		got := 0
		for _, text := range r.answers(id) {
			var f contracts.SnapshotFrameV1
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				t.Fatal(err)
			}
			got += len(f.Insights)
			for _, u := range f.Insights {
				if slices.Contains([]string{"insight#2000", "insight#2004"}, u.InsightID.Pk) {
					t.Errorf("%s is one too many", u.InsightID.Pk)
				}
			}
		}
		if got != contracts.InsightLimit {
			t.Errorf("%d insights", got)
		}
	})
}

// A row that breaks its contract holds up nobody.
func TestUnreadableRowsAreLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	r.put("acme", "student", "stu_1", `{}`)
	r.put("acme", state.InsightType, "no key of an insight", `{"timestamp":"2026-11-22T10:00:00.000Z"}`)
	r.put("acme", state.InsightType, "2099-11-22T10:00:00.000Z/insight#a", `{"timestamp":"yesterday"}`)
	r.put("acme", state.InsightType, "2099-11-22T10:00:00.000Z/insight#b", `{}`)
	r.sync(id, 1, everything, "")
	r.wantAnswers(id, "SNAPSHOT 1 1/1 student/stu_1@1")
	if !strings.Contains(r.log.String(), `"unreadable":3`) {
		t.Errorf("log: %s", r.log)
	}
}

func TestOldConnectionIsToldToMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.open("acme", id)
		time.Sleep(104 * time.Minute)
		r.sync(id, 1, everything, "")
		r.wantAnswers(id, "SNAPSHOT 1 1/1")
		time.Sleep(6 * time.Minute)
		r.sync(id, 2, everything, r.digest(id))
		r.wantAnswers(id, "SNAPSHOT 1 1/1", "SYNCED 2", "RECONNECT 600000")
		time.Sleep(15 * time.Minute) // longer than it could live
		r.sync(id, 3, everything, r.digest(id))
		if got := r.brief(id); got[len(got)-1] != "RECONNECT 0" {
			t.Errorf("answered %q", got)
		}
		r.gateway.Close(id)
		posts := r.gateway.Posts(id)
		r.sync(id, 4, everything, "")
		if got := r.gateway.Posts(id) - posts; got != 1 {
			t.Errorf("%d posts to a connection that is gone", got)
		}
	})
}

func TestConnectionIsToldThatItsPermissionEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		permission, wait time.Duration
		want             string
	}{
		"early":                  {time.Hour, time.Hour - 91*time.Second, "SYNCED 2"},
		"before":                 {time.Hour, time.Hour - 89*time.Second, "RECONNECT 89000"},
		"a short one, early":     {time.Minute, 29 * time.Second, "SYNCED 2"},
		"a short one, before":    {time.Minute, 31 * time.Second, "RECONNECT 29000"},
		"after":                  {time.Hour, time.Hour, "RECONNECT 0"},
		"longer than it can be":  {3 * time.Hour, 110 * time.Minute, "RECONNECT 600000"},
		"longer than it is told": {2*time.Hour - time.Minute, 110 * time.Minute, "RECONNECT 540000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.gateway.Open(id)
				c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now(), Until: time.Now().Add(tc.permission)}
				if err := r.registry.Open(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				r.put("acme", "student", "stu_1", `{}`)
				r.sync(id, 1, everything, "")
				digest := r.digest(id)
				time.Sleep(tc.wait)
				r.sync(id, 2, everything, digest)
				got := r.brief(id)
				if got[len(got)-1] != tc.want {
					t.Errorf("answered %q, want the end %s", got, tc.want)
				}
				if ended := tc.wait >= tc.permission; ended && len(got) != 2 {
					t.Errorf("it is sent %q after the end", got)
				}
				if strings.Contains(strings.Join(r.answers(id), ""), "REVOKED") {
					t.Error("nobody has revoked it")
				}
			})
		})
	}
}

func TestConnectionsDoNotMoveTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *session.SyncConfig) { c.Lifetime, c.ReconnectAfter = 20*time.Second, 10*time.Second })
		const connections = 100
		for n := range connections {
			r.open("acme", fmt.Sprint(n))
		}
		told := func() (all int) {
			for n := range connections {
				id := fmt.Sprint(n)
				r.syncWith(id, time.Now().UnixMilli(), everything, "")
				if got := r.brief(id); strings.HasPrefix(got[len(got)-1], "RECONNECT") {
					all++
				}
			}
			return all
		}
		time.Sleep(9500*time.Millisecond - time.Nanosecond)
		if got := told(); got != 0 {
			t.Errorf("%d are told too early", got)
		}
		time.Sleep(250 * time.Millisecond)
		if got := told(); got < connections/4 || got > connections*3/4 {
			t.Errorf("%d of %d are told in the middle", got, connections)
		}
		time.Sleep(time.Second)
		if got := told(); got != connections {
			t.Errorf("%d of %d are told in the end", got, connections)
		}
	})
}

func TestLogsOfSyncHideWhatItIsAbout(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme-canary", id)
	r.put("acme-canary", "student", "stu_canary", `{"segment":"canary"}`)
	r.sync(id, 1, `[{"entity_type":"student","where":[{"attribute":"segment","operator":"eq","value":"canary"}]}]`, "")
	r.send(id, `{"action":"canary"}`)
	r.send(id, syncText(2, everything, `,"canary":"canary"`))
	r.sync(id, 3, `[{"entity_type":"student","where":[{"attribute":"canary","operator":"eq","value":"canary"}]}]`, "")
	for _, secret := range []string{id, "canary", "192.0.2.1"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, r.log)
		}
	}
	if got := strings.Count(r.log.String(), "\n"); got != 4 {
		t.Errorf("%d lines for 4 messages: %s", got, r.log)
	}
}

func TestSyncNeedsItsPorts(t *testing.T) {
	t.Parallel()
	good := session.SyncConfig{
		Registry: &memregistry.Registry{}, State: memstate.New(epoch), Gateway: &memgateway.Gateway{}, Log: slog.New(slog.DiscardHandler),
	}
	if _, err := session.NewSync(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*session.SyncConfig){
		"registry": func(c *session.SyncConfig) { c.Registry = nil },
		"state":    func(c *session.SyncConfig) { c.State = nil },
		"gateway":  func(c *session.SyncConfig) { c.Gateway = nil },
		"log":      func(c *session.SyncConfig) { c.Log = nil },
		"lifetime": func(c *session.SyncConfig) { c.Lifetime = -1 },
		"tries":    func(c *session.SyncConfig) { c.PostTries = -1 },
	} {
		c := good
		spoil(&c)
		if _, err := session.NewSync(c); err == nil {
			t.Errorf("%s: NewSync accepts it", name)
		}
	}
}

const epoch = 1_795_000_000_000
