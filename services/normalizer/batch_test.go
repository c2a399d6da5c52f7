package normalizer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/quarantine/memquarantine"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/internal/topic"
	"github.com/iops-dashboard/live/services/normalizer"
)

func TestStateTableDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.state.before = func(state.Change) error { return errOutage }
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3)), "1", "2", "3")
	r.wantEvents()
	r.wantReasons()
	r.wantLine(map[string]any{"records": 3, "failed": 3, "kind": "transient", "level": "ERROR"})
	if tried := r.state.calls(); tried != 2 {
		t.Errorf("%d changes were tried, want the first of each entity", tried)
	}

	r.state.before = nil
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3)))
	r.wantEvents("a UPSERT 1", "a UPSERT 2", "b UPSERT 1")
}

func TestStateTableDownForOneEntity(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.state.before = func(c state.Change) error {
		if c.EntityID == "a" {
			return errOutage
		}
		return nil
	}
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3), put("b", "4", 4)), "1", "3")
	r.wantEvents("b UPSERT 1", "b UPSERT 2")
}

func TestAnAnswerOfTheStateTableIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.state.after = func(state.Change) error { return errOutage }
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1)), "1")
	r.wantEvents()
	r.state.after = nil
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1)))
	r.wantEvents("a UPSERT 1")
	r.wantLine(map[string]any{"records": 1, "repeated": 1})
}

func TestAChangeThatTheStateTableRefusesIsQuarantined(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.state.before = func(c state.Change) error {
		if c.At.Sequence == "1" {
			return fault.Newf("test", fault.Invalid, "too large")
		}
		return nil
	}
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("a", "2", 2)))
	r.wantEvents("a UPSERT 1")
	r.wantReasons("1 state ")
}

func TestAPanicOfAnAdapterFailsItsRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.state.before = func(c state.Change) error {
		if c.EntityID == "a" {
			panic("secret")
		}
		return nil
	}
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2)), "1")
	r.wantEvents("b UPSERT 1")
	if strings.Contains(r.log.String(), "secret") {
		t.Error("the log has the value of the panic")
	}
}

func TestTopicDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		offered := 0
		r.topic.Refuse(func(topic.Message) error { offered++; return errOutage })
		r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3)), "1", "2", "3")
		if offered != 8 {
			t.Errorf("2 messages were offered %d times, want 4 times each", offered)
		}
		r.topic.Refuse(nil)
		r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3)))
		r.wantEvents("a UPSERT 1", "a UPSERT 2", "b UPSERT 1")
	})
}

func TestTopicRefusesPermission(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	offered := 0
	r.topic.Refuse(func(topic.Message) error { offered++; return fault.New("test", fault.Denied, nil) })
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1)), "1")
	r.wantReasons()
	if offered != 1 {
		t.Errorf("offered %d times although permission will not come by itself", offered)
	}
}

func TestOneEntryOfABatchFailsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		failures, offered := 2, map[string]int{}
		r.topic.Refuse(func(m topic.Message) error {
			id := decodeEvent(t, m.Body).Data.EntityID
			if offered[id]++; id == "e7" && failures > 0 {
				failures--
				return errOutage
			}
			return nil
		})
		var changes []change
		for i := range 20 {
			changes = append(changes, put(fmt.Sprintf("e%d", i), fmt.Sprint(100+i), i))
		}
		r.wantFailures(r.handle(t.Context(), changes...))
		for id, n := range offered {
			if want := map[bool]int{true: 3, false: 1}[id == "e7"]; n != want {
				t.Errorf("%s was offered %d times, want %d", id, n, want)
			}
		}
		if n := len(r.topic.Messages()); n != 20 {
			t.Errorf("%d messages were accepted", n)
		}
	})
}

func TestOneEntryOfABatchFailsForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.topic.Refuse(func(m topic.Message) error {
			if decodeEvent(t, m.Body).Data.EntityID == "b" {
				return errOutage
			}
			return nil
		})
		r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3), put("b", "4", 4), put("c", "5", 5)), "2", "4")
		r.wantEvents("a UPSERT 1", "a UPSERT 2", "c UPSERT 1")
		if item, _, _ := r.state.Get(t.Context(), state.Key{Tenant: "default", EntityType: "student", EntityID: "b"}); item.Version.Revision != 1 {
			t.Errorf("b has revision %d: its next record was applied before the one before it was published", item.Version.Revision)
		}
	})
}

