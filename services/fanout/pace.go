package fanout

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// pace bounds how many posts a second the process makes, and finds that bound where it is not known:
// additive increase, multiplicative decrease (D.-M. Chiu and R. Jain, "Analysis of the increase and
// decrease algorithms for congestion avoidance in computer networks", 1989). API Gateway answers 429
// alike when the account's rate is used up and when one client reads too slowly:
// https://docs.aws.amazon.com/apigatewaymanagementapi/latest/reference/API_PostToConnection.html
// What it meant can only be told from how many connections meet it. It may be used concurrently.
type pace struct {
	limiter *rate.Limiter
	ceiling rate.Limit // what was configured

	mu        sync.Mutex
	window    time.Time // begin of the second that is counted
	posts     int
	throttled int
	met       map[string]bool // the connections that were throttled
	fallen    time.Time
}

// DefaultRate is API Gateway's default quota, of posts and all other requests of an account in a Region
// together:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
const DefaultRate = 10_000

const (
	paceWindow = time.Second
	// An account throttles when so many connections met it in a second, in so large a part of the posts.
	throttledLeast = 3
	throttledPart  = 0.05

	decrease = 0.7
	increase = 0.1   // of the limit, each second without such
	slowest  = 0.001 // of the ceiling, and the least increase
	burst    = 0.05  // of a second's posts that may be made at once
)

func newPace(ceiling float64) *pace {
	limit := rate.Limit(ceiling)
	return &pace{ceiling: limit, limiter: rate.NewLimiter(limit, burstOf(limit)), met: map[string]bool{}}
}

func burstOf(limit rate.Limit) int { return max(1, int(float64(limit)*burst)) }

// wait returns when a post may be made, or false when ctx has ended.
func (p *pace) wait(ctx context.Context) bool {
	return p.limiter.Allow() || p.limiter.Wait(ctx) == nil
}

// limit is how many posts a second there may be now.
func (p *pace) limit() float64 { return float64(p.limiter.Limit()) }

// record counts a post to a connection that has ended now, and reports whether it was throttled because of
// the account.
func (p *pace) record(now time.Time, connectionID string, throttled bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.window) >= paceWindow {
		if len(p.met) < throttledLeast {
			p.rise(now)
		}
		p.window, p.posts, p.throttled = now, 0, 0
		clear(p.met)
	}
	p.posts++
	if !throttled {
		return false
	}
	p.throttled++
	if len(p.met) < throttledLeast {
		p.met[connectionID] = true
	}
	if len(p.met) >= throttledLeast && float64(p.throttled) >= throttledPart*float64(p.posts) {
		p.fall(now)
	}
	return now.Sub(p.fallen) < 2*paceWindow
}

// fall lowers the limit below the rate at which it happened, once for all that are throttled together.
func (p *pace) fall(now time.Time) {
	if now.Sub(p.fallen) < paceWindow/4 {
		return
	}
	p.fallen = now
	seen := rate.Limit(float64(p.posts) / max(now.Sub(p.window).Seconds(), 0.1))
	p.set(now, max(p.ceiling*slowest, min(seen, p.limiter.Limit())*decrease))
}

func (p *pace) rise(now time.Time) {
	if limit := p.limiter.Limit(); limit < p.ceiling {
		p.set(now, min(p.ceiling, limit+max(p.ceiling*slowest, limit*increase)))
	}
}

func (p *pace) set(now time.Time, limit rate.Limit) {
	p.limiter.SetLimitAt(now, limit)
	p.limiter.SetBurstAt(now, burstOf(limit))
}
