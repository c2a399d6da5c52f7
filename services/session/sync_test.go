package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
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

// What is no command costs as much as one, and when nothing is left it is not answered.
func TestMalformedCommandsUseUpThePace(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no JSON":        "ping",
		"another action": `{"action":"subscribe","sync_id":7}`,
		"no such type":   syncText(2, `[{"entity_type":"secret"}]`, ""),
		"superseded":     syncText(2, everything, ""),
		"forbidden":      syncText(7, `[{"entity_type":"tutor"}]`, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.gateway.Open(id)
				c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now(), EntityTypes: []string{"student"}}
				if err := r.registry.Open(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				r.sync(id, 5, `[{"entity_type":"student"}]`, "")
				for range 3 * registry.SubscribeBurst {
					r.send(id, body)
				}
				answers := r.brief(id)
				if len(answers) != registry.SubscribeBurst || !strings.HasPrefix(answers[len(answers)-1], "ERROR") {
					t.Errorf("%d answers, the last of which %s", len(answers), answers[len(answers)-1])
				}
				r.sync(id, 8, `[{"entity_type":"student"}]`, "")
				if got := r.brief(id); got[len(got)-1] != "ERROR 8 RATE_LIMITED" {
					t.Errorf("a sync then is answered %s", got[len(got)-1])
				}
				time.Sleep(registry.SubscribeInterval)
				r.send(id, body)
				if got := r.brief(id); len(got) != len(answers)+2 {
					t.Errorf("after the wait: %q", got[len(answers):])
				}
			})
		})
	}
}

func TestSecondGrossMessageClosesTheConnection(t *testing.T) {
	t.Parallel()
	large := func(r *rig) { r.send(id, syncText(1, everything, strings.Repeat(" ", 4096))) }
	binary := func(r *rig) { r.sendBinary(id, "AAEC") }
	for name, tc := range map[string]struct {
		sends   []func(*rig)
		answers []string
		closed  bool
	}{
		"two large":           {[]func(*rig){large, large}, []string{"ERROR 0 TOO_LARGE"}, true},
		"two binary":          {[]func(*rig){binary, binary}, []string{"ERROR 0 INVALID"}, true},
		"one of each":         {[]func(*rig){large, binary}, []string{"ERROR 0 TOO_LARGE"}, true},
		"one":                 {[]func(*rig){binary}, []string{"ERROR 0 INVALID"}, false},
		"one, and a mistake":  {[]func(*rig){large, func(r *rig) { r.send(id, "ping") }}, []string{"ERROR 0 TOO_LARGE", "ERROR 0 INVALID"}, false},
		"one, and a sync":     {[]func(*rig){large, func(r *rig) { r.sync(id, 1, `[]`, "") }}, []string{"ERROR 0 TOO_LARGE", "SNAPSHOT 1 1/1"}, false},
		"with nothing to pay": {append(slices.Repeat([]func(*rig){func(r *rig) { r.send(id, "ping") }}, 50), large, large), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.open("acme", id)
				for _, send := range tc.sends {
					send(r)
				}
				if tc.answers != nil {
					r.wantAnswers(id, tc.answers...)
				}
				if gone := r.gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), time.Second) != nil; gone != tc.closed {
					t.Errorf("closed: %t", gone)
				}
				if left := len(r.watching("acme")); (left == 0) != tc.closed && name != "one, and a sync" {
					t.Errorf("%d rows are left", left)
				}
			})
		})
	}
}

// A thousand syncs that are refused would be as many posts, of which the account has so many for all.
func TestSyncsThatComeTooFastAreToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.open("acme", id)
		count := func() (limited int) {
			for _, line := range r.brief(id) {
				if strings.HasSuffix(line, "RATE_LIMITED") {
					limited++
				}
			}
			return limited
		}
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() { r.sync(id, 1, everything, "") })
		}
		group.Wait()
		if got, all := count(), len(r.answers(id)); got != 1 || all != registry.SubscribeBurst+1 {
			t.Errorf("%d of %d answers say that it is limited", got, all)
		}
		if got := strings.Count(r.log.String(), `"reason":"too fast"`); got != 1000-registry.SubscribeBurst-1 {
			t.Errorf("%d are not answered", got)
		}
		time.Sleep(registry.SubscribeInterval)
		for range 10 {
			r.sync(id, 2, everything, r.digest(id))
		}
		r.wantAnswers(id, "SYNCED 2", "ERROR 2 RATE_LIMITED")
		if got := count(); got != 2 {
			t.Errorf("%d answers say that it is limited", got)
		}
	})
}

