package query_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/query"
)

// comparison is one condition, judged here without the code of views.
type comparison struct {
	Attribute string `json:"attribute"`
	Operator  string `json:"operator"`
	Value     any    `json:"value"`
}

func (c comparison) holds(image map[string]any) bool {
	switch have := image[c.Attribute].(type) {
	case float64:
		want, _ := c.Value.(int)
		order := cmp.Compare(have, float64(want))
		return map[string]bool{"eq": order == 0, "ne": order != 0, "lt": order < 0, "le": order <= 0, "gt": order > 0, "ge": order >= 0}[c.Operator]
	case string:
		return (have == c.Value) == (c.Operator == "eq")
	}
	return false
}

var comparisons = rapid.Custom(func(t *rapid.T) comparison {
	if rapid.Bool().Draw(t, "of a number") {
		return comparison{
			rapid.SampledFrom([]string{"health_score", "sessions_7d"}).Draw(t, "attribute"),
			rapid.SampledFrom([]string{"eq", "ne", "lt", "le", "gt", "ge"}).Draw(t, "operator"), rapid.IntRange(0, 4).Draw(t, "value"),
		}
	}
	return comparison{"segment", rapid.SampledFrom([]string{"eq", "ne"}).Draw(t, "operator"), rapid.SampledFrom([]string{"at_risk", "healthy"}).Draw(t, "value")}
})

var images = rapid.Custom(func(t *rapid.T) string {
	image := map[string]any{}
	for _, name := range []string{"health_score", "sessions_7d"} {
		if rapid.Bool().Draw(t, name+" is there") {
			image[name] = rapid.IntRange(0, 4).Draw(t, name)
		}
	}
	if rapid.Bool().Draw(t, "segment is there") {
		image["segment"] = rapid.SampledFrom([]string{"at_risk", "healthy"}).Draw(t, "segment")
	}
	text, err := json.Marshal(image)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
})

// model is what the table holds: images by key, without what is gone.
type model map[state.Key]string

// matching names the entities that a tenant may see, and that match.
func (m model) matching(t *rapid.T, tenant string, types []string, where []comparison) map[string]bool {
	out := map[string]bool{}
	for k, text := range m {
		var image map[string]any
		if err := json.Unmarshal([]byte(text), &image); err != nil {
			t.Fatal(err)
		}
		miss := func(c comparison) bool { return !c.holds(image) }
		if k.Tenant == tenant && slices.Contains(types, k.EntityType) && !slices.ContainsFunc(where, miss) {
			out[k.EntityType+"/"+k.EntityID] = true
		}
	}
	return out
}

// Every entity that matches throughout is on exactly one page, none is on two, and none that never matched, or is
// another's, is on any, while rows come, change and go between the pages.
func TestEachRowIsOnOnePage(t *testing.T) {
	t.Parallel()
	keys := rapid.Custom(func(t *rapid.T) state.Key {
		return state.Key{
			Tenant:     rapid.SampledFrom([]string{"acme", "umbrella"}).Draw(t, "tenant"),
			EntityType: rapid.SampledFrom([]string{"student", "tutor", "classroom"}).Draw(t, "type"),
			EntityID:   rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "a\n", "é", "😀", "\\"}).Draw(t, "id"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t, func(c *query.Config) {
			c.PageRows = rapid.IntRange(1, 5).Draw(t, "rows of a page")
			c.PageReads = rapid.IntRange(1, 8).Draw(t, "reads of a page")
		})
		m := model{}
		write := func() {
			k := keys.Draw(t, "key")
			if rapid.IntRange(0, 3).Draw(t, "removal") == 0 {
				r.put(t, k, "")
				delete(m, k)
				return
			}
			m[k] = images.Draw(t, "image")
			r.put(t, k, m[k])
		}
		for range rapid.IntRange(0, 40).Draw(t, "rows") {
			write()
		}

		tenant := rapid.SampledFrom([]string{"acme", "umbrella", "default"}).Draw(t, "who asks")
		types := rapid.SampledFrom([][]string{{"student", "tutor"}, {"student"}, {"tutor"}}).Draw(t, "types")
		request := metrics(claim("custom:tenant", tenant))
		switch {
		case len(types) == 2:
		case rapid.Bool().Draw(t, "asked for"):
			with("entity_type", types[0])(&request)
		default:
			claim("entity_types", types[0]+" insight region")(&request)
		}
		where := rapid.SliceOfN(comparisons, 0, 2).Draw(t, "where")
		if len(where) > 0 {
			text, err := json.Marshal(where)
			if err != nil {
				t.Fatal(err)
			}
			with("where", string(text))(&request)
		}

		always := m.matching(t, tenant, types, where)
		ever := maps.Clone(always)
		rows := r.allMetrics(t, request, func(int) {
			for range rapid.IntRange(0, 3).Draw(t, "writes") {
				write()
				now := m.matching(t, tenant, types, where)
				maps.Copy(ever, now)
				maps.DeleteFunc(always, func(name string, _ bool) bool { return !now[name] })
			}
		})
		seen := map[string]bool{}
		for _, name := range names(rows) {
			if seen[name] || !ever[name] {
				t.Fatalf("%q is there; before: %v; may be: %v", name, seen, ever)
			}
			seen[name] = true
		}
		for name := range always {
			if !seen[name] {
				t.Fatalf("%q is not there: %v", name, seen)
			}
		}
	})
}

