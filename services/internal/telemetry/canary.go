package telemetry

import "time"

// Canary measures a canary's runs: CanarySuccess counts those in which all went well, and CanaryLatency is the time from the
// begin of a write to the frame that shows it. Make one with NewCanary; it may be used concurrently.
type Canary struct {
	successes *Counter
	latency   *Distribution
}

// NewCanary returns the metrics of a canary that records with r.
func NewCanary(r *Recorder) *Canary {
	return &Canary{successes: r.Counter("CanarySuccess", Count), latency: r.Distribution("CanaryLatency", Milliseconds)}
}

// Succeeded counts a run.
func (c *Canary) Succeeded(latency time.Duration) {
	c.successes.Add(1)
	c.latency.Observe(ms(latency))
}
