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
	// interrupted: the engine was cut off before the post ended. Nothing is known of the connection.
	interrupted
	// closed: the connection is gone. Take it out of the registry, and count all that it was to get
	// as done.
	closed
	// newborn: the connection's handshake may not have finished. Ask again soon, as often as needed.
	newborn
	// paced: all the account's connections together were posted to too fast. The pace was lowered; ask
	// again, nothing is held against this connection.
	paced
	// again: try again after a pause, which grows.
	again
	// slow: this reader does not keep up. Mark it, and post to it less often.
	slow
	// hung: the post did not end in its time. Mark the connection, and post to it less often.
	hung
	// spent: all tries are used. Mark the connection, and post to it less often.
	spent
	// split: post the frame in halves.
	split
	// oversize: not even one update gets through. Mark the connection, and go on without it.
	oversize
	// refused: permission or configuration. Raise an alarm; what was to be delivered has failed.
	refused

	verdicts = int(refused) + 1
)

var verdictNames = [verdicts]string{
	"delivered", "interrupted", "closed", "newborn", "paced", "again", "slow", "hung", "spent", "split", "oversize", "refused",
}

// String is the verdict's name in logs and metrics.
func (v verdict) String() string { return verdictNames[v] }

// attempt is one post, and what is known when it has ended.
type attempt struct {
	err     error
	ended   bool // the engine was cut off
	late    bool // the post had used up its time
	young   bool // the connection is younger than Config.NewbornAge
	account bool // many connections are throttled, not this one alone
	single  bool // the frame holds one update
	tries   int  // in vain before this one
	last    bool // no try is left
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
	case kind == fault.Throttled && a.account:
		return paced
	case kind == fault.Throttled && a.tries == 0:
		return again // it may be the first of many
	case kind == fault.Throttled:
		return slow
	case a.late:
		return hung
	case a.last:
		return spent
	}
	return again
}

// marks reports whether the connection must synchronise after this.
func (v verdict) marks() bool { return v == slow || v == hung || v == spent || v == oversize }

// The pauses before the next try, before jitter. That after an outage or a throttle doubles.
const (
	newbornPause   = 250 * time.Millisecond
	pacedPause     = 50 * time.Millisecond
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
