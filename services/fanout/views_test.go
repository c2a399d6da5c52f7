package fanout

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/view"
)

// watch is one view, in terms that the reference can judge by itself: rows of these types (none: all)
// whose health is below a limit (0: any), and which attributes of them.
type watch struct {
	kind   string
	below  int
	fields []string
}

func (w watch) view() contracts.ViewV1 {
	v := contracts.ViewV1{EntityType: contracts.ViewType(w.kind), Fields: w.fields}
	if w.below > 0 {
		v.Where = []contracts.ComparisonV1{{Attribute: "health_score", Operator: "lt", Value: json.RawMessage(fmt.Sprint(w.below))}}
	}
	return v
}

// row is a state of an entity; nil is none.
type viewRow map[string]int

// shownOf is what somebody with these views must show of a row.
func shownOf(views []watch, kind string, r viewRow) (map[string]int, bool) {
	shown, matches := map[string]int{}, false
	for _, w := range views {
		health, has := r["health_score"]
		if r == nil || w.kind != "*" && w.kind != kind || w.below > 0 && (!has || health >= w.below) {
			continue
		}
		matches = true
		for name, value := range r {
			if w.fields == nil || slices.Contains(w.fields, name) {
				shown[name] = value
			}
		}
	}
	return shown, matches
}

type viewScenario struct {
	watchers [][]watch
	history  map[string][]viewRow // by "type/id", each revision
	sends    []viewSend
	pages    []bool
	scripts  [][]fault.Kind
}

type viewSend struct {
	key      string
	revision int
	after    time.Duration
	blind    bool // the event does not say what was before
}

func drawViews(t *rapid.T) viewScenario {
	s := viewScenario{history: map[string][]viewRow{}}
	drawWatch := rapid.Custom(func(t *rapid.T) watch {
		w := watch{kind: rapid.SampledFrom([]string{"student", "tutor", "*"}).Draw(t, "kind"), below: rapid.SampledFrom([]int{0, 3, 6}).Draw(t, "below")}
		if rapid.Bool().Draw(t, "chooses") {
			w.fields = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"health_score", "sessions_7d", "ib_calls_7d"}), 1, 2, rapid.ID).Draw(t, "fields")
		}
		return w
	})
	for range rapid.IntRange(1, 5).Draw(t, "watchers") {
		s.watchers = append(s.watchers, rapid.SliceOfN(drawWatch, 1, 3).Draw(t, "views"))
		s.scripts = append(s.scripts, rapid.SliceOfN(rapid.SampledFrom([]fault.Kind{fault.Internal, fault.Transient, fault.TooLarge}), 0, 2).Draw(t, "script"))
	}
	for _, key := range []string{"student/a", "student/b", "tutor/a"} {
		for range rapid.IntRange(1, 6).Draw(t, "revisions") {
			var r viewRow
			if rapid.IntRange(0, 5).Draw(t, "gone") > 0 {
				r = viewRow{"sessions_7d": rapid.IntRange(0, 9).Draw(t, "sessions")}
				if rapid.IntRange(0, 4).Draw(t, "has health") > 0 {
					r["health_score"] = rapid.IntRange(0, 9).Draw(t, "health")
				}
				if rapid.Bool().Draw(t, "has calls") {
					r["ib_calls_7d"] = rapid.IntRange(0, 9).Draw(t, "calls")
				}
			}
			s.history[key] = append(s.history[key], r)
		}
		for revision := range s.history[key] {
			for range rapid.IntRange(1, 2).Draw(t, "copies") {
				s.sends = append(s.sends, viewSend{
					key: key, revision: revision, blind: rapid.IntRange(0, 4).Draw(t, "blind") == 0,
					after: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 10, 400, 2500}).Draw(t, "after")) * time.Millisecond,
				})
			}
		}
	}
	s.pages = rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(t, "pages")
	return s
}

func (s viewScenario) body(m viewSend) string {
	kind, id, _ := strings.Cut(m.key, "/")
	e := newEvent("default", id, int64(m.revision+1))
	e.Data.EntityType = contracts.EntityType(kind)
	raw := func(r viewRow) json.RawMessage {
		if r == nil {
			return nil
		}
		return json.RawMessage(must(json.Marshal(r)))
	}
	if e.Data.Current = raw(s.history[m.key][m.revision]); e.Data.Current == nil {
		e.Data.Operation = contracts.MetricUpdateOperationDelete
	}
	if m.revision > 0 && !m.blind {
		e.Data.Previous = raw(s.history[m.key][m.revision-1])
	}
	return must(json.Marshal(e))
}

// Any sequence of writes, conflated, reordered, repeated and refused in any way, leaves each browser with
// exactly the rows and the attributes that its views match; what left a view leaves the browser.
func TestBrowsersShowWhatTheirViewsMatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := drawViews(rt)
		var complaint string
		synctest.Test(t, func(t *testing.T) { complaint = playViews(t, s) })
		if complaint != "" {
			rt.Fatal(complaint)
		}
	})
}

