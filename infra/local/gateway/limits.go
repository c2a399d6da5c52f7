package gateway

import (
	"sync"
	"time"
)

// bucket is a token bucket. It starts full.
type bucket struct {
	rate, burst float64 // tokens a second, tokens at most; a negative rate is no limit

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBucket(rate, burst int) *bucket {
	return &bucket{rate: float64(rate), burst: float64(burst), tokens: float64(burst)}
}

// take removes one token, if there is one at now. Calls with an older now than the last add nothing.
func (b *bucket) take(now time.Time) bool {
	if b.rate < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		if passed := now.Sub(b.last).Seconds(); passed > 0 {
			b.tokens = min(b.burst, b.tokens+passed*b.rate)
		}
	}
	if now.After(b.last) {
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
