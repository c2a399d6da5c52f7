// Package sample is what a bench measures: one sample for each run of one variant in one cell, and
// the statistics of many.
package sample

import (
	"net/http"

	"github.com/iops-dashboard/live/scripts/bench/stub"
)

// Workload is what a sender is told to do: the JSON that services/cmd/bench reads.
type Workload struct {
	Variant       string  `json:"variant"`
	Endpoint      string  `json:"endpoint"`
	Connections   int     `json:"connections"`
	Updates       int     `json:"updates"`
	Entities      int     `json:"entities"`
	Rate          float64 `json:"rate"`
	Together      int     `json:"together"`
	PerFrame      int     `json:"per_frame"`
	Pool          int     `json:"pool"`
	WarmUp        int     `json:"warm_up"`
	PostTimeoutMS int     `json:"post_timeout_ms"`
	TimeLimitMS   int     `json:"time_limit_ms"`
	ListPerBatch  bool    `json:"list_per_batch"`
	Quota         float64 `json:"quota"`
	Profile       string  `json:"profile,omitempty"`
}

// Result is what a sender says of a run: the JSON that services/cmd/bench writes.
type Result struct {
	Variant     string           `json:"variant"`
	Posts       int64            `json:"posts"`
	Verdicts    map[string]int64 `json:"verdicts"`
	Wall        float64          `json:"wall_seconds"`
	CPU         float64          `json:"cpu_seconds"`
	PeakRSS     int64            `json:"peak_rss_bytes"`
	P50         float64          `json:"p50_ms"`
	P99         float64          `json:"p99_ms"`
	Reads       int64            `json:"reads"` // of the registry
	Queries     int64            `json:"queries"`
	Rows        int64            `json:"rows"`
	ReadUnits   int64            `json:"read_units"`
	Final       map[string]int64 `json:"final"`
	Released    int              `json:"released"`
	Interrupted bool             `json:"interrupted"`
}

// Sample is one run.
type Sample struct {
	Scenario string        `json:"scenario"`
	Cell     string        `json:"cell"`
	Variant  string        `json:"variant"`
	Round    int           `json:"round"`
	Workload Workload      `json:"workload"`
	Settings stub.Settings `json:"settings"`
	// Scale is how many times larger the whole cell is than what was run. Above 1, all that is said
	// of the whole cell is extrapolated.
	Scale float64 `json:"scale"`
	// Cold is the time from the start of the process to the last accepted post, in seconds.
	Cold   float64     `json:"cold_seconds"`
	Result Result      `json:"result"`
	Stub   stub.Report `json:"stub"`
	// Absent says why there was no run, as when a program is not installed.
	Absent string `json:"absent,omitempty"`
}

// Metric is a number of a sample.
type Metric func(Sample) float64

// PostsPerCPU is how many posts a second of the sender's CPU time makes.
func PostsPerCPU(s Sample) float64 { return per(float64(s.Result.Posts), s.Result.CPU) }

// UpdatesPerCPU is how many updates a second of the sender's CPU time brings to a connection: as a
// post each, with others in one post, or by one that supersedes them.
func UpdatesPerCPU(s Sample) float64 {
	return per(float64(s.Workload.Connections)*float64(s.Workload.Updates), s.Result.CPU)
}

// PostsPerSecond is how many posts a second of time makes.
func PostsPerSecond(s Sample) float64 { return per(float64(s.Result.Posts), s.Result.Wall) }

// CPUPerPost is the sender's CPU time for a post, in microseconds.
func CPUPerPost(s Sample) float64 { return per(s.Result.CPU*1e6, float64(s.Result.Posts)) }

// CPU is the sender's CPU time for the whole cell, in seconds.
func CPU(s Sample) float64 { return s.Result.CPU * s.Scale }

// Wall is the time for the whole cell, in seconds.
func Wall(s Sample) float64 { return s.Result.Wall * s.Scale }

// PeakMiB is the most memory that the sender had.
func PeakMiB(s Sample) float64 { return float64(s.Result.PeakRSS) / (1 << 20) }

// Complete is the percentage of connections that show every final value.
func Complete(s Sample) float64 {
	return 100 * per(float64(s.Stub.Complete), float64(s.Workload.Connections))
}

// Throttled is the percentage of the posts on the wire that got 429.
func Throttled(s Sample) float64 {
	var all int64
	for _, n := range s.Stub.Posts {
		all += n
	}
	return 100 * per(float64(s.Stub.Posts[http.StatusTooManyRequests]), float64(all))
}

// Forged is how many posts had no valid signature.
func Forged(s Sample) float64 { return float64(s.Stub.Forged) }

// AgeP50 and AgeP99 are how old updates were when they were accepted, in milliseconds.
func AgeP50(s Sample) float64 { return s.Stub.AgeP50 }

// AgeP99 is the 99th percentile.
func AgeP99(s Sample) float64 { return s.Stub.AgeP99 }

// Prices in US dollars for a million: consistent read units on demand, and WebSocket messages, in us-east-1 in
// September 2026:
// https://aws.amazon.com/dynamodb/pricing/on-demand/ and https://aws.amazon.com/api-gateway/pricing/
const (
	readUnitPrice = 0.125
	messagePrice  = 1.00
)

// UnitsPerUpdate is how many read units of the registry an update took.
func UnitsPerUpdate(s Sample) float64 {
	return per(float64(s.Result.ReadUnits), float64(s.Workload.Updates))
}

// ReadCost is what reading the registry for a million updates costs, in US dollars.
func ReadCost(s Sample) float64 { return readUnitPrice * UnitsPerUpdate(s) }

// PostCost is what the posts of a million updates cost, in US dollars.
func PostCost(s Sample) float64 {
	return messagePrice * per(float64(s.Result.Posts), float64(s.Workload.Updates))
}

// ColdMS is the time from the start of the process to the last accepted post, in milliseconds.
func ColdMS(s Sample) float64 { return 1000 * s.Cold }

func per(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