// Who asks for everything again and again is served as often as it costs little.
func TestLargeSnapshotsCostMore(t *testing.T) {
	t.Parallel()
	for name, charge := range map[string]error{"charged": nil, "not charged": failure(fault.Transient)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.open("acme", id)
				r.registry.OnCharge = func(context.Context, string) error { return charge }
				image := `{"segment":"` + strings.Repeat("x", 14_000) + `"}`
				for n := range 2*40 + 1 { // two to a part
					r.put("acme", "student", fmt.Sprint("stu_", n), image)
				}
				whole := 0
				for n := range 3 * registry.SubscribeBurst {
					before := r.gateway.Posts(id)
					r.sync(id, n+1, everything, "")
					if posts := r.gateway.Posts(id) - before; posts == 41 {
						whole++
					} else if posts > 1 {
						t.Errorf("%d parts", posts)
					}
				}
				want := registry.SubscribeBurst/3 + 1
				if charge != nil {
					want = registry.SubscribeBurst
				}
				if whole != want {
					t.Errorf("%d snapshots at once, want %d", whole, want)
				}
				if told := strings.Contains(r.log.String(), `"kind":"transient"`); told != (charge != nil) {
					t.Error("the log does not tell of the charge that failed")
				}
				time.Sleep(4 * registry.SubscribeInterval)
				r.sync(id, 1000, `[{"entity_type":"tutor"}]`, "")
				r.wantAnswers(id, "SNAPSHOT 1000 1/1")
			})
		})
	}
}

// After the end of its permission a connection is told to move, once, and closed if it says something else.
func TestConnectionThatStaysAfterItsEndIsClosed(t *testing.T) {
	t.Parallel()
	say := func(r *rig) { r.sync(id, 7, everything, "") }
	mistake := func(r *rig) { r.send(id, "ping") }
	gross := func(r *rig) { r.sendBinary(id, "AAEC") }
	for name, sends := range map[string][]func(*rig){
		"syncs": {say, say, say}, "mistakes": {mistake, mistake}, "gross messages": {gross, gross}, "a sync, and what is gross": {say, gross, say},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.gateway.Open(id)
				c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now(), Until: time.Now().Add(time.Minute)}
				if err := r.registry.Open(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				sends[0](r)
				if got := r.brief(id); !slices.Equal(got, []string{"RECONNECT 0"}) {
					t.Errorf("answered %q", got)
				}
				if err := r.gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), time.Second); err != nil {
					t.Errorf("it is closed before it can move: %v", err)
				}
				posts := r.gateway.Posts(id)
				for _, send := range sends[1:] {
					send(r)
				}
				if got := r.gateway.Posts(id); got != posts {
					t.Errorf("%d posts more", got-posts)
				}
				if r.gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), time.Second) == nil {
					t.Error("it is still open")
				}
			})
		})
	}
	t.Run("a thousand at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.gateway.Open(id)
			c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now(), Until: time.Now().Add(time.Minute)}
			if err := r.registry.Open(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			var group sync.WaitGroup
			for range 1000 {
				group.Go(func() { say(r) })
			}
			group.Wait()
			if got := r.gateway.Posts(id); got > 1 {
				t.Errorf("%d posts", got)
			}
			if strings.Contains(r.log.String(), `"level":"ERROR"`) {
				t.Error("an error is logged")
			}
		})
	})
}

