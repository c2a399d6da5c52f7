package stub

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxAge is the oldest that an update can be told to be, in milliseconds.
const maxAge = 120_000

// account is what was posted since a reset. It may be used concurrently.
type account struct {
	mu         sync.Mutex
	statuses   map[int]int64
	forged     int64
	unreadable int64
	updates    int64
	entities   map[string]int
	newest     map[string][]int64 // of each connection, by entity
	ages       [maxAge + 1]int64  // by milliseconds
	last       time.Time
}

func newAccount() *account {
	return &account{statuses: map[int]int64{}, entities: map[string]int{}, newest: map[string][]int64{}}
}

func (a *account) record(r *request, status int, genuine bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.statuses[status]++
	if !genuine {
		a.forged++
	}
	if status == http.StatusOK {
		a.last = now
		a.show(r, now)
	}
}

// show records the updates of a frame.
func (a *account) show(r *request, now time.Time) {
	newest := a.newest[string(r.id)]
	before := len(newest)
	rest, found := r.body, false
	for {
		var u shown
		var ok bool
		if u, rest, ok = nextUpdate(rest); !ok {
			break
		}
		found = true
		entity, known := a.entities[string(u.entity)]
		if !known {
			entity = len(a.entities)
			a.entities[string(u.entity)] = entity
		}
		for len(newest) <= entity {
			newest = append(newest, 0)
		}
		newest[entity] = max(newest[entity], u.revision)
		a.updates++
		a.ages[min(max(now.UnixMilli()-u.written, 0), maxAge)]++
	}
	if !found {
		a.unreadable++
	}
	if len(newest) != before {
		a.newest[string(r.id)] = newest
	}
}

// shown is what the account wants to know of an update.
type shown struct {
	entity   []byte
	revision int64
	written  int64 // milliseconds since 1970
}

// nextUpdate finds the first update in the rest of a frame, and what comes after it. It relies on
// the order in which the contract's producers write.
func nextUpdate(frame []byte) (u shown, rest []byte, ok bool) {
	entity, frame, ok := between(frame, `"entity_id":"`, '"')
	if !ok {
		return u, nil, false
	}
	revision, frame, ok := between(frame, `"revision":`, '}')
	if !ok {
		return u, nil, false
	}
	written, frame, ok := between(frame, `"written_at":"`, '"')
	if !ok {
		return u, nil, false
	}
	number, err := strconv.ParseInt(string(revision), 10, 64)
	if err != nil {
		return u, nil, false
	}
	at, err := time.Parse(time.RFC3339, string(written))
	if err != nil {
		return u, nil, false
	}
	return shown{entity, number, at.UnixMilli()}, frame, true
}

func between(b []byte, from string, to byte) (found, rest []byte, ok bool) {
	i := bytes.Index(b, []byte(from))
	if i < 0 {
		return nil, nil, false
	}
	b = b[i+len(from):]
	end := bytes.IndexByte(b, to)
	if end < 0 {
		return nil, nil, false
	}
	return b[:end], b[end:], true
}

// Report is what was posted since a reset.
type Report struct {
	Posts map[int]int64 `json:"posts"` // by status; -1 is never answered
	// Forged is how many posts had no valid signature, where that is verified.
	Forged     int64 `json:"forged"`
	Unreadable int64 `json:"unreadable"` // accepted posts that are no frame of updates
	Updates    int64 `json:"updates"`    // in the accepted posts
	// Connections is how many connections accepted anything, and Complete how many have every final
	// value that was asked for.
	Connections int `json:"connections"`
	Complete    int `json:"complete"`
	// Pairs is how many final values all connections have together.
	Pairs int64 `json:"pairs"`
	// How old updates were when they were accepted.
	AgeP50 float64 `json:"age_p50_ms"`
	AgeP99 float64 `json:"age_p99_ms"`
	// Last is when the last post was accepted, in nanoseconds since 1970.
	Last int64 `json:"last"`
}

// Report tells what was posted, and how many connections show these final revisions.
func (s *Server) Report(final map[string]int64) Report {
	s.mu.Lock()
	a := s.account
	s.mu.Unlock()
	return a.report(final)
}

func (a *account) report(final map[string]int64) Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := Report{
		Posts: map[int]int64{}, Forged: a.forged, Unreadable: a.unreadable, Updates: a.updates,
		Connections: len(a.newest), AgeP50: a.age(0.50), AgeP99: a.age(0.99),
	}
	if !a.last.IsZero() {
		r.Last = a.last.UnixNano()
	}
	for status, n := range a.statuses {
		r.Posts[status] = n
	}
	for _, newest := range a.newest {
		missing := len(final)
		for entity, revision := range final {
			if i, known := a.entities[entity]; known && i < len(newest) && newest[i] >= revision {
				missing--
			}
		}
		r.Pairs += int64(len(final) - missing)
		if missing == 0 {
			r.Complete++
		}
	}
	return r
}

func (a *account) age(share float64) float64 {
	rest := int64(share * float64(a.updates))
	for ms, n := range a.ages {
		if rest -= n; rest < 0 {
			return float64(ms)
		}
	}
	return 0
}
