package fanout

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Whatever the updates are: each is in exactly one frame, in order, each frame is valid, within its
// limit, and not opened before the one before it was full.
func TestPackLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		updates := rapid.SliceOfN(rapid.Custom(drawUpdate), 1, 60).Draw(t, "updates")
		frames := pack(updates, noon)
		var got []contracts.UpdateV1
		for i, f := range frames {
			if len(f.bytes) > contracts.MaxFrameBytes {
				t.Fatalf("frame of %d bytes", len(f.bytes))
			}
			if i > 0 && len(frames[i-1].bytes)+1+len(f.updates[0].fragment) <= contracts.MaxFrameBytes {
				t.Fatalf("frame %d had room for more", i-1)
			}
			if err := contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, f.bytes); err != nil {
				t.Fatalf("%v in %s", err, f.bytes)
			}
			if cap(f.bytes) != len(f.bytes) {
				t.Fatalf("%d bytes in %d", len(f.bytes), cap(f.bytes))
			}
			got = append(got, read(t, f.bytes)...)
		}
		same(t, got, updates)
	})
}

func TestHalvesKeepAllUpdates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		updates := rapid.SliceOfN(rapid.Custom(drawUpdate), 2, 10).Draw(t, "updates")
		for _, f := range pack(updates, noon) {
			if len(f.updates) < 2 {
				continue
			}
			var got []contracts.UpdateV1
			for _, half := range f.halves() {
				if len(half.updates) == 0 {
					t.Fatal("an empty half")
				}
				if err := contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, half.bytes); err != nil {
					t.Fatal(err)
				}
				got = append(got, read(t, half.bytes)...)
			}
			same(t, got, f.updates)
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
	body := encode(t, e)
	if len(body) != contracts.MaxEventBytes {
		t.Fatalf("an event of %d bytes", len(body))
	}
	events, rejects := decode(messages(body))
	if len(rejects) > 0 {
		t.Fatal(rejects)
	}
	frames := pack(conflate(events)[0].updates, noon)
	if len(frames) != 1 || len(frames[0].bytes) > contracts.MaxFrameBytes {
		t.Errorf("%d frames, the first of %d bytes", len(frames), len(frames[0].bytes))
	}
	if err := contracts.ValidateConsumer(contracts.KindMetricUpdateFrameV1, frames[0].bytes); err != nil {
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
			d := newEvent("default", "stu_1", 12).Data
			d.Current = json.RawMessage(`{"health_score":71.50}`)
			tc.change(&d)
			if got := string(fragment(&update{MetricUpdateDataV1: d})); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

func BenchmarkPack(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("updates=%d", n), func(b *testing.B) {
			updates := make([]*update, n)
			for i := range updates {
				updates[i] = &update{MetricUpdateDataV1: newEvent("default", fmt.Sprintf("stu_%d", i), 1).Data}
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, u := range updates {
					u.fragment = nil
				}
				pack(updates, noon)
			}
		})
	}
}

func drawUpdate(t *rapid.T) *update {
	types := contracts.EntityTypes()
	d := newEvent("default", rapid.StringN(1, 40, -1).Draw(t, "id"), rapid.Int64Range(1, 1<<53-1).Draw(t, "revision")).Data
	d.EntityType = types[rapid.IntRange(0, len(types)-1).Draw(t, "type")]
	switch rapid.IntRange(0, 4).Draw(t, "what") {
	case 0:
		d.Operation, d.Current = contracts.MetricUpdateOperationDelete, nil
	case 1:
		d.Operation, d.Current = contracts.MetricUpdateOperationExpire, nil
	case 2: // white space is the one thing of any size that the schema lets through
		d.Current = json.RawMessage(`{` + strings.Repeat(" ", rapid.IntRange(0, 20_000).Draw(t, "size")) + `}`)
	default:
		d.Current = json.RawMessage(fmt.Sprintf(`{"health_score":%d}`, rapid.IntRange(0, 100).Draw(t, "health")))
	}
	return &update{MetricUpdateDataV1: d}
}

func read(t interface {
	Helper()
	Fatal(...any)
}, document []byte) []contracts.UpdateV1 {
	t.Helper()
	var f contracts.MetricUpdateFrameV1
	if err := json.Unmarshal(document, &f); err != nil {
		t.Fatal(err)
	}
	return f.Data
}

func same(t *rapid.T, got []contracts.UpdateV1, want []*update) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d updates, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.EntityID != w.EntityID || g.EntityType != w.EntityType || g.Version != w.Version || string(g.Attributes) != string(w.Current) {
			t.Fatalf("update %d: %+v, want %+v", i, g, w.MetricUpdateDataV1)
		}
	}
}
