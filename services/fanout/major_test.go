package fanout

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/contracts/contracttest"
	"github.com/iops-dashboard/live/contracts/nextmajor"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// sideBySide are the majors of a worker while METRIC_UPDATE has two.
func sideBySide() []Major {
	all := Published()
	all[0].Up = nextmajor.Up
	return append(all, Major{
		Type: contracts.MetricUpdateV1Type, Version: nextmajor.Version, Down: nextmajor.Down,
		Read: func(body []byte) (Event, error) {
			e, err := nextmajor.Decode(body)
			d := e.Data
			return Event{e.Tenant, e.TraceParent, string(d.EntityType), d.EntityID, d.Operation, d.Version, d.WrittenAt, d.Current, d.Previous}, err
		},
	})
}

// The producer publishes both majors, or still one, or one already. Whichever event comes, in
// whatever order, each browser is told the same in the words that it reads.
func TestMajorsLiveSideBySide(t *testing.T) {
	t.Parallel()
	first := encode(t, atRisk("0.07", 3))
	second := raised(t, first)
	for name, sent := range map[string][]string{
		"both":            {first, second},
		"both, reordered": {second, first},
		"only the first":  {first},
		"only the second": {second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(c *Config) { c.Majors = sideBySide() }, func(r *rig) {
				readers := map[string][]string{
					"silent": nil,
					"old":    {"METRIC_UPDATE/1"},
					"new":    {"METRIC_UPDATE/2"},
					"both":   {"METRIC_UPDATE/1", "METRIC_UPDATE/2"},
					"other":  {"INSIGHT_CREATED/1"},
					"later":  {"METRIC_UPDATE/3"},
				}
				for id, contracts := range readers {
					r.connectReading("default", id, contracts)
				}
				for _, body := range sent {
					r.queue.Send(body, nil)
				}
				r.start()
				const one, two = `{"churn_risk_14d":0.07,"ib_calls_7d":3}`, `{"churn_risk_14d":7,"inbound_calls_7d":3}`
				for id, want := range map[string]string{"silent": one, "old": one, "new": two, "both": two, "other": one} {
					frames := r.gateway.Frames(id)
					if len(frames) != 1 {
						t.Fatalf("%s got %d frames, want 1", id, len(frames))
					}
					var f contracts.MetricUpdateFrameV1
					if err := json.Unmarshal(frames[0], &f); err != nil {
						t.Fatal(err)
					}
					wantVersion, err := int64(1), contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, frames[0])
					if want == two {
						wantVersion, err = 2, nextmajor.Validate(nextmajor.KindFrame, frames[0])
					}
					if err != nil {
						t.Errorf("%s: %v in %s", id, err, frames[0])
					}
					if f.Version != wantVersion || len(f.Data) != 1 || string(f.Data[0].Attributes) != want {
						t.Errorf("%s got %s, want version %d with %s", id, frames[0], wantVersion, want)
					}
				}
				if got := r.gateway.Posts("later"); got != 0 {
					t.Errorf("one that reads neither got %d posts", got)
				}
				r.wantQueue(0, 0)
			})
		})
	}
}

// What one of the majors cannot say is told to nobody: it goes to the dead-letter queue with the
// reason, and does not touch the others.
func TestAnUpdateThatOneMajorCannotSay(t *testing.T) {
	t.Parallel()
	mute := sideBySide()
	mute[0].Up = func(string, json.RawMessage) (json.RawMessage, error) { return nil, errors.New("no word for it") }
	bubble(t, func(c *Config) { c.Majors = mute }, func(r *rig) {
		r.connectReading("default", "old", []string{"METRIC_UPDATE/1"})
		r.send("stu_1", 1)
		r.queue.Send(encode(t, newInsight("default", "stu_2", noon, 1)), nil)
		gone := newEvent("default", "stu_3", 1)
		gone.Data.Operation, gone.Data.Current = contracts.MetricUpdateOperationDelete, nil
		r.queue.Send(encode(t, gone), nil)
		r.start()
		r.wantQueue(0, 1)
		if got := r.queue.Dead()[0].Attributes[queue.ReasonAttribute].Value; !strings.Contains(got, "cannot be said in METRIC_UPDATE/2") {
			t.Errorf("reason %s", got)
		}
		if got := r.frames("old"); !strings.Contains(got, "stu_3@1") || !strings.Contains(got, "insight#stu_2") || strings.Contains(got, "stu_1") {
			t.Errorf("old got %s", got)
		}
	})
}