func playViews(t *testing.T, s viewScenario) string {
	r := newRig(t, nil)
	r.registry.PageSize = 1
	pages := oneByOne(s.pages)
	r.registry.OnPage = func(context.Context, string, int) error { return pages() }
	for i, views := range s.watchers {
		id := fmt.Sprintf("w-%d=", i)
		r.connect("default", id, grown)
		for _, kind := range s.scripts[i] {
			if kind == fault.Internal {
				r.gateway.Script(id, nil)
			} else {
				r.gateway.Script(id, failure(kind))
			}
		}
		r.subscribe(id, 1, views)
	}
	for _, m := range s.sends {
		time.AfterFunc(m.after, func() { r.queue.Send(s.body(m), nil) })
	}
	r.start()
	pass(5 * time.Minute)
	r.end()
	r.registry.OnPage = nil
	if n := len(r.queue.Waiting()) + len(r.queue.Dead()); n > 0 {
		return fmt.Sprintf("%d messages are left", n)
	}
	for i, views := range s.watchers {
		id := fmt.Sprintf("w-%d=", i)
		if r.marked("default", id) {
			continue
		}
		shown, err := browse(r.gateway.Frames(id))
		if err != nil {
			return err.Error()
		}
		want := map[string]string{}
		for key, history := range s.history {
			kind, _, _ := strings.Cut(key, "/")
			if attributes, ok := shownOf(views, kind, history[len(history)-1]); ok {
				want[key] = fmt.Sprint(attributes)
			}
		}
		if !maps.Equal(shown, want) {
			return fmt.Sprintf("%s with %+v shows %v, want %v\nframes %s", id, views, shown, want, r.frames(id))
		}
	}
	return ""
}

func (r *rig) subscribe(id string, syncID int64, views []watch) {
	r.t.Helper()
	var all []contracts.ViewV1
	for _, w := range views {
		all = append(all, w.view())
	}
	set, err := view.Compile(all)
	if err != nil {
		r.t.Fatal(err)
	}
	s := registry.Subscription{SyncID: syncID, Views: map[string]string{}}
	for partition, part := range set.Split() {
		s.Views[partition] = part.Spec()
	}
	if _, err := r.registry.Subscribe(r.t.Context(), id, s); err != nil {
		r.t.Fatal(err)
	}
}

// browse shows frames as a browser does: of each entity the highest version, and of one version that came
// twice all that either said.
func browse(frames [][]byte) (map[string]string, error) {
	type held struct {
		version    contracts.Version
		attributes map[string]int // nil: removed
	}
	all := map[string]held{}
	for _, document := range frames {
		if resync(document) {
			continue
		}
		updates, err := readFrame(document)
		if err != nil {
			return nil, err
		}
		for _, u := range updates {
			key := string(u.EntityType) + "/" + u.EntityID
			h, known := all[key]
			if order := u.Version.Compare(h.version); known && order < 0 {
				continue
			} else if !known || order > 0 {
				h = held{version: u.Version}
			}
			if u.Attributes != nil {
				var attributes map[string]int
				if err := json.Unmarshal(u.Attributes, &attributes); err != nil {
					return nil, err
				}
				if h.attributes == nil {
					h.attributes = map[string]int{}
				}
				maps.Copy(h.attributes, attributes)
			}
			all[key] = h
		}
	}
	shown := map[string]string{}
	for key, h := range all {
		if h.attributes != nil {
			shown[key] = fmt.Sprint(h.attributes)
		}
	}
	return shown, nil
}

// A connection that changes its views gets by them what comes after, and nothing by the old ones.
func TestChangedViews(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.subscribe("a", 1, []watch{{kind: "student"}})
		r.start()
		r.send("stu_1", 1)
		synctest.Wait()
		r.wantFrames("a", "stu_1@1")
		r.subscribe("a", 2, []watch{{kind: "tutor"}})
		r.send("stu_1", 2)
		tutor := newEvent("default", "tut_1", 1)
		tutor.Data.EntityType = contracts.EntityTypeTutor
		r.queue.Send(encode(t, tutor), nil)
		synctest.Wait()
		r.wantFrames("a", "stu_1@1 | tut_1@1")
		r.wantQueue(0, 0)
	})
}

// Views that a later release has stored may say more than is understood here: then all is sent, and the
// browser applies them.
func TestViewsOfALaterRelease(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		_, err := r.registry.Subscribe(context.Background(), "a", registry.Subscription{SyncID: 1, Views: map[string]string{
			"student": `[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":1,"negate":true}]}]`,
			"tutor":   `[{"entity_type":"tutor","sample":0.5}]`,
		}})
		if err != nil {
			t.Fatal(err)
		}
		r.start()
		r.send("stu_1", 1)
		synctest.Wait()
		tutor := newEvent("default", "tut_1", 1)
		tutor.Data.EntityType = contracts.EntityTypeTutor
		r.queue.Send(encode(t, tutor), nil)
		synctest.Wait()
		r.wantFrames("a", "stu_1@1 | tut_1@1")
	})
}

// What the connection no longer matches is not told with the values that made it leave.
func TestWhatLeavesAViewLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		r.subscribe("a", 1, []watch{{kind: "student", below: 5}})
		e := newEvent("default", "stu_1", 2)
		e.Data.Previous, e.Data.Current = json.RawMessage(`{"health_score":3}`), json.RawMessage(`{"health_score":8,"sessions_7d":77}`)
		r.queue.Send(encode(t, e), nil)
		r.start()
		frames := r.gateway.Frames("a")
		if len(frames) != 1 || !strings.Contains(string(frames[0]), `"reason":"LEFT_VIEW"`) || strings.Contains(string(frames[0]), "77") {
			t.Errorf("frames %s", frames)
		}
	})
}

// Connections that watch the same share their frames, whatever else is watched.
func TestEqualViewsShareFrames(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		for i := range 30 {
			id := fmt.Sprint("c", i)
			r.connect("default", id, grown)
			if i%3 > 0 {
				r.subscribe(id, 1, []watch{{kind: "student", fields: []string{"health_score"}}})
			}
		}
		r.send("stu_1", 1)
		r.start()
		texts := map[string]int{}
		for i := range 30 {
			for _, f := range r.gateway.Frames(fmt.Sprint("c", i)) {
				texts[string(f)]++
			}
		}
		if len(texts) != 2 {
			t.Errorf("%d different frames, want 2", len(texts))
		}
	})
}
