// Package target holds what the delivery engine has to reach, and judges samples by it.
package target

import (
	"fmt"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
)

// Target is one promise about the engine.
type Target struct {
	Name string
	Unit string
	// Least, if set, is the lowest value that meets the target; else Most is the highest.
	Least, Most float64
	// Stretch is what would be better still; 0 is nothing.
	Stretch float64
	// Measure returns a value for each round in which all that it takes was measured.
	Measure func([]sample.Sample) []float64
}

// Verdict says what became of a target.
type Verdict string

// Verdicts.
const (
	Met         Verdict = "met"
	Stretched   Verdict = "met, and its stretch"
	NotMet      Verdict = "not met"
	NotMeasured Verdict = "not measured"
)

// Outcome is a target and what was got.
type Outcome struct {
	Name    string            `json:"name"`
	Wanted  string            `json:"wanted"`
	Got     sample.Statistics `json:"got"`
	Unit    string            `json:"unit"`
	Verdict Verdict           `json:"verdict"`
}

// Evaluate judges each target by the median of what was measured.
func Evaluate(targets []Target, samples []sample.Sample) []Outcome {
	var all []Outcome
	for _, t := range targets {
		o := Outcome{Name: t.Name, Wanted: t.wanted(), Unit: t.Unit, Got: sample.Of(t.Measure(samples)), Verdict: NotMet}
		switch {
		case o.Got.N == 0:
			o.Verdict = NotMeasured
		case t.Stretch != 0 && t.reached(o.Got.Median, t.Stretch):
			o.Verdict = Stretched
		case t.reached(o.Got.Median, t.limit()):
			o.Verdict = Met
		}
		all = append(all, o)
	}
	return all
}

func (t Target) limit() float64 {
	if t.Least != 0 {
		return t.Least
	}
	return t.Most
}

func (t Target) reached(value, limit float64) bool {
	if t.Least != 0 {
		return value >= limit
	}
	return value <= limit
}

func (t Target) wanted() string {
	sign := "≤"
	if t.Least != 0 {
		sign = "≥"
	}
	text := fmt.Sprintf("%s %.4g%s", sign, t.limit(), t.Unit)
	if t.Stretch != 0 {
		text += fmt.Sprintf(" (%.4g%s)", t.Stretch, t.Unit)
	}
	return text
}

func set(scenario, cell, variant string) sample.Set {
	return sample.Set{Scenario: scenario, Cell: cell, Variant: variant}
}

// ratio compares two sets.
func ratio(over, under sample.Set, m sample.Metric) func([]sample.Sample) []float64 {
	return func(all []sample.Sample) []float64 { return sample.Ratios(all, over, under, m) }
}

// value measures one.
func value(of sample.Set, m sample.Metric) func([]sample.Sample) []float64 {
	return func(all []sample.Sample) []float64 { return sample.Values(all, of, m) }
}

// headline compares ours with another variant where both post the same frames.
func headline(variant string, m sample.Metric) func([]sample.Sample) []float64 {
	return ratio(set(plan.Cells, plan.Target, plan.Ours), set(plan.Cells, plan.Target, variant), m)
}

// further is the memory of each connection of the larger cell that the smaller does not have.
func further(all []sample.Sample) []float64 {
	var values []float64
	small := set(plan.Memory, plan.Memory10, plan.Ours).In(all)
	for round, large := range set(plan.Memory, plan.Memory20, plan.Ours).In(all) {
		if s, ok := small[round]; ok {
			more := large.Workload.Connections - s.Workload.Connections
			values = append(values, float64(large.Result.PeakRSS-s.Result.PeakRSS)/float64(more))
		}
	}
	return values
}

