package schedules_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// schedule is a while in the life of a page and of its servers, with everything that can go wrong in it, as
// data. What a list has no more of goes well.
type schedule struct {
	Seed     uint32        // of the page
	Skew     time.Duration // of the page's wall clock
	Paint    time.Duration // how long the page waits before it merges
	Large    bool          // insights have so long a text that a snapshot has several parts
	PageSize int           // of the state table
	Lifetime time.Duration // of a connection
	Before   int           // how often each row was written before the page opens

	Writes     []write
	Watch      []watch
	Changes    []change
	Naps       []nap
	Neighbours []time.Duration // when a page of another tenant synchronises
	Sockets    []socketFate
	Commands   []commandFate
	Updates    []trip // of what the fan-out sends: two for each write, for two sockets of a page
	Pages      []readFate
}

// write is the next state of a row.
type write struct {
	At        time.Duration
	Neighbour bool // it is another tenant's
	Kind, ID  string
	Score     float64 // negative: it is removed
	Segment   string  // empty: it is absent, as all the rest but one attribute
	Instant   int     // when the writer says that it was
	ReadAfter time.Duration
	Again     time.Duration // after which the fan-out handles it once more; 0: it does not
}

// watch is a change of what people look at.
type watch struct {
	At    time.Duration
	Views []int
}

// change is something that happens to the page.
type change struct {
	At   time.Duration
	What string
}

// nap is a while in which the machine sleeps.
type nap struct{ At, For time.Duration }

// socketFate is what becomes of a socket.
type socketFate struct {
	Dial    time.Duration
	Opens   int           // 0: it does; 1: it is refused; 2: nothing is ever heard of it
	Ends    time.Duration // after it has opened; 0: by itself it does not
	Silent  bool          // it ends without a word
	Goodbye time.Duration // until $disconnect comes; negative: it never does
}

// commandFate is what becomes of a command, and of its answer.
type commandFate struct {
	Travel    time.Duration
	Lost      bool
	Again     time.Duration // after which it comes once more; 0: it does not
	Sandbox   int
	Subscribe time.Duration // how long the registry takes
	Fails     bool          // the registry does
	MarkFails bool          // it does so when the mark is to be taken off
	Posts     []trip
}

// trip is what becomes of a frame.
type trip struct {
	Wait   time.Duration // until the gateway has accepted it
	Fails  fault.Kind    // that the gateway says; Internal: none
	Lost   bool
	Marked bool // a loss is noticed
	Delay  time.Duration
	Copies int // more than one
}

// readFate is what becomes of a page of the state table.
type readFate struct {
	Wait  time.Duration
	Fails bool
}

const (
	stormy    = 40 * time.Second  // as long as things go wrong
	settling  = 25 * time.Second  // then nothing is under way any more
	heartbeat = 25 * time.Second  // after which an idle page has synchronised once more
	healing   = 120 * time.Second // as long as it may take until all is right, once nothing goes wrong any more
)

// menu are the views that people may look at.
var menu = []string{
	`{"entity_type":"*"}`,
	`{"entity_type":"student"}`,
	`{"entity_type":"insight"}`,
	`{"entity_type":"student","fields":["health_score"]}`,
	`{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":50}]}`,
	`{"entity_type":"student","where":[{"attribute":"health_score","operator":"ge","value":50}],"fields":["segment"]}`,
	`{"entity_type":"student","where":[{"attribute":"segment","operator":"ne","value":"at_risk"}],"fields":["sessions_7d"]}`,
	`{"entity_type":"tutor","fields":["segment"]}`,
	`{"entity_type":"tutor","where":[{"attribute":"last_updated","operator":"ge","value":"2000-01-01T12:00:00+02:00"}]}`,
	`{"entity_type":"insight","where":[{"attribute":"risk_score","operator":"ge","value":50}]}`,
	`{"entity_type":"insight","where":[{"attribute":"risk_band","operator":"eq","value":"critical"}],"fields":["explanation"]}`,
	`{"entity_type":"insight","where":[{"attribute":"timestamp","operator":"lt","value":"1999-12-31T18:00:00.000Z"}]}`,
	`{"entity_type":"*","where":[{"attribute":"health_score","operator":"le","value":49.5}]}`,
	`{"entity_type":"*","where":[{"attribute":"risk_score","operator":"lt","value":80}],"fields":["risk_score"]}`,
}

// milliseconds draws one of these times; the first is the simplest.
func milliseconds(t *rapid.T, label string, of ...int) time.Duration {
	return time.Duration(rapid.SampledFrom(of).Draw(t, label)) * time.Millisecond
}

func one(t *rapid.T, label string, in int) bool {
	return rapid.IntRange(0, in-1).Draw(t, label) == in-1
}

var drawTrip = rapid.Custom(func(t *rapid.T) trip {
	var w trip
	if rapid.Bool().Draw(t, "well") {
		return w
	}
	w.Wait = milliseconds(t, "wait", 0, 50, 1500, 3000)
	w.Fails = rapid.SampledFrom([]fault.Kind{fault.Internal, fault.Internal, fault.Throttled, fault.Transient, fault.Denied}).Draw(t, "fails")
	w.Lost = one(t, "lost", 3)
	w.Marked = rapid.Bool().Draw(t, "marked")
	w.Delay = milliseconds(t, "delay", 0, 100, 700, 2000, 6000)
	w.Copies = rapid.IntRange(0, 1).Draw(t, "copies")
	return w
})

