package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Shares of the entity types among all entities.
const (
	tutorShare   = 0.25
	subjectShare = 0.10
	regionShare  = 0.05
)

var (
	subjects = []string{
		"algebra", "geometry", "calculus", "statistics", "physics", "chemistry", "biology", "english",
		"spanish", "french", "history", "economics", "programming", "sat-prep", "act-prep", "writing",
	}
	regions = []string{"us-east", "us-west", "us-central", "us-south", "ca-east", "ca-west", "uk", "ie", "au", "nz"}
)

// world is a tutoring marketplace in which everything drifts. It is deterministic: the same seed
// and the same number of entities tell the same story. It is not safe for concurrent use.
type world struct {
	random *rand.Rand
	all    []*entity
	next   int // the position in the present round
}

// entity is one row, with the hidden state that makes its numbers belong together.
type entity struct {
	Type, ID string

	mood    float64 // 0 unhappy to 1 happy; what all else follows
	weeks   [5]int  // sessions in each of the last five weeks, newest first
	calls   [2]int  // inbound calls, likewise
	rating  float64
	place   string
	members [2]int // subjects: tutors, students

	levels [3]int    // what each rule says of it
	found  time.Time // of its last insight
}

// row is an entity's attributes, as they are written.
type row map[string]any

func newWorld(seed uint64, entities int) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	tutors, subjectRows, regionRows := share(entities, tutorShare), share(entities, subjectShare), share(entities, regionShare)
	students := max(entities-tutors-subjectRows-regionRows, 0)
	for i := range students {
		w.add("student", fmt.Sprintf("stu_%04d", i+1))
	}
	for i := range tutors {
		w.add("tutor", fmt.Sprintf("tut_%04d", i+1))
	}
	for i := range subjectRows {
		w.add("subject", named("sub", subjects[i%len(subjects)], i/len(subjects)))
	}
	for i := range regionRows {
		w.add("region", named("reg", regions[i%len(regions)], i/len(regions)))
	}
	w.shuffle()
	return w
}

func share(entities int, of float64) int { return int(math.Round(float64(entities) * of)) }

func named(prefix, name string, round int) string {
	if round == 0 {
		return prefix + "_" + name
	}
	return fmt.Sprintf("%s_%s_%d", prefix, name, round+1)
}

func (w *world) add(kind, id string) {
	r := w.random
	e := &entity{Type: kind, ID: id, mood: clamp(0.82+0.15*r.NormFloat64(), 0.02, 0.98), place: regions[r.IntN(len(regions))]}
	for i := range e.weeks {
		e.weeks[i] = w.sessions(e)
	}
	for i := range e.calls {
		e.calls[i] = w.inboundCalls(e)
	}
	e.rating = clamp(2.6+2.3*e.mood+0.2*r.NormFloat64(), 1, 5)
	e.members = [2]int{5 + r.IntN(40), 20 + r.IntN(300)}
	e.levels = [3]int{1, 2, 1} // the highest of each rule
	e.judge(e.row())           // what it was born with, or has not quite recovered from, is no news
	w.all = append(w.all, e)
}

func (w *world) shuffle() {
	w.random.Shuffle(len(w.all), func(i, j int) { w.all[i], w.all[j] = w.all[j], w.all[i] })
	w.next = 0
}

// step lets one entity live on and returns it. Rounds visit every entity once, in an order of
// their own, so whoever starts to watch has seen all of them after one round.
func (w *world) step() *entity {
	if w.next == len(w.all) {
		w.shuffle()
	}
	e := w.all[w.next]
	w.next++
	r := w.random
	e.mood = clamp(e.mood+0.06*r.NormFloat64()+0.02*(0.82-e.mood), 0.02, 0.98)
	switch {
	case r.Float64() < 0.15: // a week turns
		copy(e.weeks[1:], e.weeks[:4])
		e.weeks[0] = w.sessions(e)
		e.calls[1], e.calls[0] = e.calls[0], w.inboundCalls(e)
	default: // something happens in this one
		e.weeks[0] += r.IntN(2)
		if r.Float64() > e.mood+0.1 {
			e.calls[0]++
		}
	}
	e.rating = clamp(0.9*e.rating+0.1*clamp(1+4.1*e.mood+0.5*r.NormFloat64(), 1, 5), 1, 5)
	e.members[0] = max(1, e.members[0]+r.IntN(5)-2)
	e.members[1] = max(1, e.members[1]+r.IntN(21)-10)
	return e
}

// sessions draws a week's: people come a few times, subjects and regions add many people up.
func (w *world) sessions(e *entity) int {
	mean := map[string]float64{"student": 2.5, "tutor": 9, "subject": 60, "region": 400}[e.Type]
	return max(0, int(math.Round(mean*(0.4+0.9*e.mood)*(1+0.25*w.random.NormFloat64()))))
}

func (w *world) inboundCalls(e *entity) int {
	mean := map[string]float64{"student": 0.8, "tutor": 0.6, "subject": 6, "region": 25}[e.Type]
	return max(0, int(math.Round(mean*1.6*(1-e.mood)*(1+0.6*w.random.NormFloat64()))))
}

// row is what the entity looks like now, but for the time of the write.
func (e *entity) row() row {
	health := math.Round(clamp(100*e.mood-2*float64(e.calls[0]+e.calls[1])/scale(e.Type), 0, 100)*10) / 10
	r := row{
		"sessions_7d":    e.weeks[0],
		"sessions_14d":   e.weeks[0] + e.weeks[1],
		"sessions_30d":   e.weeks[0] + e.weeks[1] + e.weeks[2] + e.weeks[3] + e.weeks[4]/4,
		"ib_calls_7d":    e.calls[0],
		"ib_calls_14d":   e.calls[0] + e.calls[1],
		"avg_rating":     math.Round(e.rating*100) / 100,
		"health_score":   health,
		"segment":        segment(e.Type, health),
		"churn_risk_14d": math.Round(clamp(1/(1+math.Exp((health-45)/9)), 0, 1)*1000) / 1000,
	}
	if e.Type == "subject" {
		demand := math.Round(clamp(float64(e.members[1])/3.2, 0, 100)*10) / 10
		supply := math.Round(clamp(float64(e.members[0])*2.2, 0, 100)*10) / 10
		r["region"] = e.place
		r["available_tutors"], r["active_students"] = e.members[0], e.members[1]
		r["demand_score"], r["supply_score"] = demand, supply
		r["balance_status"] = balance(demand, supply)
	}
	return r
}

// scale is how many people stand behind an entity's calls.
func scale(kind string) float64 {
	return map[string]float64{"student": 1, "tutor": 1, "subject": 8, "region": 35}[kind]
}

func segment(kind string, health float64) string {
	names := [4]string{"thriving", "healthy", "at_risk", "churned"}
	if kind == "tutor" {
		names = [4]string{"star", "healthy", "at_risk", "churning"}
	}
	switch {
	case health >= 85:
		return names[0]
	case health >= 70:
		return names[1]
	case health >= 35:
		return names[2]
	default:
		return names[3]
	}
}

func balance(demand, supply float64) string {
	switch {
	case demand > supply*1.4:
		return "high_demand"
	case supply > demand*1.4:
		return "oversupplied"
	default:
		return "balanced"
	}
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }
