package normalizer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine/memquarantine"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/internal/topic"
	"github.com/iops-dashboard/live/services/internal/topic/memtopic"
	"github.com/iops-dashboard/live/services/normalizer"
)

// place is an entity, or an insight, in a tenant.
type place struct{ tenant, entity string }

// world is the two source tables, their stream (one, which is harder than two), and what dashboards ought to show in the end. It knows
// nothing of versions and stream positions.
type world struct {
	table  map[string]map[string]any
	shown  map[place]map[string]any
	stream []change
	last   *big.Int // sequence number

	spoilt bool // a row that cannot be published was written
}

const (
	badHealth = 101
	badTenant = "#"
)

func newWorld() *world {
	return &world{table: map[string]map[string]any{}, shown: map[place]map[string]any{}, last: big.NewInt(7)}
}

// tenantOf is the tenant of a row, or "" where there can be none.
func tenantOf(row map[string]any) string {
	switch tenant, ok := row["tenant"]; {
	case !ok:
		return "default"
	case tenant == badTenant:
		return ""
	default:
		return tenant.(string)
	}
}

// publicOf is what may be shown of a row, or nil where it cannot be published.
func publicOf(row map[string]any) map[string]any {
	if health, ok := row["health_score"]; ok {
		if health == badHealth {
			return nil
		}
		return map[string]any{"health_score": float64(health.(int))}
	}
	risk := row["risk_score"].(int)
	if risk == badHealth {
		return nil
	}
	public := map[string]any{"risk_score": float64(risk), "risk_band": "info"}
	if risk >= 60 {
		public["risk_band"] = "warning"
	}
	for name, value := range foundBySample {
		public[name] = value
	}
	return public
}

func (w *world) put(entity string, row map[string]any) {
	before, existed := w.table[entity]
	c := change{entity: entity, kind: "INSERT", new: row}
	if existed {
		c.kind, c.old = "MODIFY", before
		if tenantOf(before) != tenantOf(row) {
			delete(w.shown, place{tenantOf(before), entity})
		}
	}
	if public := publicOf(row); tenantOf(row) != "" && public != nil {
		w.shown[place{tenantOf(row), entity}] = public
	} else {
		w.spoilt = true
	}
	w.table[entity] = row
	w.append(c)
}

func (w *world) remove(entity string, expired bool) {
	before, existed := w.table[entity]
	if !existed {
		return
	}
	delete(w.shown, place{tenantOf(before), entity})
	delete(w.table, entity)
	w.append(change{entity: entity, kind: "REMOVE", old: before, expired: expired})
}

func (w *world) append(c change) {
	c.sequence = w.last.String()
	w.stream = append(w.stream, c)
}

// draw makes a random history.
func draw(t *rapid.T, spoil bool) *world {
	w := newWorld()
	w.put("a", map[string]any{"health_score": 5})
	entities := []string{"a", "b", "c", insight("a", 1), insight("a", 2), insight("b", 1)}
	health := rapid.IntRange(0, 9)
	tenants := []string{"", "acme", "umbrella"}
	if spoil {
		health = rapid.OneOf(health, rapid.Just(badHealth))
		tenants = append(tenants, badTenant)
	}
	for range rapid.IntRange(1, 20).Draw(t, "writes") {
		// Numbers of very different lengths, so that text order and number order differ.
		step := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(rapid.IntRange(0, 20).Draw(t, "magnitude"))), nil)
		w.last = new(big.Int).Add(w.last, step)
		entity := rapid.SampledFrom(entities).Draw(t, "entity")
		switch rapid.SampledFrom([]string{"put", "put", "put", "put", "delete", "expire"}).Draw(t, "operation") {
		case "delete":
			w.remove(entity, false)
		case "expire":
			w.remove(entity, true)
		default:
			row := map[string]any{"note": rapid.SampledFrom([]string{"x", "y"}).Draw(t, "note")}
			if score := health.Draw(t, "health"); strings.Contains(entity, "@") && score != badHealth {
				row["risk_score"] = 55 + score
			} else if strings.Contains(entity, "@") {
				row["risk_score"] = score
			} else {
				row["health_score"] = score
			}
			if tenant := rapid.SampledFrom(tenants).Draw(t, "tenant"); tenant != "" {
				row["tenant"] = tenant
			}
			w.put(entity, row)
		}
	}
	return w
}

// flaky is a state table and a topic that fail at random, before or after they have done what
// they were asked: what a crash at that moment looks like from outside.
type flaky struct {
	*memstate.Table
	t      *rapid.T
	topic  memtopic.Topic
	random *rand.Rand
	rate   float64

	published map[place]map[int64]bool
	early     string // a revision that was applied before the one before it was published
}

