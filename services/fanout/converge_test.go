package fanout

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/queue/memqueue"
)

// scenario is a run of the worker with everything that can go wrong in it, as data.
type scenario struct {
	events      []sent
	sends       []send
	connections []client
	pages       []bool // which page reads fail, in the order in which they happen
	deletes     []bool
	posters     int
	stops       []time.Duration // when to restart the worker
}

// sent is an event of either type, and how it is to be understood.
type sent struct {
	*event
	body string
}

// send is a delivery of an event: in any order, some of them more than once.
type send struct {
	event int
	after time.Duration
	again bool // the queue delivers it once more while it is worked on
}

type client struct {
	tenant string
	id     string
	opens  time.Duration // when its handshake is finished
	script []fault.Kind  // what its first posts end with; Internal: nothing special
}

var tenants = []string{"acme", "acme-2"}

func draw(t *rapid.T) scenario {
	var s scenario
	for _, tenant := range tenants {
		for _, id := range []string{"a", "b", "c"} {
			for revision := range rapid.Int64Range(0, 4).Draw(t, "revisions") {
				e := newEvent(tenant, id, revision+1)
				e.Data.Current = json.RawMessage(fmt.Sprintf(`{"sessions_7d":%d}`, revision))
				if rapid.IntRange(0, 4).Draw(t, "removed") == 0 {
					e.Data.Operation, e.Data.Current = contracts.MetricUpdateOperationDelete, nil
				}
				s.events = append(s.events, sent{understood(e), must(json.Marshal(e))})
			}
			for revision := range rapid.Int64Range(0, 2).Draw(t, "insights") {
				e := newInsight(tenant, id, noon, revision+1)
				if rapid.IntRange(0, 4).Draw(t, "removed") == 0 {
					e.Data.Operation, e.Data.Current = contracts.MetricUpdateOperationExpire, nil
				}
				s.events = append(s.events, sent{understood(e), must(json.Marshal(e))})
			}
		}
	}
	for i := range s.events {
		for range rapid.IntRange(1, 2).Draw(t, "copies") {
			s.sends = append(s.sends, send{
				event: i,
				after: time.Duration(rapid.IntRange(0, 3000).Draw(t, "after")) * time.Millisecond,
				again: rapid.Bool().Draw(t, "again"),
			})
		}
	}
	kinds := []fault.Kind{fault.Internal, fault.Throttled, fault.Transient, fault.TooLarge, fault.Denied}
	for i := range rapid.IntRange(1, 5).Draw(t, "clients") {
		s.connections = append(s.connections, client{
			tenant: rapid.SampledFrom(tenants).Draw(t, "tenant"),
			id:     fmt.Sprintf("c-%d=", i),
			opens:  time.Duration(rapid.IntRange(0, 9000).Draw(t, "opens")) * time.Millisecond,
			script: rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 12).Draw(t, "script"),
		})
	}
	s.pages = rapid.SliceOfN(rapid.Bool(), 0, 20).Draw(t, "pages")
	s.deletes = rapid.SliceOfN(rapid.Bool(), 0, 20).Draw(t, "deletes")
	s.posters = rapid.IntRange(1, 4).Draw(t, "posters")
	for range rapid.IntRange(0, 3).Draw(t, "stops") {
		s.stops = append(s.stops, time.Duration(rapid.IntRange(0, 20_000).Draw(t, "stop"))*time.Millisecond)
	}
	slices.Sort(s.stops)
	return s
}

// Whatever is repeated, reordered, refused, interrupted and restarted: when the queue is empty, each
// connection shows the newest state of everything in its tenant, and has never seen anything else.
func TestClientsConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := draw(rt)
		var complaint string
		synctest.Test(t, func(t *testing.T) { complaint = play(t, s) })
		if complaint != "" {
			rt.Fatal(complaint)
		}
	})
}

