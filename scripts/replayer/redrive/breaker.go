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
// A whole window without, where the latest was to blame, gives it all of them back.
var pauses = [...]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second}

// breaker opens when a fifth of the latest outcomes of any kind are failures, or when the queue that is being emptied
// grows while it is.
type breaker struct {
	windows [Keep]window // by fate: what goes well into the archive says nothing of the target
	trips   int
	blamed  Fate // for the latest of them

	low, sent int // the least at rest so far, and what was sent since
	grown     int
}

// window is the latest outcomes.
type window struct {
	last     [breakerLast]bool // failed
	outcomes int
	failures int
}

func (w *window) record(failed bool) {
	i := w.outcomes % breakerLast
	if w.outcomes >= breakerLast && w.last[i] {
		w.failures--
	}
	w.last[i] = failed
	if failed {
		w.failures++
	}
	w.outcomes++
}

// record takes the outcome of an entry.
func (b *breaker) record(fate Fate, failed bool) {
	w := &b.windows[fate]
	w.record(failed)
	if !failed {
		b.sent++
	}
	if fate == b.blamed && w.outcomes == breakerLast && b.why() == "" {
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

// failing is of which fate a fifth of the latest outcomes are failures, if there is one.
func (b *breaker) failing() (fate Fate, why string) {
	for fate, w := range b.windows {
		seen := min(w.outcomes, breakerLast)
		if seen >= breakerFirst && w.failures*5 >= seen {
			return Fate(fate), fmt.Sprintf("%d of the last %d messages failed, or came back", w.failures, seen)
		}
	}
	return Replay, ""
}

// why is why the breaker is open, or empty.
func (b *breaker) why() string {
	if _, why := b.failing(); why != "" {
		return why
	}
	if b.grown >= growthFirst && b.grown*5 >= b.sent {
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
	blamed, _ := b.failing()
	*b = breaker{trips: b.trips + 1, blamed: blamed, low: b.low + b.grown}
	return pause, true
}