// What pages show of insights are those that count of all that match, the latest first. Of those that count
// throughout, each is on exactly one page, while others are found and removed.
func TestEachInsightThatCountsIsOnOnePage(t *testing.T) {
	t.Parallel()
	type row struct {
		at   time.Time
		risk int
	}
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t, func(c *query.Config) { c.PageRows = rapid.IntRange(1, 4).Draw(t, "rows of a page") })
		now := time.Now().UTC().Truncate(time.Millisecond)
		held := map[contracts.InsightID]row{}
		n := 0
		find := func(tenant string, oldest int) {
			n++
			ago := time.Duration(rapid.IntRange(0, oldest).Draw(t, "minutes ago")) * time.Minute
			risk := rapid.IntRange(0, 100).Draw(t, "risk")
			at := now.Add(-ago)
			id := contracts.InsightID{Pk: fmt.Sprint("insight#", n%7, "\t\n", n), Sk: at.Format(time.RFC3339Nano)}
			r.put(t, state.InsightKey(tenant, id), fmt.Sprintf(
				`{"entity_id":"x","prediction_type":"p","risk_band":%q,"risk_score":%d,"timestamp":%q}`, contracts.RiskBandOf(float64(risk)), risk, at.Format(time.RFC3339Nano)))
			if tenant == "acme" {
				held[id] = row{at, risk}
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "insights") {
			find(rapid.SampledFrom([]string{"acme", "acme", "umbrella"}).Draw(t, "tenant"), 60*60)
		}
		request := insights()
		risk, since := rapid.IntRange(0, 60).Draw(t, "min_risk"), time.Time{}
		if risk > 0 {
			with("min_risk", fmt.Sprint(risk))(&request)
		}
		if rapid.Bool().Draw(t, "since some time") {
			since = now.Add(-time.Duration(rapid.IntRange(0, 60*60).Draw(t, "since")) * time.Minute)
			with("since", since.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano))(&request)
		}
		counting := func() map[contracts.InsightID]bool {
			matching := maps.Clone(held)
			maps.DeleteFunc(matching, func(_ contracts.InsightID, i row) bool { return i.risk < risk || i.at.Before(since) })
			var newest time.Time
			for _, i := range matching {
				if i.at.After(newest) {
					newest = i.at
				}
			}
			out := map[contracts.InsightID]bool{}
			for id, i := range matching {
				if newest.Sub(i.at) <= 24*time.Hour {
					out[id] = true
				}
			}
			return out
		}

		always := counting()
		ever := maps.Clone(always)
		var got []contracts.InsightUpdateV1
		for pages := 0; ; pages++ {
			page := r.insightsPage(t, request)
			got = append(got, page.Data...)
			if page.Next == nil {
				break
			}
			with("cursor", *page.Next)(&request)
			for range rapid.IntRange(0, 2).Draw(t, "writes") {
				if ids := slices.SortedFunc(maps.Keys(held), func(a, b contracts.InsightID) int { return strings.Compare(a.Pk, b.Pk) }); len(ids) > 0 && rapid.Bool().Draw(t, "removal") {
					id := rapid.SampledFrom(ids).Draw(t, "which")
					r.put(t, state.InsightKey("acme", id), "")
					delete(held, id)
				} else {
					find("acme", 60*60)
				}
				counts := counting()
				maps.Copy(ever, counts)
				maps.DeleteFunc(always, func(id contracts.InsightID, _ bool) bool { return !counts[id] })
			}
		}
		seen := map[contracts.InsightID]bool{}
		for i, u := range got {
			if seen[u.InsightID] || !ever[u.InsightID] {
				t.Fatalf("%v is there", u.InsightID)
			}
			seen[u.InsightID] = true
			if i > 0 && foundAt(t, got[i-1]).Before(foundAt(t, u)) {
				t.Fatalf("%v comes after an older one", u.InsightID)
			}
		}
		for id := range always {
			if !seen[id] {
				t.Fatalf("%v is not there", id)
			}
		}
	})
}

func foundAt(t *rapid.T, u contracts.InsightUpdateV1) time.Time {
	var read struct{ Timestamp time.Time }
	if err := json.Unmarshal(u.Attributes, &read); err != nil {
		t.Fatal(err)
	}
	return read.Timestamp
}

// Whatever is asked, the answer has its contract, and shows nothing of another tenant.
func FuzzHandle(f *testing.F) {
	f.Add("student", `[{"attribute":"health_score","operator":"lt","value":7}]`, "segment", "", "", "", "stu_1")
	f.Add("", "[", "segment,", "AAAAAAAAAAAAc3R1ZGVudApzdHVfMQ", "2026-11-22T10:00:00Z", "80", "umbrella")
	f.Fuzz(func(t *testing.T, kind, where, fields, cursor, since, risk, id string) {
		r := newRig(t)
		r.put(t, student("stu_1"), `{"health_score":1}`)
		r.put(t, state.Key{Tenant: "umbrella", EntityType: "student", EntityID: "umbrella"}, `{"health_score":1}`)
		r.insight(t, "umbrella", "umbrella", 0, 80)
		for route, request := range map[string]events.APIGatewayV2HTTPRequest{
			"metrics":  metrics(with("entity_type", kind, "where", where, "fields", fields, "cursor", cursor)),
			"insights": insights(with("since", since, "min_risk", risk, "fields", fields, "cursor", cursor)),
			"entity":   entity(kind, id, with("fields", fields)),
		} {
			response := r.ask(t, request)
			k := contracts.Kind("http/" + route + "/v1")
			if response.StatusCode != 200 {
				k = contracts.KindProblemV1
			}
			if err := contracts.ValidateProducer(k, []byte(response.Body)); err != nil {
				t.Errorf("%s: %v in %s", route, err, response.Body)
			}
			if response.StatusCode >= 500 || response.StatusCode == 200 && strings.Contains(response.Body, `"umbrella"`) {
				t.Errorf("%s: %d %s", route, response.StatusCode, response.Body)
			}
		}
	})
}