func newFlaky(t *rapid.T) *flaky {
	return &flaky{
		t: t, Table: memstate.New(1_795_000_000_000),
		random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)),
		rate:   rapid.SampledFrom([]float64{0, 0.05, 0.15}).Draw(t, "rate"),

		published: map[place]map[int64]bool{},
	}
}

func placeOf(k state.Key) place {
	if id, ok := k.InsightID(); ok {
		return place{k.Tenant, id.Pk + "@" + id.Sk}
	}
	return place{k.Tenant, k.EntityID}
}

func (f *flaky) fails() bool { return f.random.Float64() < f.rate }

func (f *flaky) Apply(ctx context.Context, c state.Change) (state.Result, error) {
	if f.fails() {
		return state.Result{}, fault.New("before", fault.Transient, nil)
	}
	result, err := f.Table.Apply(ctx, c)
	if previous := result.Version.Revision - 1; result.Outcome == state.Applied && previous > 0 && !f.published[placeOf(c.Key)][previous] {
		f.early = fmt.Sprintf("revision %d of %v was applied before revision %d was published", previous+1, c.Key, previous)
	}
	if f.fails() {
		return state.Result{}, fault.New("after", fault.Transient, nil)
	}
	return result, err
}

func (f *flaky) Publish(ctx context.Context, messages []topic.Message) []error {
	errs := make([]error, len(messages))
	for i, m := range messages {
		if f.fails() {
			errs[i] = fault.New("before", fault.Transient, nil)
			continue
		}
		errs[i] = f.topic.Publish(ctx, []topic.Message{m})[0]
		e := decode(f.t, m.Body)
		p := place{e.Tenant, e.about()}
		if f.published[p] == nil {
			f.published[p] = map[int64]bool{}
		}
		f.published[p][e.Data.Version.Revision] = true
		if f.fails() {
			errs[i] = fault.New("after", fault.Transient, nil)
		}
	}
	return errs
}

func (f *flaky) normalizer() *normalizer.Normalizer {
	return must(normalizer.New(normalizer.Config{
		State: f, Topic: f, Quarantine: &memquarantine.Quarantine{},
		MetricsTable: "iops-dashboard-metrics", InsightsTable: "iops-dashboard-insights",
		Log:      slog.New(slog.DiscardHandler),
		Parallel: 1, // so that a seed gives one history
		Attempts: 2, Backoff: time.Nanosecond,
	}))
}

// deliver hands a batch over as Lambda does: what failed, and all behind it, comes again until it
// succeeds. A crash now and then loses the answer, and the batch comes again whole.
func (f *flaky) deliver(n *normalizer.Normalizer, changes []change) {
	for tries := 0; len(changes) > 0; tries++ {
		if tries > 50 {
			f.rate = 0 // the outage ends
		}
		if tries > 100 {
			f.t.Fatalf("%d records do not get through without any outage", len(changes))
		}
		response, err := n.Handle(context.Background(), batch(changes...))
		if err != nil {
			f.t.Fatal(err)
		}
		if f.fails() {
			continue
		}
		failed := map[string]bool{}
		for _, r := range response.BatchItemFailures {
			failed[r.ItemIdentifier] = true
		}
		lowest := slices.IndexFunc(changes, func(c change) bool { return failed[c.sequence] })
		if lowest < 0 {
			if len(failed) > 0 {
				f.t.Fatalf("answer %v names none of the batch", failed)
			}
			return
		}
		changes = changes[lowest:]
	}
}

// Delivered as Lambda does it, with outages and crashes anywhere: all revisions are published, in
// order, without gaps, and everybody ends with the table.
func TestTheStreamAsLambdaDeliversIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := draw(t, rapid.Bool().Draw(t, "spoil"))
		f := newFlaky(t)
		n := f.normalizer()
		for rest := w.stream; len(rest) > 0; {
			size := min(len(rest), rapid.IntRange(1, 10).Draw(t, "batch"))
			f.deliver(n, rest[:size])
			rest = rest[size:]
		}
		checkPublished(t, f, true)
		if f.early != "" {
			t.Fatal(f.early)
		}
		checkEnd(t, w, f)
	})
}

