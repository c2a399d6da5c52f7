package redrive

import (
	"fmt"
	"time"
)

const (
	breakerLast  = 50 // outcomes that count
	breakerFirst = 10 // so many are needed before it opens
	growthFirst  = 10 // so many more messages at rest are no chance
	growthEvery  = 10 * time.Second
)

// pauses are how long the run stands still each time that the breaker opens, before it stops: 70 seconds in all.
// A whole window without gives it all of them back.
var pauses = [...]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second}

// breaker opens when a fifth of the latest outcomes are failures, or when the queue that is being emptied grows
// while it is.
type breaker struct {
	last     [breakerLast]bool // failed
	outcomes int
	failures int
	trips    int

	low, sent int // the least at rest so far, and what was sent since
	grown     int
}

func (b *breaker) record(failed bool) {
	i := b.outcomes % breakerLast
	if b.outcomes >= breakerLast && b.last[i] {
		b.failures--
	}
	b.last[i] = failed
	if failed {
		b.failures++
	} else {
		b.sent++
	}
	if b.outcomes++; b.outcomes == breakerLast && b.why() == "" {
		b.trips = 0
	}
}

// rests says how many messages are in the queue that is being emptied.
func (b *breaker) rests(n int) {
	if n < b.low {
		b.low, b.sent = n, 0
	}
	b.grown = n - b.low
}

// why is why the breaker is open, or empty.
func (b *breaker) why() string {
	seen := min(b.outcomes, breakerLast)
	switch {
	case seen >= breakerFirst && b.failures*5 >= seen:
		return fmt.Sprintf("%d of the last %d messages failed, or came back", b.failures, seen)
	case b.grown >= growthFirst && b.grown*5 >= b.sent:
		return fmt.Sprintf("the queue grew by %d messages while it was being emptied", b.grown)
	}
	return ""
}

// trip closes the breaker again after the pause that it returns, or reports that there were enough of them.
func (b *breaker) trip() (time.Duration, bool) {
	if b.trips == len(pauses) {
		return 0, false
	}
	pause := pauses[b.trips]
	*b = breaker{trips: b.trips + 1, low: b.low + b.grown}
	return pause, true
}
