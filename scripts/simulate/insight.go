package main

import (
	"fmt"
	"math"
	"time"
)

const (
	// model names the rules below. Another set of rules takes another name.
	model       = "rules-2026.11"
	insightLife = 90 * 24 * time.Hour
)

// rule finds something about an entity, at a level that rises with the urgency. Level 0 is nothing. A
// level that was reached is left only when the value is well beyond its threshold, so that a value which
// wavers there is no news each time.
type rule struct {
	prediction string
	level      func(r row, before int) int
	// tell says what it has found: the risk, 0 to 100, why, and what to do.
	tell func(row) (risk float64, explanation string, recommendations []string)
}

var rules = []rule{
	{"high_ib_call_frequency", manyCalls, tellCalls},
	{"low_health_score", lowHealth, tellHealth},
	{"supply_demand_imbalance", highDemand, tellDemand},
}

func manyCalls(r row, before int) int {
	return level(r["ib_calls_14d"].(int) >= 3-2*min(before, 1))
}

func tellCalls(r row) (float64, string, []string) {
	calls := r["ib_calls_14d"].(int)
	return min(60+6*float64(calls-3), 95),
		fmt.Sprintf("%d inbound calls in 14 days; three or more are an early sign of churn.", calls),
		[]string{"Call back within a day", "Read the notes of the last calls before"}
}

// Below warnAt health is a warning, below alarmAt it is critical, and so it stays until it is well again.
const warnAt, alarmAt, wellAt = 70, 50, 85

func lowHealth(r row, before int) int {
	health := r["health_score"].(float64)
	switch {
	case health < alarmAt:
		return 2
	case health < warnAt:
		return max(before, 1)
	case health < wellAt:
		return before
	default:
		return 0
	}
}

func tellHealth(r row) (float64, string, []string) {
	health := r["health_score"].(float64)
	if health < alarmAt {
		return 80 + (alarmAt-health)/alarmAt*20,
			fmt.Sprintf("Health is %.1f; below %d most leave.", health, alarmAt),
			[]string{"Call today", "Offer a session with another partner", "Put the account on the watch list"}
	}
	return 60 + (warnAt-health)/(warnAt-alarmAt)*19.9,
		fmt.Sprintf("Health is %.1f; a healthy account has %d or more.", health, warnAt),
		[]string{"Look at the last sessions and their ratings", "Write a short note to ask how it goes"}
}

func highDemand(r row, before int) int {
	if demand, ok := r["demand_score"].(float64); ok && before > 0 {
		return level(demand > r["supply_score"].(float64))
	}
	return level(r["balance_status"] == "high_demand")
}

func tellDemand(r row) (float64, string, []string) {
	demand, supply := r["demand_score"].(float64), r["supply_score"].(float64)
	return min(30+(demand-supply)*0.3, 59),
		fmt.Sprintf("Demand is %.1f and supply %.1f: %d students for %d tutors.", demand, supply, r["active_students"], r["available_tutors"]),
		[]string{"Invite tutors of neighbouring subjects", "Recruit in " + r["region"].(string)}
}

func level(reached bool) int {
	if reached {
		return 1
	}
	return 0
}

// judge returns the rules that say more of the entity than when it was last judged.
func (e *entity) judge(r row) []rule {
	var found []rule
	for i, rule := range rules {
		now := rule.level(r, e.levels[i])
		if now > e.levels[i] {
			found = append(found, rule)
		}
		e.levels[i] = now
	}
	return found
}

// insights are the rows of the insights table for what is new about an entity that looks like r.
// No two insights of an entity have one time, which is their key.
func (e *entity) insights(r row, now time.Time) []row {
	var rows []row
	for _, rule := range e.judge(r) {
		now = now.UTC().Truncate(time.Millisecond)
		if !now.After(e.found) {
			now = e.found.Add(time.Millisecond)
		}
		e.found = now
		at := now.Format(timeLayout)
		risk, explanation, recommendations := rule.tell(r)
		rows = append(rows, row{
			"pk":              "insight#" + e.ID,
			"sk":              at,
			"alert_id":        fmt.Sprintf("alert_%s_%d", e.ID, now.UnixMilli()),
			"entity_id":       e.ID,
			"entity_type":     e.Type,
			"prediction_type": rule.prediction,
			"risk_score":      math.Round(risk*10) / 10,
			"explanation":     explanation,
			"recommendations": recommendations,
			"timestamp":       at,
			"model_used":      model,
			"ttl":             int(now.Add(insightLife).Unix()),
		})
	}
	return rows
}