// Delivered in any order, with any repetitions, in any batches, with outages and crashes anywhere:
// everybody ends with the table.
func TestAnyOrderAndAnyNumberOfDeliveries(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := draw(t, rapid.Bool().Draw(t, "spoil"))
		f := newFlaky(t)
		n := f.normalizer()
		deliveries := slices.Concat(w.stream, rapid.SliceOfN(rapid.SampledFrom(w.stream), 0, 8).Draw(t, "again"))
		deliveries = rapid.Permutation(deliveries).Draw(t, "order")
		for rest := deliveries; len(rest) > 0; {
			size := min(len(rest), rapid.IntRange(1, 10).Draw(t, "batch"))
			f.deliver(n, rest[:size])
			rest = rest[size:]
		}
		checkPublished(t, f, false)
		checkEnd(t, w, f)
	})
}

// Attempts that are given up on (the batch expires, or its answer never comes) do no harm to what
// is delivered for good before or after.
func TestAReplayFromAnyPoint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := draw(t, false)
		f := newFlaky(t)
		n := f.normalizer()
		replay := func() {
			part := rapid.Permutation(w.stream[rapid.IntRange(0, len(w.stream)-1).Draw(t, "from"):]).Draw(t, "replay")
			if _, err := n.Handle(context.Background(), batch(part...)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range w.stream {
			if rapid.IntRange(0, 5).Draw(t, "replays") == 0 {
				replay()
			}
			f.deliver(n, w.stream[i:i+1])
		}
		replay()
		checkPublished(t, f, false)
		checkEnd(t, w, f)

		before := len(f.Table.All())
		f.rate = 0
		f.deliver(n, w.stream)
		checkEnd(t, w, f)
		if len(f.Table.All()) != before {
			t.Error("a replay of everything adds to the state table")
		}
	})
}

// checkPublished holds that a version has one state, and in a live stream that versions come first
// in order and without a gap.
func checkPublished(t *rapid.T, f *flaky, live bool) {
	first := map[string]string{}
	highest := map[place]int64{}
	for _, m := range f.topic.Messages() {
		e := decode(t, m.Body)
		p, revision := place{e.Tenant, e.about()}, e.Data.Version.Revision
		name := fmt.Sprint(p, e.Data.Version)
		content := fmt.Sprint(e.ID, e.Data.Operation, e.Data.Sequence, e.Data.Current)
		if was, ok := first[name]; ok {
			if was != content {
				t.Fatalf("%s is %s and is %s", name, was, content)
			}
			continue
		}
		first[name] = content
		if live {
			if revision != highest[p]+1 {
				t.Fatalf("%v shows revision %d after %d", p, revision, highest[p])
			}
			highest[p] = revision
		}
	}
}

// checkEnd holds the state table, and a client that met the messages in any order and any number of
// times, against what ought to be shown.
func checkEnd(t *rapid.T, w *world, f *flaky) {
	inState := map[place]map[string]any{}
	for k, i := range f.Table.All() {
		if i.Image != nil {
			var image map[string]any
			if err := json.Unmarshal(i.Image, &image); err != nil {
				t.Fatal(err)
			}
			inState[placeOf(k)] = image
		}
	}
	if !reflect.DeepEqual(inState, w.shown) {
		t.Fatalf("the state table has %v, want %v", inState, w.shown)
	}

	messages := f.topic.Messages()
	messages = append(messages, messages[:len(messages)/2]...)
	f.random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	if client := merge(t, messages); !reflect.DeepEqual(client, w.shown) {
		t.Fatalf("a client shows %v, want %v", client, w.shown)
	}

	if !w.spoilt { // then what is shown is the table itself
		table := map[place]map[string]any{}
		for entity, row := range w.table {
			table[place{tenantOf(row), entity}] = publicOf(row)
		}
		if !reflect.DeepEqual(table, w.shown) {
			t.Fatalf("the model shows %v of table %v", w.shown, table)
		}
	}
}

// merge is a client: it keeps the state with the highest version of each entity.
func merge(t *rapid.T, messages []topic.Message) map[place]map[string]any {
	type held struct {
		epoch, revision int64
		state           map[string]any
	}
	all := map[place]held{}
	for _, m := range messages {
		e := decode(t, m.Body)
		p := place{e.Tenant, e.about()}
		v := e.Data.Version
		if h, ok := all[p]; !ok || v.Epoch > h.epoch || v.Epoch == h.epoch && v.Revision > h.revision {
			all[p] = held{v.Epoch, v.Revision, e.Data.Current}
		}
	}
	shown := map[place]map[string]any{}
	for p, h := range all {
		if h.state != nil {
			shown[p] = h.state
		}
	}
	return shown
}

func decode(t *rapid.T, body string) event {
	var e event
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatal(err)
	}
	return e
}