var drawCommand = rapid.Custom(func(t *rapid.T) commandFate {
	c := commandFate{Sandbox: rapid.IntRange(0, 1).Draw(t, "sandbox")}
	if rapid.Bool().Draw(t, "well") {
		return c
	}
	c.Travel = milliseconds(t, "travel", 0, 50, 400, 3000, 6000)
	c.Lost = one(t, "lost", 8)
	c.Again = milliseconds(t, "again", 0, 0, 0, 30, 4000)
	c.Subscribe = milliseconds(t, "subscribe", 0, 20, 800)
	c.Fails = one(t, "fails", 8)
	c.MarkFails = one(t, "mark fails", 8)
	c.Posts = rapid.SliceOfN(drawTrip, 0, 4).Draw(t, "posts")
	return c
})

var drawSocket = rapid.Custom(func(t *rapid.T) socketFate {
	f := socketFate{Dial: milliseconds(t, "dial", 10, 300, 4000)}
	f.Opens = rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 2}).Draw(t, "opens")
	f.Ends = milliseconds(t, "ends", 0, 0, 500, 3000, 9000, 20_000)
	f.Silent = rapid.Bool().Draw(t, "silent")
	f.Goodbye = milliseconds(t, "goodbye", 0, 2000, -1)
	return f
})

var drawWrite = rapid.Custom(func(t *rapid.T) write {
	w := write{
		At:        moment(t, "written"),
		Neighbour: one(t, "neighbour", 6),
		Kind:      rapid.SampledFrom([]string{"student", "student", "tutor", "insight", "insight"}).Draw(t, "kind"),
		ID:        rapid.SampledFrom([]string{"a", "b", "c/é"}).Draw(t, "id"),
		Score:     rapid.SampledFrom([]float64{80, 20, 49.5, 50, -1}).Draw(t, "score"),
		Segment:   rapid.SampledFrom([]string{"healthy", "at_risk", ""}).Draw(t, "segment"),
		Instant:   rapid.IntRange(0, 4).Draw(t, "instant"),
		ReadAfter: milliseconds(t, "read after", 0, 20, 900, 4000),
	}
	w.Again = milliseconds(t, "again", 0, 0, 0, 500, 9000)
	return w
})

func moment(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.IntRange(0, int(stormy.Milliseconds())).Draw(t, label)) * time.Millisecond
}

func draw(t *rapid.T) schedule {
	s := schedule{
		Seed:     rapid.Uint32Range(1, 1<<20).Draw(t, "seed"),
		Skew:     milliseconds(t, "skew", 0, 0, 90_000, -7_200_000),
		Paint:    milliseconds(t, "paint", 16, 16, 250),
		Large:    one(t, "large", 8),
		PageSize: rapid.IntRange(1, 4).Draw(t, "page size"),
		Lifetime: milliseconds(t, "lifetime", 7_200_000, 7_200_000, 60_000),
		Before:   rapid.SampledFrom([]int{0, 1, 8}).Draw(t, "before"),
		Writes:   slices.Concat(rapid.SliceOfN(drawWrite, 0, 25).Draw(t, "writes"), rapid.SliceOfN(drawWrite, 0, 25).Draw(t, "more writes")),
		Sockets:  rapid.SliceOfN(drawSocket, 0, 5).Draw(t, "sockets"),
		Commands: rapid.SliceOfN(drawCommand, 0, 12).Draw(t, "commands"),
		Updates:  rapid.SliceOfN(drawTrip, 0, 50).Draw(t, "updates"),
	}
	slices.SortStableFunc(s.Writes, func(a, b write) int { return int(a.At - b.At) })
	s.Pages = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) readFate {
		return readFate{milliseconds(t, "wait", 0, 20, 20, 700, 3000), one(t, "fails", 25)}
	}), 0, 40).Draw(t, "pages")
	for n := range rapid.IntRange(0, 4).Draw(t, "changes of view") {
		w := watch{At: moment(t, "looked")}
		if n == 0 {
			w.At = 0
		}
		w.Views = rapid.SliceOfNDistinct(rapid.IntRange(0, len(menu)-1), 0, 3, rapid.ID[int]).Draw(t, "views")
		s.Watch = append(s.Watch, w)
	}
	slices.SortStableFunc(s.Watch, func(a, b watch) int { return int(a.At - b.At) })
	for range rapid.IntRange(0, 2).Draw(t, "changes of the page") {
		what := rapid.SampledFrom([]string{"visible", "hidden", "online", "offline"}).Draw(t, "change")
		s.Changes = append(s.Changes, change{moment(t, "changed"), what})
	}
	if one(t, "sleeps", 6) {
		s.Naps = append(s.Naps, nap{moment(t, "asleep"), milliseconds(t, "for", 1000, 8000, 45_000)})
	}
	for range rapid.IntRange(0, 2).Draw(t, "neighbours") {
		s.Neighbours = append(s.Neighbours, moment(t, "neighbour"))
	}
	return s
}

// String is the schedule for somebody who looks for a fault, without what goes well.
func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, skew %v, paint %v, large %t, pages of %d, lifetime %v, %d writes before\n", s.Seed, s.Skew, s.Paint, s.Large, s.PageSize, s.Lifetime, s.Before)
	list(&b, "write", s.Writes)
	list(&b, "watch", s.Watch)
	list(&b, "change", s.Changes)
	list(&b, "nap", s.Naps)
	list(&b, "neighbour", s.Neighbours)
	list(&b, "socket", s.Sockets)
	list(&b, "command", s.Commands)
	list(&b, "update", s.Updates)
	list(&b, "page", s.Pages)
	return b.String()
}

func list[T any](b *strings.Builder, name string, all []T) {
	for i, one := range all {
		fmt.Fprintf(b, "%s %d: %+v\n", name, i, one)
	}
}
