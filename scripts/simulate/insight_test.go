package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123_456_789, time.UTC)

// public is what the normalizer publishes of a row.
func public(r row) map[string]any {
	attributes := map[string]any{}
	for name, value := range r {
		switch name {
		case "pk", "sk", "ttl":
		case "recommendations":
			var list []any
			for _, s := range value.([]string) {
				list = append(list, s)
			}
			attributes[name] = list
		default:
			attributes[name] = value
		}
	}
	attributes["risk_band"] = string(contracts.RiskBandOf(r["risk_score"].(float64)))
	return attributes
}

// Every row keeps the contract, has a key of its own, lives for 90 days, and is as urgent as its rule
// says.
func TestEveryInsightKeepsTheContract(t *testing.T) {
	t.Parallel()
	w, now := newWorld(7, 1000), noon
	keys, counts := map[string]bool{}, map[string]int{}
	for range 40_000 {
		now = now.Add(120 * time.Millisecond)
		e := w.step()
		state := e.row()
		for _, r := range e.insights(state, now) {
			attributes := public(r)
			if err := contracts.ValidateInsight(attributes); err != nil {
				t.Fatalf("%v: %v", r, err)
			}
			key := r["pk"].(string) + r["sk"].(string)
			if keys[key] || r["pk"] != "insight#"+e.ID || r["sk"] != r["timestamp"] {
				t.Fatalf("key of %v", r)
			}
			keys[key] = true
			found, err := time.Parse(time.RFC3339, r["sk"].(string))
			if err != nil || r["ttl"] != int(found.AddDate(0, 0, 90).Unix()) {
				t.Fatalf("end of %v (%v)", r, err)
			}
			health, band := state["health_score"].(float64), attributes["risk_band"]
			switch r["prediction_type"] {
			case "high_ib_call_frequency":
				if state["ib_calls_14d"].(int) < 3 || band == "info" {
					t.Fatalf("%v of %v", r, state)
				}
			case "low_health_score":
				if health >= 70 || (health < 50) != (band == "critical") || band == "info" {
					t.Fatalf("%v of %v", r, state)
				}
			case "supply_demand_imbalance":
				if state["balance_status"] != "high_demand" || band != "info" {
					t.Fatalf("%v of %v", r, state)
				}
			}
			counts[r["prediction_type"].(string)+" "+band.(string)]++
		}
	}
	t.Log(counts)
	for _, want := range []string{"high_ib_call_frequency warning", "low_health_score warning", "low_health_score critical", "supply_demand_imbalance info"} {
		if counts[want] == 0 {
			t.Errorf("no %s among %v", want, counts)
		}
	}
}

func TestBandsMeetAtTheirThresholds(t *testing.T) {
	t.Parallel()
	for health, band := range map[float64]contracts.RiskBand{
		69.9: "warning", 50: "warning", 50.1: "warning", 49.9: "critical", 49: "critical", 0: "critical",
	} {
		risk, _, _ := tellHealth(row{"health_score": health})
		if got := contracts.RiskBandOf(risk); got != band {
			t.Errorf("health %v is a risk of %v, %s, want %s", health, risk, got, band)
		}
	}
}

// An entity is told of when it comes to meet a rule, or to meet it worse, and not again while that
// lasts.
func TestInsightsAreNews(t *testing.T) {
	t.Parallel()
	e := &entity{Type: "student", ID: "stu_1"}
	for i, step := range []struct {
		calls  int
		health float64
		want   string
	}{
		{0, 90, ""},
		{2, 70, ""},
		{3, 69.9, "high_ib_call_frequency low_health_score"},
		{4, 60, ""},
		{4, 49, "low_health_score"},
		{4, 55, ""}, // not yet well again
		{4, 49, ""},
		{2, 81, ""},
		{3, 69, ""},
		{1, 84.9, ""},
		{3, 60, ""},
		{0, 85, ""}, // now it is
		{3, 85, "high_ib_call_frequency"},
		{3, 69, "low_health_score"},
	} {
		var got []string
		// The clock stands still: their times differ all the same.
		for _, r := range e.insights(row{"ib_calls_14d": step.calls, "health_score": step.health}, noon) {
			got = append(got, r["prediction_type"].(string))
		}
		if strings.Join(got, " ") != step.want {
			t.Errorf("step %d: %v, want %s", i, got, step.want)
		}
	}
	if want := noon.Truncate(time.Millisecond).Add(4 * time.Millisecond); !e.found.Equal(want) {
		t.Errorf("the last of five is at %v, want %v", e.found, want)
	}
}

// At the default load, 500 updates a minute over 1,000 entities, people can read them: from the start,
// when nobody was told of anything yet, and later.
func TestInsightsAreNotTooMany(t *testing.T) {
	t.Parallel()
	const updates, window = 500, 30 // of minutes
	w := newWorld(1, 1000)
	for part := range 6 {
		n := 0
		for range updates * window {
			e := w.step()
			n += len(e.insights(e.row(), noon))
		}
		each := float64(n) / window
		t.Logf("%.1f insights a minute", each)
		if each < 5 || each > 25 {
			t.Errorf("%.1f insights a minute in half hour %d", each, part)
		}
	}
}

// What demand made news is over when supply has caught up, and not before.
func TestDemandThatWavers(t *testing.T) {
	t.Parallel()
	e := &entity{Type: "subject", ID: "sub_algebra"}
	for i, step := range []struct {
		demand, supply float64
		want           int
	}{
		{69, 50, 0}, {71, 50, 1}, {69, 50, 0}, {71, 50, 0}, {51, 50, 0}, {71, 50, 0}, {50, 50, 0}, {69, 50, 0}, {71, 50, 1},
	} {
		r := row{
			"ib_calls_14d": 0, "health_score": 90.0, "demand_score": step.demand, "supply_score": step.supply, "balance_status": balance(step.demand, step.supply),
			"active_students": 1, "available_tutors": 1, "region": "uk",
		}
		if got := len(e.insights(r, noon)); got != step.want {
			t.Errorf("step %d: %d insights, want %d", i, got, step.want)
		}
	}
}

func TestSameSeedFindsTheSame(t *testing.T) {
	t.Parallel()
	tell := func() (all []row) {
		w := newWorld(3, 200)
		for i := range 2000 {
			e := w.step()
			all = append(all, e.insights(e.row(), noon.Add(time.Duration(i)*time.Second))...)
		}
		return all
	}
	if a, b := tell(), tell(); len(a) == 0 || !reflect.DeepEqual(a, b) {
		t.Errorf("%d insights and %d", len(a), len(b))
	}
}

func TestAnInsightIsOneItem(t *testing.T) {
	t.Parallel()
	e := &entity{Type: "student", ID: "stu_1"}
	r := e.insights(row{"ib_calls_14d": 3, "health_score": 90.0}, noon)[0]
	in := put("t", r)
	item, err := json.Marshal(in.Item)
	if err != nil || len(in.Item) != len(r) || *in.TableName != "t" {
		t.Fatalf("%s %v", item, err)
	}
	for _, want := range []string{`"pk":{"Value":"insight#stu_1"}`, `"recommendations":{"Value":[{"Value":"Call back`} {
		if !strings.Contains(string(item), want) {
			t.Errorf("no %s in %s", want, item)
		}
	}
}
