package fanout

import (
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// verdict is what to do after a post.
type verdict int

const (
	// delivered: the frame is done.
	delivered verdict = iota
	// interrupted: the window has ended before the post did. Nothing is known of the connection.
	interrupted
	// closed: the connection is gone. Take it out of the registry, and count all its frames as done.
	closed
	// newborn: the connection's handshake may not have finished. Ask again soon, as often as needed.
	newborn
	// again: try again after a pause, which grows.
	again
	// split: post the frame in halves.
	split
	// oversize: not even one update gets through. Give up on it, and go on.
	oversize
	// refused: permission or configuration. Raise an alarm, and give up on the connection.
	refused
	// spent: all tries are used. Give up on the connection.
	spent

	verdicts = int(spent) + 1
)

var verdictNames = [verdicts]string{
	"delivered", "interrupted", "closed", "newborn", "again", "split", "oversize", "refused", "spent",
}

// String is the verdict's name in logs and metrics.
func (v verdict) String() string { return verdictNames[v] }

// attempt is one post, and what is known when it has ended.
type attempt struct {
	err    error
	ended  bool // the window has
	young  bool // the connection is younger than Config.NewbornAge
	single bool // the frame holds one update
	last   bool // all tries are used
}

// judge is the only place that knows what an error of a post means.
func judge(a attempt) verdict {
	if a.err == nil {
		return delivered
	}
	kind := fault.KindOf(a.err)
	switch {
	case a.ended:
		return interrupted
	case kind == fault.Gone && a.young:
		return newborn
	case kind == fault.Gone:
		return closed
	case kind == fault.TooLarge && a.single:
		return oversize
	case kind == fault.TooLarge:
		return split
	case kind == fault.Denied || kind == fault.Invalid:
		return refused
	case a.last:
		return spent
	}
	return again
}

// The pauses before the next try, before jitter. That after an outage or a throttle doubles.
const (
	newbornPause   = 250 * time.Millisecond
	outagePause    = 100 * time.Millisecond
	throttledPause = 250 * time.Millisecond
)

// pauseBefore returns how long to wait before try number next, from 2.
func pauseBefore(next int, err error) time.Duration {
	pause := outagePause
	if fault.KindOf(err) == fault.Throttled {
		pause = throttledPause
	}
	return jitter(pause << min(next-2, 5))
}