func TestRemovalsOfBothMajorsAreAlike(t *testing.T) {
	t.Parallel()
	gone := newEvent("default", "stu_1", 2)
	gone.Data.Operation, gone.Data.Current = contracts.MetricUpdateOperationExpire, nil
	bubble(t, func(c *Config) { c.Majors = sideBySide() }, func(r *rig) {
		r.connectReading("default", "old", nil)
		r.connectReading("default", "new", []string{"METRIC_UPDATE/2"})
		r.queue.Send(raised(t, encode(t, gone)), nil)
		r.start()
		for _, id := range []string{"old", "new"} {
			if got := r.gateway.Frames(id); len(got) != 1 || !strings.Contains(string(got[0]), `"reason":"EXPIRED"`) {
				t.Errorf("%s got %s", id, got)
			}
		}
	})
}

func TestMajorsThatDoNotFit(t *testing.T) {
	t.Parallel()
	change := func(f func([]Major) []Major) []Major { return f(sideBySide()) }
	for name, all := range map[string][]Major{
		"no way up":   change(func(m []Major) []Major { m[0].Up = nil; return m }),
		"no way down": change(func(m []Major) []Major { m[2].Down = nil; return m }),
		"a gap":       change(func(m []Major) []Major { m[2].Version = 3; return m }),
		"twice":       change(func(m []Major) []Major { m[2].Version = 1; return m }),
		"no reader":   change(func(m []Major) []Major { m[1].Read = nil; return m }),
		"no form":     change(func(m []Major) []Major { m[1].Type = "FORECAST"; return m }),
	} {
		if _, err := newMajors(all); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := newMajors([]Major{sideBySide()[2], sideBySide()[1], sideBySide()[0]}); err != nil {
		t.Errorf("in another order: %v", err)
	}
}

// The fanout is a consumer like any other: what it reads, it says in a frame that a browser can read.
func TestFanoutIsAConsumer(t *testing.T) {
	t.Parallel()
	contracttest.Consumer(t, func(document []byte) error {
		// The attributes that tell type and version are a hint at most.
		m := queue.Message{Body: string(document), Attributes: map[string]queue.Attribute{"type": queue.Text("METRIC_UPDATE"), "version": queue.Text("2")}}
		events, rejects := known.decode([]queue.Message{m})
		for _, r := range rejects {
			return errors.New(r.reason)
		}
		for _, f := range pack(entriesOf(events), noon) {
			kind := contracts.KindMetricUpdateFrameV1
			if f.form == insights {
				kind = contracts.KindInsightCreatedFrameV1
			}
			if err := contracts.ValidateConsumer(kind, f.post.Text()); err != nil {
				return err
			}
		}
		return nil
	}, contracts.KindMetricUpdateV1, contracts.KindInsightCreatedV1)
}

// atRisk is an event of version 1 with the attributes that version 2 says otherwise.
func atRisk(risk string, calls int) contracts.MetricUpdateV1 {
	e := newEvent("default", "stu_1", 7)
	e.Data.Current = json.RawMessage(fmt.Sprintf(`{"churn_risk_14d":%s,"ib_calls_7d":%d}`, risk, calls))
	return e
}

// raised is the event of version 2 that says the same.
func raised(t *testing.T, document string) string {
	t.Helper()
	next, err := nextmajor.UpEvent([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return string(next)
}

func (r *rig) connectReading(tenant, id string, contracts []string) {
	r.t.Helper()
	c := registry.Connection{ID: id, Tenant: tenant, ConnectedAt: time.Now().Add(-grown), Contracts: contracts}
	if err := r.registry.Open(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
	r.gateway.Open(id)
}