// Whoever cannot be made to pay is told nevertheless.
func TestBlameWithoutARegistry(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.open("acme", id)
	r.registry.OnBlame = func(context.Context, string) error { return failure(fault.Transient) }
	r.send(id, "ping")
	r.wantAnswers(id, "ERROR 0 INVALID")
	if !strings.Contains(r.log.String(), `"kind":"transient"`) {
		t.Errorf("the log does not tell: %s", r.log)
	}
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

// rig is a Sync between fakes.
type rig struct {
	t        testing.TB
	registry *memregistry.Registry
	table    *memstate.Table
	gateway  *memgateway.Gateway
	session  *session.Sync
	log      *lines

	mu       sync.Mutex
	failPage func(r state.Range, n int) error
	begun    int // lists
	sequence int
}

func newRig(t *testing.T, change func(*session.SyncConfig)) *rig {
	t.Helper()
	r := &rig{t: t, registry: &memregistry.Registry{}, table: memstate.New(epoch), gateway: &memgateway.Gateway{}, log: &lines{}}
	r.table.OnPage = func(_ context.Context, which state.Range, n int) error {
		r.mu.Lock()
		if n == 0 {
			r.begun++
		}
		fail := r.failPage
		r.mu.Unlock()
		if fail != nil {
			return fail(which, n)
		}
		return nil
	}
	config := session.SyncConfig{
		Registry: r.registry, State: r.table, Gateway: r.gateway, Closer: r.gateway, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	if change != nil {
		change(&config)
	}
	var err error
	if r.session, err = session.NewSync(config); err != nil {
		t.Fatal(err)
	}
	return r
}

// onPage has f called before each page of the table, which fails with its error.
func (r *rig) onPage(f func(r state.Range, n int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failPage = f
}

// lists is how many lists of the table were begun.
func (r *rig) lists() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

func (r *rig) open(tenant, id string) {
	r.t.Helper()
	if err := r.registry.Open(context.Background(), registry.Connection{ID: id, Tenant: tenant, ConnectedAt: time.Now()}); err != nil {
		r.t.Fatal(err)
	}
	r.gateway.Open(id)
}

func (r *rig) mark(id string) {
	r.t.Helper()
	if err := r.registry.MarkResync(context.Background(), id); err != nil {
		r.t.Fatal(err)
	}
}

// put stores the next state of an entity; without an image, a tombstone.
func (r *rig) put(tenant, entityType, id, image string) {
	r.t.Helper()
	r.mu.Lock()
	r.sequence++
	c := state.Change{
		Key:       state.Key{Tenant: tenant, EntityType: entityType, EntityID: id},
		At:        state.Position{Label: "l", Sequence: fmt.Sprint(r.sequence)},
		WrittenAt: time.Date(2026, 11, 22, 10, 0, 0, 123_000_000, time.UTC),
	}
	r.mu.Unlock()
	if image != "" {
		c.Image = json.RawMessage(image)
	}
	if _, err := r.table.Apply(context.Background(), c); err != nil {
		r.t.Fatal(err)
	}
}

// found stores an insight about an entity.
func (r *rig) found(tenant, entity, at string, score int) {
	r.t.Helper()
	k := state.InsightKey(tenant, contracts.InsightID{Pk: "insight#" + entity, Sk: at})
	r.put(tenant, k.EntityType, k.EntityID, fmt.Sprintf(
		`{"entity_id":%q,"prediction_type":"low_health_score","risk_band":%q,"risk_score":%d,"timestamp":%q}`,
		entity, contracts.RiskBandOf(float64(score)), score, at))
}

func syncText(syncID int64, views, more string) string {
	return fmt.Sprintf(`{"action":"sync","sync_id":%d,"views":%s%s}`, syncID, views, more)
}

func (r *rig) sync(id string, syncID int, views, digest string) {
	r.t.Helper()
	r.syncWith(id, int64(syncID), views, digest)
}

func (r *rig) syncWith(id string, syncID int64, views, digest string) {
	r.t.Helper()
	more := ""
	if digest != "" {
		more = `,"digest":"` + digest + `"`
	}
	r.send(id, syncText(syncID, views, more))
}

func (r *rig) send(id, body string) {
	r.t.Helper()
	r.sendIn(context.Background(), id, body)
}

// sendIn hands a message over as API Gateway does.
func (r *rig) sendIn(ctx context.Context, id, body string) {
	r.t.Helper()
	r.hand(ctx, id, events.APIGatewayWebsocketProxyRequest{Body: body})
}

// sendBinary hands over a binary message, in base64.
func (r *rig) sendBinary(id, body string) {
	r.t.Helper()
	r.hand(context.Background(), id, events.APIGatewayWebsocketProxyRequest{Body: body, IsBase64Encoded: true})
}

func (r *rig) hand(ctx context.Context, id string, message events.APIGatewayWebsocketProxyRequest) {
	r.t.Helper()
	r.handTo(ctx, r.session, id, message)
}

func (r *rig) handTo(ctx context.Context, to *session.Sync, id string, message events.APIGatewayWebsocketProxyRequest) {
	r.t.Helper()
	response, err := to.Handle(ctx, events.APIGatewayWebsocketProxyRequest{
		Body: message.Body, IsBase64Encoded: message.IsBase64Encoded,
		RequestContext: events.APIGatewayWebsocketProxyRequestContext{
			ConnectionID: id, RouteKey: "sync", EventType: "MESSAGE", RequestID: "R1knPc2ntjMCFIA=",
			Identity: events.APIGatewayRequestIdentity{SourceIP: "192.0.2.1"},
		},
	})
	if err != nil || response.StatusCode != 200 || response.Body != "" {
		r.t.Errorf("Handle() = %+v, %v", response, err)
	}
}

// answers are the frames that a connection was sent. Each keeps its contract.
func (r *rig) answers(id string) []string {
	r.t.Helper()
	var all []string
	for _, f := range r.gateway.Frames(id) {
		var head struct{ Type string }
		if err := json.Unmarshal(f, &head); err != nil {
			r.t.Fatal(err)
		}
		kind := contracts.Kind("frames/" + strings.ToLower(head.Type) + "/v1")
		if err := contracts.ValidateProducer(kind, f); err != nil && !strings.Contains(string(f), `"segment":"xxx`) {
			r.t.Errorf("a frame breaks its contract: %v: %.300s", err, f)
		}
		if len(f) > contracts.MaxFrameBytes {
			r.t.Errorf("a frame of %d bytes", len(f))
		}
		all = append(all, string(f))
	}
	return all
}

// brief says of each frame what matters: "SNAPSHOT sync-id part/parts rows", "SYNCED sync-id",
// "ERROR sync-id code" or "RECONNECT ms". It checks the digest of a snapshot of one part.
func (r *rig) brief(id string) []string {
	r.t.Helper()
	var all []string
	for _, text := range r.answers(id) {
		var f struct {
			Type, Code string
			SyncID     int64 `json:"sync_id"`
			WithinMS   int64 `json:"within_ms"`
		}
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			r.t.Fatal(err)
		}
		switch f.Type {
		case contracts.SnapshotFrameV1Type:
			var s contracts.SnapshotFrameV1
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				r.t.Fatal(err)
			}
			if s.Parts == 1 && s.Covers == nil {
				if want := digestOf(s); *s.Digest != want {
					r.t.Errorf("the digest is %s, want %s", *s.Digest, want)
				}
			}
			rows := rowsOf(s)
			slices.Sort(rows)
			all = append(all, strings.TrimSpace(fmt.Sprintf("SNAPSHOT %d %d/%d %s", s.SyncID, s.Part, s.Parts, strings.Join(rows, " "))))
		case contracts.ErrorFrameV1Type:
			all = append(all, fmt.Sprintf("ERROR %d %s", f.SyncID, f.Code))
		case contracts.ReconnectFrameV1Type:
			all = append(all, fmt.Sprintf("RECONNECT %d", f.WithinMS))
		default:
			all = append(all, fmt.Sprintf("%s %d", f.Type, f.SyncID))
		}
	}
	return all
}

func rowsOf(f contracts.SnapshotFrameV1) []string {
	var rows []string
	for _, u := range f.Entities {
		rows = append(rows, fmt.Sprintf("%s/%s@%d", u.EntityType, u.EntityID, u.Version.Revision))
	}
	for _, u := range f.Insights {
		rows = append(rows, fmt.Sprintf("%s@%d", u.InsightID.Pk, u.Version.Revision))
	}
	return rows
}

func digestOf(f contracts.SnapshotFrameV1) string {
	var rows []contracts.DigestRow
	for _, u := range f.Entities {
		rows = append(rows, contracts.DigestRow{Key: contracts.EntityDigestKey(string(u.EntityType), u.EntityID), Version: u.Version})
	}
	for _, u := range f.Insights {
		rows = append(rows, contracts.DigestRow{Key: contracts.InsightDigestKey(u.InsightID), Version: u.Version})
	}
	return contracts.Digest(rows)
}

// wantAnswers compares the last frames.
func (r *rig) wantAnswers(id string, want ...string) {
	r.t.Helper()
	got := r.brief(id)
	if got = got[max(0, len(got)-len(want)):]; !slices.Equal(got, want) {
		r.t.Errorf("answered %q, want %q", got, want)
	}
}

// digest is that of the last snapshot.
func (r *rig) digest(id string) string {
	r.t.Helper()
	for _, text := range slices.Backward(r.answers(id)) {
		var f contracts.SnapshotFrameV1
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			r.t.Fatal(err)
		}
		if f.Digest != nil {
			return *f.Digest
		}
	}
	r.t.Fatal("there was no snapshot")
	return ""
}

// watching lists what a tenant's connections watch.
func (r *rig) watching(tenant string) []string {
	var all []string
	for _, w := range r.watchers(tenant) {
		all = append(all, w.Type+" "+w.Views)
	}
	slices.Sort(all)
	return all
}

func (r *rig) marked(tenant string) bool {
	return slices.ContainsFunc(r.watchers(tenant), func(w registry.Watcher) bool { return w.Resync })
}

func (r *rig) watchers(tenant string) []registry.Watcher {
	r.t.Helper()
	var all []registry.Watcher
	for page, err := range r.registry.Watching(context.Background(), registry.Query{Tenant: tenant, Types: []string{"student", "tutor", "subject", "region", "insight"}}) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, page...)
	}
	return all
}

func failure(kind fault.Kind) error { return fault.Newf("planted", kind, "planted") }

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
