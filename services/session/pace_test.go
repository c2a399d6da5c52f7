package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
)

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
