package sample

import "slices"

// Statistics are those of some values. Of no values, N is 0.
type Statistics struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Of returns the statistics of values.
func Of(values []float64) Statistics {
	if len(values) == 0 {
		return Statistics{}
	}
	v := slices.Sorted(slices.Values(values))
	middle := v[len(v)/2]
	if len(v)%2 == 0 {
		middle = (v[len(v)/2-1] + middle) / 2
	}
	return Statistics{N: len(v), Median: middle, Min: v[0], Max: v[len(v)-1]}
}

// Set is where samples of one kind are: a variant in a cell of a scenario.
type Set struct{ Scenario, Cell, Variant string }

// In returns the samples of a set that were run, by round.
func (set Set) In(all []Sample) map[int]Sample {
	found := map[int]Sample{}
	for _, s := range all {
		if s.Scenario == set.Scenario && s.Cell == set.Cell && s.Variant == set.Variant && s.Absent == "" {
			found[s.Round] = s
		}
	}
	return found
}

// Values returns a metric of each sample of a set.
func Values(all []Sample, set Set, m Metric) []float64 {
	var values []float64
	for _, s := range set.In(all) {
		values = append(values, m(s))
	}
	return values
}

// Ratios returns a metric of one set by that of another, round by round: what disturbed a round
// disturbed both. A round without the other half has no ratio.
func Ratios(all []Sample, over, under Set, m Metric) []float64 {
	var values []float64
	others := under.In(all)
	for round, s := range over.In(all) {
		if other, ok := others[round]; ok && m(other) > 0 {
			values = append(values, m(s)/m(other))
		}
	}
	return values
}
