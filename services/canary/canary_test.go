package canary_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/canary"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/row"
	"github.com/iops-dashboard/live/services/internal/row/memrow"
	"github.com/iops-dashboard/live/services/internal/ticket"
	"github.com/iops-dashboard/live/services/internal/ticket/memticket"
)

// limit is the timeout of the function, and answered is when it has answered at the latest.
const limit, answered = 30 * time.Second, 24 * time.Second

func TestRunThatSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		before := time.Now()
		_, err := s.run(limit)
		if err != nil {
			t.Fatal(err)
		}
		want := ticket.Grant{Tenant: tenant, Subject: "canary", Session: "canary", EntityTypes: []string{"student"}}
		if len(s.grants) != 1 || s.grants[0].Tenant != want.Tenant || s.grants[0].Subject != want.Subject || s.grants[0].Session != want.Session ||
			!slices.Equal(s.grants[0].EntityTypes, want.EntityTypes) || s.grants[0].Origin != "" {
			t.Errorf("it comes as %+v, want %+v", s.grants, want)
		}
		if len(s.commands) != 1 || s.commands[0] != `{"action":"sync","sync_id":1,"contracts":["METRIC_UPDATE/1"],"views":[{"entity_type":"student"}]}` {
			t.Errorf("it says %q", s.commands)
		}
		r, ok := s.rows.Row(contracts.EntityTypeStudent, "canary")
		if at, err := time.Parse(time.RFC3339, r.Attributes["last_updated"].(string)); !ok || r.Tenant != tenant || err != nil || at.Before(before) {
			t.Errorf("it wrote %+v, %v", r, err)
		}
		if !slices.Equal(s.ends, []websocket.StatusCode{websocket.StatusNormalClosure}) {
			t.Errorf("its connections end by %v", s.ends)
		}
		if len(s.meter.latencies) != 1 || len(s.log.With("canary")) != 1 {
			t.Errorf("measured %v, logged %s", s.meter.latencies, &s.log)
		}
	})
}

// The latency is from the begin of the write to the frame that shows it: what is shown before it is something else.
func TestLatencyIsFromTheWriteToItsFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.tickets.OnIssue = func(context.Context) error { <-time.After(time.Second); return nil }
		s.answer = func(id int64) []string { return []string{pause, snapshot(id, 1, 1)} }
		s.rows.OnWrite = func(context.Context, row.Row) error { <-time.After(50 * time.Millisecond); return nil }
		s.show = func(r row.Row) []string {
			older, other := r, r
			older.Attributes, other.Attributes = maps.Clone(r.Attributes), maps.Clone(r.Attributes)
			older.Attributes["last_updated"] = "2026-11-22T10:00:00.000Z"
			other.Attributes["health_score"] = r.Attributes["health_score"].(float64)/2 + 0.001
			return []string{
				pause, update(older), pause, update(other), pause, update(r, "entity_id", `"another"`), pause, showing(r), pause, showing(r),
			}
		}
		_, err := s.run(limit)
		if want := []time.Duration{450 * time.Millisecond}; err != nil || !slices.Equal(s.meter.latencies, want) {
			t.Errorf("measured %v, want %v: %v", s.meter.latencies, want, err)
		}
	})
}

// Frames that are for others, and parts in any order, do not confuse it; a newer server may say more.
func TestWhatElseAPageIsSent(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(id int64) []string{
		"parts in any order": func(id int64) []string {
			return []string{snapshot(id, 3, 3), snapshot(id, 1, 3), snapshot(id, 3, 3), snapshot(id, 2, 3)}
		},
		"it is up to date": func(id int64) []string { return []string{`{"type":"SYNCED",` + head + `,"sync_id":1}`} },
		"frames for others": func(id int64) []string {
			return []string{
				`{"type":"RESYNC",` + head + `}`, `{"type":"RECONNECT",` + head + `,"within_ms":1000}`, `{"type":"OF_LATER",` + head + `}`,
				update(row.Row{Attributes: map[string]any{"health_score": 1, "last_updated": "2026-11-22T10:00:00.000Z"}}), snapshot(id, 1, 1),
			}
		},
		"members of later": func(id int64) []string {
			return []string{strings.Replace(snapshot(id, 1, 1), `{`, `{"of_later":1,`, 1)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				s.answer = answer
				s.show = func(r row.Row) []string {
					return append(answer(1), strings.Replace(showing(r), `{`, `{"of_later":{"a":[1]},`, 1))
				}
				if took, err := s.run(limit); err != nil || took > 0 || len(s.meter.latencies) != 1 {
					t.Errorf("%v after %s", err, took)
				}
			})
		})
	}
}

// Whatever goes wrong, it says in time at which stage, of which kind, and nothing of a ticket. It counts no success, and
// leaves no connection.
func TestEachFailureIsNamed(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return fault.New("hang", fault.Transient, ctx.Err())
	}
	status := func(status int) func(*service) {
		return func(s *service) {
			s.handshake = func(w http.ResponseWriter, r *http.Request) bool {
				http.Error(w, r.URL.String(), status) // as some servers say it
				return true
			}
		}
	}
	answer := func(frames ...string) func(*service) {
		return func(s *service) { s.answer = func(int64) []string { return frames } }
	}
	show := func(frames func(r row.Row) []string) func(*service) { return func(s *service) { s.show = frames } }
	const atOnce = 0
	for name, tc := range map[string]struct {
		spoil func(*service)
		stage string
		kind  fault.Kind
		after time.Duration
	}{
		"tickets are denied": {func(s *service) {
			s.tickets.OnIssue = func(context.Context) error { return fault.New("x", fault.Denied, down) }
		}, "ticket", fault.Denied, atOnce},
		"tickets hang": {func(s *service) { s.tickets.OnIssue = hang }, "ticket", fault.Transient, answered},
		"too many tickets": {func(s *service) {
			for range ticket.Limit {
				if _, err := s.tickets.Issue(s.t.Context(), ticket.Grant{Tenant: tenant, Subject: "canary", Session: "x"}, time.Second); err != nil {
					s.t.Error(err)
				}
			}
		}, "ticket", fault.Throttled, atOnce},

		"nobody listens": {func(s *service) {
			s.dial = func(context.Context) (net.Conn, error) { return nil, down }
		}, "connect", fault.Transient, atOnce},
		"nobody accepts": {func(s *service) {
			s.dial = func(ctx context.Context) (net.Conn, error) { return nil, hang(ctx) }
		}, "connect", fault.Transient, answered},
		"the handshake hangs": {func(s *service) {
			s.handshake = func(_ http.ResponseWriter, r *http.Request) bool { return hang(r.Context()) != nil }
		}, "connect", fault.Transient, answered},
		"the handshake is cut off": {func(s *service) {
			s.handshake = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
		}, "connect", fault.Transient, atOnce},
		"the ticket is not taken": {status(401), "connect", fault.Denied, atOnce},
		"it is not let in":        {status(403), "connect", fault.Denied, atOnce},
		"clients are throttled":   {status(429), "connect", fault.Throttled, atOnce},
		"the function fails":      {status(500), "connect", fault.Transient, atOnce},
		"there is no such stage":  {status(404), "connect", fault.Internal, atOnce},
		"it is sent elsewhere": {func(s *service) {
			s.handshake = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Host == "elsewhere.test" {
					s.t.Error("the ticket is carried elsewhere")
					w.WriteHeader(http.StatusNotFound)
					return true
				}
				http.Redirect(w, r, "http://elsewhere.test/?"+r.URL.RawQuery, http.StatusFound)
				return true
			}
		}, "connect", fault.Internal, atOnce},
		"no WebSocket": {status(200), "connect", fault.Internal, atOnce},

		"the command is not answered":  {answer(), "sync", fault.Transient, answered},
		"it is answered to another":    {answer(snapshot(2, 1, 1)), "sync", fault.Transient, answered},
		"a part of the answer is lost": {answer(snapshot(1, 1, 3), snapshot(1, 3, 3), snapshot(1, 3, 3)), "sync", fault.Transient, answered},
		"the command is refused":       {answer(refused("INVALID")), "sync", fault.Internal, atOnce},
		"it comes too often":           {answer(refused("RATE_LIMITED")), "sync", fault.Throttled, atOnce},
		"the state table is down":      {answer(refused("UNAVAILABLE")), "sync", fault.Transient, atOnce},
		"it may see no students":       {answer(refused("FORBIDDEN")), "sync", fault.Denied, atOnce},
		"the connection is cut off":    {answer(hangUp), "sync", fault.Transient, atOnce},
		"the answer is no JSON":        {answer("no JSON"), "sync", fault.Internal, atOnce},
		"the answer breaks its contract": {
			answer(strings.Replace(snapshot(1, 1, 1), `"parts":1`, `"parts":0`, 1)), "sync", fault.Internal, atOnce,
		},

		"the row is not written": {func(s *service) {
			s.rows.OnWrite = func(context.Context, row.Row) error { return fault.New("x", fault.Throttled, down) }
		}, "write", fault.Throttled, atOnce},
		"the write hangs": {func(s *service) {
			s.rows.OnWrite = func(ctx context.Context, _ row.Row) error { return hang(ctx) }
		}, "write", fault.Transient, answered},

		"nothing is shown":             {show(func(row.Row) []string { return nil }), "frame", fault.Transient, answered},
		"another entity is shown":      {show(func(r row.Row) []string { return []string{update(r, "entity_id", `"other"`)} }), "frame", fault.Transient, answered},
		"one of another type is shown": {show(func(r row.Row) []string { return []string{update(r, "entity_type", `"tutor"`)} }), "frame", fault.Transient, answered},
		"another state is shown":       {show(func(r row.Row) []string { return []string{update(r, "attributes", `{"health_score":1}`)} }), "frame", fault.Transient, answered},
		"it is removed": {show(func(r row.Row) []string {
			return []string{update(r, "operation", `"REMOVE"`, "reason", `"LEFT_VIEW"`, "attributes", "")}
		}), "frame", fault.Transient, answered},
		"the connection ends":           {show(func(row.Row) []string { return []string{hangUp} }), "frame", fault.Transient, atOnce},
		"the frame breaks its contract": {show(func(r row.Row) []string { return []string{update(r, "version", `{}`)} }), "frame", fault.Internal, atOnce},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				tc.spoil(s)
				took, err := s.run(limit)
				var named *fault.Error
				if !errors.As(err, &named) || named.Op != "canary."+tc.stage || fault.KindOf(err) != tc.kind {
					t.Errorf("%v, want canary.%s, and kind %s", err, tc.stage, tc.kind)
				}
				if took != tc.after {
					t.Errorf("it took %s, want %s", took, tc.after)
				}
				if said := s.log.With("canary failed"); len(said) != 1 || said[0]["stage"] != "canary."+tc.stage || said[0]["kind"] != tc.kind.String() {
					t.Errorf("it says %s", &s.log)
				}
				if len(s.meter.latencies) > 0 || len(s.ends) != len(s.grants) {
					t.Errorf("measured %v; %d connections, and %d that ended", s.meter.latencies, len(s.grants), len(s.ends))
				}
				if _, written := s.rows.Row(contracts.EntityTypeStudent, "canary"); written != (tc.stage == "frame") {
					t.Errorf("its row was written: %t", written)
				}
			})
		})
	}
}