func TestAMessageThatTheTopicRefusesIsQuarantined(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic.Refuse(func(m topic.Message) error {
		if strings.Contains(m.Body, "event-1\"") {
			return fault.Newf("test", fault.Invalid, "malformed")
		}
		return nil
	})
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("a", "2", 2)))
	r.wantEvents("a UPSERT 2")
	r.wantReasons("1 topic ")
}

func TestQuarantineDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.quarantine.Refuse(func(quarantine.Record) error { return errOutage })
	r.wantFailures(r.handle(t.Context(), put("a", "1", 101), put("b", "2", 2), put("a", "3", 3)), "1", "3")
	r.wantEvents("b UPSERT 1")
	r.wantReasons()
	r.quarantine.Refuse(nil)
	r.wantFailures(r.handle(t.Context(), put("a", "1", 101), put("b", "2", 2), put("a", "3", 3)))
	r.wantEvents("a UPSERT 1", "b UPSERT 1", "b UPSERT 1")
	r.wantReasons("1 maximum /dynamodb/NewImage/health_score")
}

func TestAFailedRecordThatCannotBeNamedFailsTheBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.quarantine.Refuse(func(quarantine.Record) error { return errOutage })
	response, err := r.subject.Handle(t.Context(), batch(put("a", "1", 1), change{raw: `{"eventID":7}`}))
	if !errors.Is(err, errOutage) || fault.KindOf(err) != fault.Transient || response.BatchItemFailures != nil {
		t.Errorf("%+v and %v, want the outage", response, err)
	}
}

func TestAnEventOfSomethingElse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, payload := range []string{`7`, `[]`, `{"Records":7}`, `{`} {
		if _, err := r.subject.Handle(t.Context(), json.RawMessage(payload)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", payload, err)
		}
	}
	for _, payload := range []string{`{}`, `{"Records":null}`, `{"Records":[]}`} {
		if response, err := r.subject.Handle(t.Context(), json.RawMessage(payload)); err != nil || response.BatchItemFailures != nil {
			t.Errorf("%s: %+v %v, want success", payload, response, err)
		}
	}
}

func TestPoisonAmongTheHealthy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	poison := []change{
		put("a", "1", 101),
		{raw: `{"eventID":"x","dynamodb":{"SequenceNumber":"2","NewImage":[]}}`},
		{raw: `"text"`},
		{raw: `null`},
		{entity: "a", kind: "INSERT", sequence: "5", new: map[string]any{"health_score": "high"}},
		{entity: "a", kind: "INSERT", sequence: "6", new: map[string]any{"tenant": "#"}},
		{entity: "a", kind: "INSERT", sequence: "not a number", new: map[string]any{}},
	}
	healthy := []change{put("a", "10", 1), put("b", "11", 2), put("c", "12", 3)}
	r.wantFailures(r.handle(t.Context(), slices.Concat(healthy[:1], poison[:4], healthy[1:2], poison[4:], healthy[2:])...))
	r.wantEvents("a UPSERT 1", "b UPSERT 1", "c UPSERT 1")
	r.wantReasons(" required /eventID", " type ", "1 maximum /dynamodb/NewImage/health_score", "2 type /dynamodb/NewImage",
		"5 type /dynamodb/NewImage/health_score", "6 pattern /dynamodb/NewImage/tenant", "not a number pattern /dynamodb/SequenceNumber")
	r.wantLine(map[string]any{"records": 10, "quarantined": 7, "applied": 3, "failed": 0, "level": "INFO"})
}

func TestARecordInQuarantineIsWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := change{entity: "a", kind: "MODIFY", sequence: "9",
		old: map[string]any{"tenant": "acme", "health_score": 1},
		new: map[string]any{"tenant": "acme", "health_score": 101, "note": "private"}}
	r.wantFailures(r.handle(t.Context(), c))
	records := r.quarantine.Records()
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	q := records[0]
	if !bytes.Equal(q.Payload, c.json()) {
		t.Errorf("payload %s, want %s", q.Payload, c.json())
	}
	if q.EventID != "event-9" || q.Sequence != "9" || q.Tenant != "acme" || q.EntityType != "student" || q.EntityID != "a" ||
		!strings.HasSuffix(q.Source, "/stream/"+testLabel) || !strings.HasPrefix(q.TraceParent, "00-") || q.At.IsZero() {
		t.Errorf("record %+v", q)
	}
	for _, secret := range []string{"private", "101", `"a"`} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log has %s of the payload: %s", secret, r.log.String())
		}
	}
	if !strings.Contains(r.log.String(), `"msg":"quarantined","event_id":"event-9","sequence":"9","entity_type":"student","code":"maximum","pointer":"/dynamodb/NewImage/health_score"`) {
		t.Errorf("log %s", r.log.String())
	}
}

