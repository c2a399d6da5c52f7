package registry

import (
	"slices"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// Surplus is how many connections more than it may have a subject can have, while as many are about to end: a page
// opens the next one before it lets go of the last.
const Surplus = 2

// When a connection is about to end. Package session tells it to move after [MoveAfter] at the earliest, which is
// 11/12 of API Gateway's two hours less a twentieth, or [Notice] before its permission ends.
const (
	MoveAfter = 104 * time.Minute
	Notice    = 90 * time.Second
)

// Moves reports whether the connection is about to end.
func (c Connection) Moves(now time.Time) bool {
	at := c.ConnectedAt.Add(MoveAfter)
	if !c.Until.IsZero() {
		if told := c.Until.Add(-min(Notice, c.Until.Sub(c.ConnectedAt)/2)); told.Before(at) {
			at = told
		}
	}
	return !now.Before(at)
}

// Member is an open connection of a subject.
type Member struct {
	Connection
	Spoke time.Time // see [Pace]: when it said something last, or somewhat later; zero if it never did
}

// Admit returns an error of kind Throttled, with [TooMany], unless a subject with these connections may have one more.
// It may have limit, and [Surplus] if as many are about to end.
func Admit(op string, members []Member, limit int, now time.Time) error {
	var silent []Member
	moving := 0
	for _, m := range members {
		if m.Moves(now) {
			moving++
		}
		if !m.Spoke.IsZero() && now.Sub(m.Spoke) >= Silence {
			silent = append(silent, m)
		}
	}
	if len(members)-min(moving, Surplus) < limit {
		return nil
	}
	slices.SortFunc(silent, func(a, b Member) int { return a.Spoke.Compare(b.Spoke) })
	var many TooMany
	for _, m := range silent {
		many.Silent = append(many.Silent, m.ID)
	}
	return fault.New(op, fault.Throttled, many)
}
