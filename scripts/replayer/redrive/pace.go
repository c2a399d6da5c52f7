package redrive

import "time"

// pace caps what is sent a second. A batch is at most a tenth of a second's worth, so that no second has more
// than a tenth too much, wherever it begins; time that was not used is not made up for.
type pace struct {
	rate float64 // messages a second
	next time.Time
}

// batch is how many messages may be sent at once.
func (p *pace) batch() int { return max(1, min(MaxBatch, int(p.rate/10))) }

// wait is how long it is until more may be sent.
func (p *pace) wait() time.Duration { return max(0, time.Until(p.next)) }

// took says that n messages are being sent.
func (p *pace) took(n int) {
	p.next = time.Now().Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
}
