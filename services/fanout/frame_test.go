package fanout

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Whatever the updates are: each is in exactly one frame, entities before insights and otherwise in
// order, each frame is valid, within its limit, and not opened before the one before it of its type
// was full.
func TestPackLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		updates := rapid.SliceOfN(rapid.Custom(drawUpdate), 1, 60).Draw(t, "updates")
		frames := pack(updates, noon)
		var got []contracts.UpdateV1
		for i, f := range frames {
			if len(f.post.Text()) > contracts.MaxFrameBytes {
				t.Fatalf("frame of %d bytes", len(f.post.Text()))
			}
			if i > 0 && frames[i-1].form == f.form && len(frames[i-1].post.Text())+1+len(f.entries[0].fragment()) <= contracts.MaxFrameBytes {
				t.Fatalf("frame %d had room for more", i-1)
			}
			if cap(f.post.Text()) != len(f.post.Text()) {
				t.Fatalf("%d bytes in %d", len(f.post.Text()), cap(f.post.Text()))
			}
			got = append(got, read(t, f.post.Text())...)
		}
		slices.SortStableFunc(updates, func(a, b *entry) int {
			return strings.Compare(b.name.form.contract, a.name.form.contract)
		})
		same(t, got, updates)
	})
}

func TestHalvesKeepAllUpdates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		updates := rapid.SliceOfN(rapid.Custom(drawUpdate), 2, 10).Draw(t, "updates")
		for _, f := range pack(updates, noon) {
			if len(f.entries) < 2 {
				continue
			}
			var got []contracts.UpdateV1
			for _, half := range f.halves() {
				if len(half.entries) == 0 {
					t.Fatal("an empty half")
				}
				got = append(got, read(t, half.post.Text())...)
			}
			same(t, got, f.entries)
		}
	})
}

// The largest event there is still fits, with an id that takes the most room that it can.
func TestTheLargestEventFits(t *testing.T) {
	t.Parallel()
	e := newEvent("default", strings.Repeat("\u2028", 256), 1)
	e.Data.EntityType = contracts.EntityTypeSubject
	e.Subject = "subject/x"
	base := len(encode(t, e))
	e.Data.Current = json.RawMessage(`{"later":"` + strings.Repeat("x", contracts.MaxEventBytes-base-len(`{"later":""}`)+len(e.Data.Current)) + `"}`)
	wantOneFrame(t, contracts.KindMetricUpdateFrameV1, encode(t, e))
}

func TestTheLargestInsightFits(t *testing.T) {
	t.Parallel()
	e := newInsight("default", strings.Repeat("\u2028", 256), noon, 1)
	base := len(encode(t, e))
	e.Data.Current = json.RawMessage(`{"later":"` + strings.Repeat("x", contracts.MaxEventBytes-base-len(`{"later":"",`)+1) + `",` + string(e.Data.Current[1:]))
	wantOneFrame(t, contracts.KindInsightCreatedFrameV1, encode(t, e))
}

// wantOneFrame packs one event of the largest size.
func wantOneFrame(t *testing.T, kind contracts.Kind, body string) {
	t.Helper()
	if len(body) != contracts.MaxEventBytes {
		t.Fatalf("an event of %d bytes", len(body))
	}
	events, rejects := known.decode(messages(body))
	if len(rejects) > 0 {
		t.Fatal(rejects)
	}
	frames := pack(entriesOf(events), noon)
	if len(frames) != 1 || len(frames[0].post.Text()) > contracts.MaxFrameBytes {
		t.Errorf("%d frames, the first of %d bytes", len(frames), len(frames[0].post.Text()))
	}
	if err := contracts.ValidateConsumer(kind, frames[0].post.Text()); err != nil {
		t.Error(err)
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	const version, written = `"version":{"epoch":1795000000000,"revision":12}`, `"written_at":"2026-11-22T10:00:00.123Z"`
	for name, tc := range map[string]struct {
		change func(*contracts.MetricUpdateDataV1)
		want   string
	}{
		"upsert": {func(*contracts.MetricUpdateDataV1) {},
			`{"entity_type":"student","entity_id":"stu_1","operation":"UPSERT",` + version + `,"attributes":{"health_score":71.50},` + written + `}`},
		"delete": {func(d *contracts.MetricUpdateDataV1) { d.Operation, d.Current = "DELETE", nil },
			`{"entity_type":"student","entity_id":"stu_1","operation":"REMOVE","reason":"DELETED",` + version + `,` + written + `}`},
		"expire": {func(d *contracts.MetricUpdateDataV1) { d.Operation, d.Current = "EXPIRE", nil },
			`{"entity_type":"student","entity_id":"stu_1","operation":"REMOVE","reason":"EXPIRED",` + version + `,` + written + `}`},
		"operation of a later producer": {func(d *contracts.MetricUpdateDataV1) { d.Operation = "RESTORE" },
			`{"entity_type":"student","entity_id":"stu_1","operation":"UPSERT",` + version + `,"attributes":{"health_score":71.50},` + written + `}`},
		"id that needs escapes": {func(d *contracts.MetricUpdateDataV1) { d.EntityID = "a\"\\\n" },
			`{"entity_type":"student","entity_id":"a\"\\\n","operation":"UPSERT",` + version + `,"attributes":{"health_score":71.50},` + written + `}`},
		"attributes of a later producer": {func(d *contracts.MetricUpdateDataV1) { d.Current = json.RawMessage(`{"mood": 1e2}`) },
			`{"entity_type":"student","entity_id":"stu_1","operation":"UPSERT",` + version + `,"attributes":{"mood": 1e2},` + written + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEvent("default", "stu_1", 12)
			e.Data.Current = json.RawMessage(`{"health_score":71.50}`)
			tc.change(&e.Data)
			if got := string(everything(&understood(e).change).fragment()); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestFragmentsOfInsights(t *testing.T) {
	t.Parallel()
	const rest = `"version":{"epoch":1795000000000,"revision":12}`
	for name, tc := range map[string]struct {
		change func(*contracts.InsightCreatedDataV1)
		want   string
	}{
		"upsert": {func(*contracts.InsightCreatedDataV1) {},
			`{"insight_id":{"pk":"insight#stu_1","sk":"2026-11-22T12:00:00.000Z"},"operation":"UPSERT",` + rest + `,"attributes":{"risk_score":84.0},"written_at":"2026-11-22T10:00:00.123Z"}`},
		"delete": {func(d *contracts.InsightCreatedDataV1) { d.Operation, d.Current = "DELETE", nil },
			`{"insight_id":{"pk":"insight#stu_1","sk":"2026-11-22T12:00:00.000Z"},"operation":"REMOVE","reason":"DELETED",` + rest + `,"written_at":"2026-11-22T10:00:00.123Z"}`},
		"expire": {func(d *contracts.InsightCreatedDataV1) { d.Operation, d.Current = "EXPIRE", nil },
			`{"insight_id":{"pk":"insight#stu_1","sk":"2026-11-22T12:00:00.000Z"},"operation":"REMOVE","reason":"EXPIRED",` + rest + `,"written_at":"2026-11-22T10:00:00.123Z"}`},
		"key that needs escapes": {func(d *contracts.InsightCreatedDataV1) { d.InsightID.Pk = "insight#\"\n" },
			`{"insight_id":{"pk":"insight#\"\n","sk":"2026-11-22T12:00:00.000Z"},"operation":"UPSERT",` + rest + `,"attributes":{"risk_score":84.0},"written_at":"2026-11-22T10:00:00.123Z"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newInsight("default", "stu_1", noon, 12)
			e.Data.Current = json.RawMessage(`{"risk_score":84.0}`)
			tc.change(&e.Data)
			if got := string(everything(&understood(e).change).fragment()); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

func BenchmarkPack(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("updates=%d", n), func(b *testing.B) {
			updates := make([]*entry, n)
			for i := range updates {
				updates[i] = everything(&understood(newEvent("default", fmt.Sprintf("stu_%d", i), 1)).change)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, u := range updates {
					u.fragments = nil
				}
				pack(updates, noon)
			}
		})
	}
}

func drawUpdate(t *rapid.T) *entry {
	types := contracts.EntityTypes()
	id, revision := rapid.StringN(1, 40, -1).Draw(t, "id"), rapid.Int64Range(1, 1<<53-1).Draw(t, "revision")
	e := newEvent("default", id, revision)
	e.Data.EntityType = types[rapid.IntRange(0, len(types)-1).Draw(t, "type")]
	i := newInsight("default", id, noon, revision)
	switch rapid.IntRange(0, 4).Draw(t, "what") {
	case 0:
		e.Data.Operation, e.Data.Current = contracts.MetricUpdateOperationDelete, nil
		i.Data.Operation, i.Data.Current = contracts.MetricUpdateOperationDelete, nil
	case 1:
		e.Data.Operation, e.Data.Current = contracts.MetricUpdateOperationExpire, nil
		i.Data.Operation, i.Data.Current = contracts.MetricUpdateOperationExpire, nil
	case 2: // white space is the one thing of any size that the schema lets through
		space := []byte(`{` + strings.Repeat(" ", rapid.IntRange(0, 20_000).Draw(t, "size")))
		e.Data.Current = append(space, e.Data.Current[1:]...)
	}
	if rapid.Bool().Draw(t, "insight") {
		return everything(&understood(i).change)
	}
	return everything(&understood(e).change)
}

// read returns the updates of a valid frame of either type. That of an insight reads as one of an
// entity of type insight, whose id is its key.
func read(t interface {
	Helper()
	Fatalf(string, ...any)
}, document []byte) []contracts.UpdateV1 {
	t.Helper()
	updates, err := readFrame(document)
	if err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	return updates
}

func readFrame(document []byte) ([]contracts.UpdateV1, error) {
	if !strings.HasPrefix(string(document), `{"type":"INSIGHT_CREATED",`) {
		var f contracts.MetricUpdateFrameV1
		err := json.Unmarshal(document, &f)
		return f.Data, errors.Join(err, contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, document))
	}
	var f contracts.InsightCreatedFrameV1
	err := json.Unmarshal(document, &f)
	var updates []contracts.UpdateV1
	for _, u := range f.Data {
		updates = append(updates, contracts.UpdateV1{
			EntityType: "insight", EntityID: u.InsightID.Pk + "@" + u.InsightID.Sk,
			Operation: u.Operation, Reason: u.Reason, Version: u.Version, Attributes: u.Attributes, WrittenAt: u.WrittenAt,
		})
	}
	return updates, errors.Join(err, contracts.ValidateProducer(contracts.KindInsightCreatedFrameV1, document))
}

// full is the type and id by which read names what an update is about.
func (n name) full() (kind, id string) {
	if n.form == insights {
		return "insight", n.first + "@" + n.second
	}
	return n.first, n.second
}

func same(t *rapid.T, got []contracts.UpdateV1, want []*entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d updates, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		kind, id := w.name.full()
		if g.EntityID != id || string(g.EntityType) != kind || g.Version != w.version || string(g.Attributes) != string(w.said[0].current) {
			t.Fatalf("update %d: %+v, want %s", i, g, w.fragment())
		}
	}
}