// Targets are those of the delivery engine.
var Targets = []Target{
	{Name: "POSTs per CPU-second, by sdk's", Unit: "x", Least: 5, Stretch: 6, Measure: headline(plan.SDK, sample.PostsPerCPU)},
	{Name: "POSTs per CPU-second, by plain's", Unit: "x", Least: 25, Stretch: 40, Measure: headline(plan.Plain, sample.PostsPerCPU)},
	{
		Name: "CPU per POST, by the floor's", Unit: "x", Most: 1.5, Stretch: 1.2,
		Measure: headline(plan.Floor, sample.CPUPerPost),
	},
	{Name: "POSTs per CPU-second, by wrk's, unsigned", Unit: "x", Least: 0.8, Stretch: 0.95, Measure: headline(plan.Wrk, sample.PostsPerCPU)},
	{
		Name: "updates per CPU-second, by plain's, 10 of 10 entities", Unit: "x", Least: 200,
		Measure: ratio(set(plan.Cells, plan.Updates, plan.Ours), set(plan.Cells, plan.Updates, plan.Plain), sample.UpdatesPerCPU),
	},
	{Name: "POSTs without a valid signature", Most: 0, Measure: value(set(plan.Verify, plan.Signatures, plan.Ours), sample.Forged)},
	{Name: "10x over the quota: complete connections", Unit: "%", Least: 100, Measure: value(set(plan.Quota, plan.Over10, plan.Ours), sample.Complete)},
	{Name: "10x over the quota: POSTs that get 429", Unit: "%", Most: 1, Measure: value(set(plan.Quota, plan.Over10, plan.Ours), sample.Throttled)},
	{Name: "10x over the quota: p99 age", Unit: " ms", Most: 250, Measure: value(set(plan.Quota, plan.Over10, plan.Ours), sample.AgeP99)},
	{Name: "100x over the quota: complete connections", Unit: "%", Least: 100, Measure: value(set(plan.Quota, plan.Over100, plan.Ours), sample.Complete)},
	{Name: "100x over the quota: POSTs that get 429", Unit: "%", Most: 1, Measure: value(set(plan.Quota, plan.Over100, plan.Ours), sample.Throttled)},
	{
		Name: "512 in flight at 20 ms, by 512 ÷ 20 ms", Unit: "%", Least: 90,
		Measure: value(set(plan.Latency, plan.InFlight, plan.Ours), func(s sample.Sample) float64 {
			ideal := 1000 * float64(s.Workload.Pool) / float64(s.Settings.LatencyMS)
			return 100 * sample.PostsPerSecond(s) / ideal
		}),
	},
	{Name: "peak memory, 10,000 connections", Unit: " MiB", Most: 40, Measure: value(set(plan.Memory, plan.Memory10, plan.Ours), sample.PeakMiB)},
	{Name: "memory of each further connection", Unit: " B", Most: 1023, Measure: further},
	{Name: "100,000 connections: complete", Unit: "%", Least: 100, Measure: value(set(plan.Memory, plan.Registered, plan.Ours), sample.Complete)},
	{
		Name: "CPU, 10,000 connections by 1,000 (10 is linear)", Unit: "x", Most: 12,
		Measure: ratio(set(plan.Curves, plan.CurveName(10, 10, 10_000), plan.Ours), set(plan.Curves, plan.CurveName(10, 10, 1000), plan.Ours), sample.CPU),
	},
	{
		Name: "CPU, 1,000 entities by 100 (10 is linear)", Unit: "x", Most: 12,
		Measure: ratio(set(plan.Curves, plan.CurveName(1000, 1000, 1000), plan.Ours), set(plan.Curves, plan.CurveName(1000, 100, 1000), plan.Ours), sample.CPU),
	},
	{
		Name: "CPU, 1,000 updates of 10 entities by 100 updates", Unit: "x", Most: 5,
		Measure: ratio(set(plan.Curves, plan.CurveName(1000, 10, 1000), plan.Ours), set(plan.Curves, plan.CurveName(100, 10, 1000), plan.Ours), sample.CPU),
	},
	{
		Name: "1 in 100 never answers: p99 age of the others", Unit: "x", Most: 2, Stretch: 1.1,
		Measure: ratio(set(plan.Hang, plan.OneSilent, plan.Ours), set(plan.Hang, plan.AllAnswer, plan.Ours), sample.AgeP99),
	},
	{
		Name: "first 100 deliveries of a cold process, by plain's", Unit: "x", Most: 0.5,
		Measure: ratio(set(plan.Cold, plan.FirstPosts, plan.Ours), set(plan.Cold, plan.FirstPosts, plan.Plain), sample.ColdMS),
	},
}