// An invalid row must not stay visible to the tenant that it left.
func TestAnInvalidRowLeavesItsTenant(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]map[string]any{
		"to a tenant where it is invalid": {"tenant": "umbrella", "health_score": 101},
		"to no tenant":                    {"tenant": "?", "health_score": 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			before := map[string]any{"tenant": "acme", "health_score": 1}
			r.wantFailures(r.handle(t.Context(),
				change{entity: "a", kind: "INSERT", sequence: "1", new: before},
				change{entity: "a", kind: "MODIFY", sequence: "2", old: before, new: after}))
			r.wantEvents("a DELETE 2", "a UPSERT 1")
			if n := len(r.quarantine.Records()); n != 1 {
				t.Errorf("%d records in quarantine", n)
			}
		})
	}
}

func TestAMoveShowsNothingOfTheOldTenant(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.wantFailures(r.handle(t.Context(), change{entity: "a", kind: "MODIFY", sequence: "2",
		old: map[string]any{"tenant": "acme", "health_score": 11}, new: map[string]any{"tenant": "umbrella", "health_score": 22}}))
	messages := r.topic.Messages()
	if len(messages) != 2 {
		t.Fatalf("%d messages", len(messages))
	}
	for _, m := range messages {
		own, other := "11", "22"
		if m.Attributes["tenant"] == "umbrella" {
			own, other = other, own
		}
		if !strings.Contains(m.Body, ":"+own) || strings.Contains(m.Body, ":"+other) {
			t.Errorf("to %s goes %s", m.Attributes["tenant"], m.Body)
		}
	}
	if a, b := decodeEvent(t, messages[0].Body), decodeEvent(t, messages[1].Body); a.ID == b.ID {
		t.Error("both events have one id")
	}
}

func TestMessageAttributes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), find(insight("a", 0), "2", 70)))
	var got []string
	for _, m := range r.topic.Messages() {
		got = append(got, fmt.Sprint(m.Attributes))
	}
	slices.Sort(got)
	if want := []string{
		"map[entity_type:insight tenant:default type:INSIGHT_CREATED version:1]",
		"map[entity_type:student tenant:default type:METRIC_UPDATE version:1]",
	}; !slices.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
}

// An insight is in no other's way, nor in that of the entity that it is about, and goes through all
// that an entity goes through.
func TestInsights(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one, two := insight("a", 1), insight("a", 2)
	r.state.before = func(c state.Change) error {
		if id, ok := c.InsightID(); ok && strings.Contains(id.Sk, ":02.") {
			return errOutage
		}
		return nil
	}
	changes := []change{
		put("a", "1", 1), find(one, "2", 70), find(two, "3", 70), find(one, "4", 101),
		{entity: one, kind: "MODIFY", sequence: "5", new: map[string]any{"risk_score": 80, "note": "x"}, old: map[string]any{"risk_score": 101}},
		{entity: one, kind: "REMOVE", sequence: "6", old: map[string]any{"risk_score": 80}, expired: true},
		{entity: two, kind: "REMOVE", sequence: "7", old: map[string]any{"risk_score": 70}},
	}
	r.wantFailures(r.handle(t.Context(), changes...), "3", "7")
	r.wantEvents("a UPSERT 1", one+" EXPIRE 3", one+" UPSERT 1", one+" UPSERT 2")
	r.wantReasons("4 maximum /dynamodb/NewImage/risk_score")
	r.wantLine(map[string]any{"records": 7, "applied": 4, "quarantined": 1, "failed": 2, "dropped_attributes": 1})
	if !strings.Contains(r.log.String(), `"insight.note":1`) {
		t.Errorf("log %s", r.log.String())
	}
	if q := r.quarantine.Records()[0]; q.EntityType != "insight" || q.EntityID != "2026-11-22T10:00:01.000Z/insight#a" || q.Tenant != "default" {
		t.Errorf("in quarantine %+v", q)
	}
	r.state.before = nil
	r.wantFailures(r.handle(t.Context(), changes[2], changes[6]))
	r.wantEvents("a UPSERT 1", one+" EXPIRE 3", one+" UPSERT 1", one+" UPSERT 2", two+" DELETE 2", two+" UPSERT 1")
}

func TestDroppedAttributesAreCountedAndBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	row := map[string]any{"health_score": 1, "tenant": "acme", strings.Repeat("é", 5000): 1}
	for i := range 400 {
		row[fmt.Sprintf("custom_%03d", i)] = strings.Repeat("x", 1000) // the row is 400 KB, what is public is small
	}
	r.wantFailures(r.handle(t.Context(), change{entity: "a", kind: "INSERT", sequence: "1", new: row}))
	r.wantEvents("a UPSERT 1")
	r.wantLine(map[string]any{"dropped_attributes": 401})
	if n := len(r.log.String()); n > 4000 {
		t.Errorf("the log line has %d bytes", n)
	}
	if !strings.Contains(r.log.String(), `"student.custom_000":1`) {
		t.Errorf("log %s", r.log.String())
	}
}

func TestACallThatHangsHoldsUpOnlyItsEntity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		start := time.Now()
		r.state.wait = func(ctx context.Context, c state.Change) {
			if c.EntityID == "b" {
				<-ctx.Done()
			}
		}
		r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3), put("b", "4", 4)), "2", "4")
		r.wantEvents("a UPSERT 1", "a UPSERT 2")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("answered after %v, want the time that one call has", took)
		}
	})
}

func TestTheDeadlineIsNear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		r.state.wait = func(ctx context.Context, _ state.Change) {
			select {
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
			}
		}
		var changes []change
		for i := range 7 {
			changes = append(changes, put("a", fmt.Sprint(i+1), i))
		}
		r.wantFailures(r.handle(ctx, changes...), "5", "6", "7")
		if took := time.Since(start); took != 9*time.Second {
			t.Errorf("answered after %v, want a second before the deadline", took)
		}
		r.wantEvents("a UPSERT 1", "a UPSERT 2", "a UPSERT 3", "a UPSERT 4")
	})
}

func TestNoTimeForAnotherAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *normalizer.Config) { c.Backoff, c.Attempts = time.Hour, 1000 })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		r.topic.Refuse(func(topic.Message) error { return errOutage })
		r.wantFailures(r.handle(ctx, put("a", "1", 1)), "1")
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("answered after %v of 2 s, want a quarter to be left", took)
		}
	})
}

func TestTheDeadlineHasPassed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.wantFailures(r.handle(ctx, put("a", "1", 1), put("a", "2", 101), put("b", "3", 101)), "1", "2", "3")
	r.wantEvents()
	r.wantReasons()
}

func TestEntitiesGoTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *normalizer.Config) { c.Parallel = 8 })
		var mu sync.Mutex
		running, most := 0, 0
		r.state.wait = func(context.Context, state.Change) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(10 * time.Millisecond) // the fake clock
			mu.Lock()
			running--
			mu.Unlock()
		}
		var changes []change
		for i := range 40 {
			changes = append(changes, put(fmt.Sprintf("e%02d", i), fmt.Sprint(i+1), i))
		}
		start := time.Now()
		r.wantFailures(r.handle(t.Context(), changes...))
		if most != 8 || time.Since(start) != 50*time.Millisecond {
			t.Errorf("at most %d at once, %v in all, want 8 and 50ms", most, time.Since(start))
		}
	})
}

func TestRetriesAndLateRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, second := put("a", "9", 1), put("a", "10", 2) // "10" is before "9" as text
	r.wantFailures(r.handle(t.Context(), first, second))
	r.wantFailures(r.handle(t.Context(), second))
	r.wantLine(map[string]any{"records": 1, "repeated": 1, "applied": 0})
	r.wantFailures(r.handle(t.Context(), first))
	r.wantLine(map[string]any{"records": 1, "superseded": 1, "applied": 0})
	r.wantEvents("a UPSERT 1", "a UPSERT 2", "a UPSERT 2")
}

func TestATopicThatAnswersTooLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *normalizer.Config) { c.Topic = silentTopic{} })
		r.wantFailures(r.handle(t.Context(), put("a", "1", 1)), "1")
	})
}

func TestNewWantsItsPortsAndTables(t *testing.T) {
	t.Parallel()
	ports := normalizer.Config{State: memstate.New(1), Topic: silentTopic{}, Quarantine: &memquarantine.Quarantine{}}
	one, twice := ports, ports
	one.MetricsTable = "a"
	twice.MetricsTable, twice.InsightsTable = "a", "a"
	for _, c := range []normalizer.Config{{MetricsTable: "a", InsightsTable: "b"}, ports, one, twice} {
		if _, err := normalizer.New(c); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v, want kind invalid", c, err)
		}
	}
}