// A deadline that is soon leaves less for the end.
func TestItAnswersBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]time.Duration{time.Minute: 54 * time.Second, 8 * time.Second: 4 * time.Second, time.Second: time.Second / 2} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t)
			s.show = func(row.Row) []string { return nil }
			if took, err := s.run(limit); err == nil || took != want {
				t.Errorf("with %s: %v after %s, want %s", limit, err, took, want)
			}
		})
	}
}

// A gateway that does not answer a close does not spoil a good run, nor hold it up for long.
func TestACloseThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.deaf = true
		took, err := s.run(limit)
		if err != nil || took > 10*time.Second || len(s.meter.latencies) != 1 || s.meter.latencies[0] != 0 {
			t.Errorf("%v after %s, measured %v", err, took, s.meter.latencies)
		}
	})
}

func TestRunsWriteDifferentStates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		written := map[string]bool{}
		for range 5 {
			s := newService(t)
			s.show = func(r row.Row) []string {
				written[attributes(r)] = true
				return []string{showing(r)}
			}
			if _, err := s.run(limit); err != nil {
				t.Error(err)
			}
			<-time.After(time.Millisecond)
		}
		if len(written) != 5 {
			t.Errorf("wrote %v", written)
		}
	})
}

func TestNewWantsAllItNeeds(t *testing.T) {
	t.Parallel()
	good := canary.Config{
		Tickets: &memticket.Tickets{}, Rows: &memrow.Table{}, SocketURL: "ws://x/prod", Tenant: tenant, Meter: &meter{}, Log: slog.New(slog.DiscardHandler),
	}
	if _, err := canary.New(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*canary.Config){
		"tickets": func(c *canary.Config) { c.Tickets = nil },
		"rows":    func(c *canary.Config) { c.Rows = nil },
		"address": func(c *canary.Config) { c.SocketURL = "" },
		"tenant":  func(c *canary.Config) { c.Tenant = "" },
		"meter":   func(c *canary.Config) { c.Meter = nil },
		"log":     func(c *canary.Config) { c.Log = nil },
	} {
		c := good
		spoil(&c)
		if _, err := canary.New(c); err == nil {
			t.Errorf("no %s, and no error", name)
		}
	}
}