func play(t *testing.T, s scenario) (complaint string) {
	r := newRig(t, func(c *Config) { c.Posters, c.UnderWay = s.posters, 20 })
	r.queue = memqueue.New(memqueue.Options{MaxReceives: 1000})
	r.worker.Queue = r.queue
	r.registry.PageSize = 1
	pages, deletes := oneByOne(s.pages), oneByOne(s.deletes)
	r.registry.OnPage = func(context.Context, string, int) error { return pages() }
	r.queue.OnDelete = func(queue.Message) error { return deletes() }
	for _, c := range s.connections {
		r.connect(c.tenant, c.id, 0)
		r.gateway.Close(c.id)
		for _, kind := range c.script {
			if kind == fault.Internal {
				r.gateway.Script(c.id, nil)
			} else {
				r.gateway.Script(c.id, failure(kind))
			}
		}
		time.AfterFunc(c.opens, func() { r.gateway.Open(c.id) })
	}
	for _, m := range s.sends {
		time.AfterFunc(m.after, func() {
			id := r.queue.Send(s.events[m.event].body, nil)
			if m.again {
				time.AfterFunc(300*time.Millisecond, func() { r.queue.Redeliver(id) })
			}
		})
	}

	begin := time.Now()
	for _, at := range s.stops {
		r.start()
		pass(at - time.Since(begin))
		r.end()
	}
	r.start()
	pass(10 * time.Second) // all is sent and open by then
	for range 100 {
		if len(r.queue.Waiting()) == 0 {
			break
		}
		pass(30 * time.Second)
	}
	// More for everybody: whoever was marked is told so with it at the latest, once nothing is planted
	// any more.
	events := slices.Clone(s.events)
	for revision := range int64(15) {
		for _, tenant := range tenants {
			e := newEvent(tenant, "z", revision+1)
			events = append(events, sent{understood(e), must(json.Marshal(e))})
			r.queue.Send(events[len(events)-1].body, nil)
		}
		pass(2 * time.Minute)
	}
	r.end()
	r.registry.OnPage = nil

	if n := len(r.queue.Waiting()) + len(r.queue.Dead()); n > 0 {
		return fmt.Sprintf("%d messages are left", n)
	}
	for _, c := range s.connections {
		shown, err := show(r.gateway.Frames(c.id))
		if err != nil {
			return fmt.Sprintf("%s: %v", c.id, err)
		}
		want := newest(events, c.tenant)
		if r.marked(c.tenant, c.id) {
			// It may lack something, but it was told to synchronise, and nothing it has is invented.
			if !slices.ContainsFunc(r.gateway.Frames(c.id), resync) {
				return fmt.Sprintf("%s was marked and not told", c.id)
			}
			for id, s := range shown {
				if w, ok := want[id]; !ok || s.version.Compare(w.version) > 0 || s.version == w.version && s != w {
					return fmt.Sprintf("%s of %s shows %v of %s, want %v", c.id, c.tenant, s, id, w)
				}
			}
			continue
		}
		if !maps.Equal(shown, want) {
			return fmt.Sprintf("%s of %s shows %v, want %v", c.id, c.tenant, shown, want)
		}
	}
	return ""
}

// state is what a browser holds of an entity.
type state struct {
	version    contracts.Version
	attributes string // empty: removed
}

// show applies frames as a browser does.
func show(frames [][]byte) (map[string]state, error) {
	shown := map[string]state{}
	for _, document := range frames {
		if resync(document) {
			continue
		}
		updates, err := readFrame(document)
		if err != nil {
			return nil, err
		}
		once := map[string]bool{}
		for _, u := range updates {
			if once[u.EntityID] {
				return nil, fmt.Errorf("%s is twice in a frame", u.EntityID)
			}
			once[u.EntityID] = true
			if held, ok := shown[u.EntityID]; !ok || u.Version.Compare(held.version) > 0 {
				shown[u.EntityID] = state{u.Version, string(u.Attributes)}
			}
		}
	}
	return shown, nil
}

func newest(events []sent, tenant string) map[string]state {
	all := map[string]state{}
	for _, e := range events { // in the order of their revisions
		if e.tenant == tenant {
			_, id := e.name.full()
			all[id] = state{e.version, string(e.said[0].current)}
		}
	}
	return all
}

func must(document []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(document)
}

// oneByOne returns a function that fails where the script says so, and never after its end.
func oneByOne(script []bool) func() error {
	var mu sync.Mutex
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(script) == 0 {
			return nil
		}
		fails := script[0]
		script = script[1:]
		if fails {
			return failure(fault.Transient)
		}
		return nil
	}
}
