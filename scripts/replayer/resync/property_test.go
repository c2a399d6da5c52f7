package resync

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/infra/topology"
)

// held is a row: whose it is, and the one public attribute that changes.
type held struct {
	tenant string // empty: the default one; "#": none that there can be
	value  int
}

// told is a record of the stream. A row that was not there is nil.
type told struct {
	key      Key
	label    string
	sequence int
	old, new *held
}

// stored is what the state table has of a tenant's row.
type stored struct {
	label    string
	sequence int
	value    int
	shown    bool
}

// world is a table that lives, its stream, and a state table by the documented rule of services/internal/state and
// services/normalizer. Each call of the reader finds it a little later.
type world struct {
	*rapid.T
	table Table
	keys  []Key
	gaps  []int // of each shard: its numbers are this far apart
	calm  bool  // nothing more is lost
	still bool  // nothing more happens
	label int

	rows    map[Key]held
	last    []int    // sequence number of each shard
	pending [][]told // of each shard, in order
	latest  []told   // delivered of each shard, at most one
	kept    []told   // given up with their payload
	lossy   bool     // there may be what nobody was told of
	state   map[Key]stored
}

func newWorld(t *rapid.T) *world {
	w := &world{T: t, rows: map[Key]held{}, state: map[Key]stored{}}
	tables := Tables(topology.Default())
	w.table = tables[rapid.IntRange(0, 1).Draw(t, "table")]
	w.keys = []Key{{"a", "student"}, {"b", "student"}, {"a", "tutor"}}
	if w.table.insights {
		w.keys = []Key{{"insight#a", "2026-11-22"}, {"insight#b", "2026-11-22"}, {"other#a", "2026-11-22"}}
	}
	w.gaps = rapid.SampledFrom([][]int{{1}, {1_000}, {1_000, 1_000_000}}).Draw(t, "gaps")
	w.restart()
	return w
}

// restart begins a new stream. What the one before had not delivered is gone.
func (w *world) restart() {
	w.label++
	w.last, w.pending, w.latest = make([]int, len(w.gaps)), make([][]told, len(w.gaps)), make([]told, len(w.gaps))
	w.lossy = true
}

func (w *world) stream() string {
	return fmt.Sprintf("arn:aws:dynamodb:us-east-1:1:table/%s/stream/2026-11-%02dT00:00:00.000", w.table.Name, w.label)
}

func (w *world) chance(what string, of int) bool { return rapid.IntRange(1, of).Draw(w.T, what) == 1 }

// write changes a row, as anybody may at any time.
func (w *world) write(silently bool) {
	shard := rapid.IntRange(0, len(w.keys)-1).Draw(w.T, "key")
	key := w.keys[shard]
	shard %= len(w.gaps)
	label, _ := labelOf(w.stream())
	record := told{key: key, label: label}
	if before, ok := w.rows[key]; ok {
		record.old = &before
	}
	if w.chance("delete", 4) {
		if record.old == nil {
			return
		}
		delete(w.rows, key)
	} else {
		record.new = &held{rapid.SampledFrom([]string{"", "", "acme", "umbrella", "#"}).Draw(w.T, "tenant"), rapid.IntRange(0, 4).Draw(w.T, "value")}
		w.rows[key] = *record.new
	}
	if !silently && w.table.streamed(key) {
		w.last[shard] += w.gaps[shard]
		record.sequence = w.last[shard]
		w.pending[shard] = append(w.pending[shard], record)
	}
}

// step is something that happens by itself.
func (w *world) step() {
	shard := rapid.IntRange(0, len(w.gaps)-1).Draw(w.T, "shard")
	waiting := w.pending[shard]
	switch what := rapid.SampledFrom([]string{"write", "write", "deliver", "deliver", "again", "lose", "keep"}).Draw(w.T, "step"); {
	case what == "write":
		w.write(false)
	case what == "again" && w.latest[shard].label != "":
		w.normalize(w.latest[shard])
	case len(waiting) == 0:
	case what == "deliver":
		w.deliver(shard)
	case !w.calm && (what == "lose" || what == "keep"):
		n := rapid.IntRange(1, len(waiting)).Draw(w.T, "records")
		if what == "keep" {
			w.kept = append(w.kept, waiting[:n]...)
		} else {
			w.lossy = true
		}
		w.pending[shard] = waiting[n:]
	}
}

func (w *world) steps() {
	if w.still {
		return
	}
	for range rapid.IntRange(0, 3).Draw(w.T, "steps") {
		w.step()
	}
}

func (w *world) deliver(shard int) {
	w.latest[shard], w.pending[shard] = w.pending[shard][0], w.pending[shard][1:]
	w.normalize(w.latest[shard])
}

func owner(h *held) string {
	switch {
	case h == nil || h.tenant == "#":
		return ""
	case h.tenant == "":
		return "default"
	}
	return h.tenant
}

func (w *world) normalize(r told) {
	before, after := owner(r.old), owner(r.new)
	if before != "" && before != after {
		w.apply(before, r.key, stored{r.label, r.sequence, 0, false})
	}
	if after != "" {
		w.apply(after, r.key, stored{r.label, r.sequence, r.new.value, true})
	}
}

// apply is the rule of the state table.
func (w *world) apply(tenant string, key Key, s stored) {
	at, _ := w.table.stateOf(tenant, key)
	had, ok := w.state[at]
	if !ok || had.label < s.label || had.label == s.label && had.sequence < s.sequence {
		w.state[at] = s
	}
}

// handle is the normalizer, told of a record as Lambda would.
func (w *world) handle(body string) {
	var r struct {
		EventName, EventSourceARN string
		Dynamodb                  struct {
			Keys, NewImage, OldImage map[string]map[string]string
			SequenceNumber           string
		}
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		w.Fatal(err)
	}
	row := r.Dynamodb.NewImage
	if r.EventName == "REMOVE" {
		row = r.Dynamodb.OldImage
	}
	key := Key{r.Dynamodb.Keys[w.table.names[0]]["S"], r.Dynamodb.Keys[w.table.names[1]]["S"]}
	if !w.table.streamed(key) {
		w.Fatalf("%s of %v: the normalizer is not told of it", r.EventName, key)
	}
	h := held{tenant: row["tenant"]["S"]}
	if owner(&h) == "" {
		return // to quarantine
	}
	label, _ := labelOf(r.EventSourceARN)
	sequence, _ := strconv.Atoi(r.Dynamodb.SequenceNumber)
	h.value, _ = strconv.Atoi(row[w.attribute()]["N"])
	w.apply(owner(&h), key, stored{label, sequence, h.value, r.EventName == "INSERT"})
}

// attribute is the public attribute that changes.
func (w *world) attribute() string {
	if w.table.insights {
		return "risk_score"
	}
	return "health_score"
}

// resync is a run, with which the world does not wait. It may be killed.
func (w *world) resync() {
	w.replayKept()
	w.lossy = false
	var sent []string
	limit := int32(rapid.IntRange(1, 3).Draw(w.T, "limit"))
	for m, err := range Rows(context.Background(), Source{Client: w, Table: w.table, Stream: w.stream(), Limit: limit}) {
		if err != nil {
			w.Fatal(err)
		}
		if sent = append(sent, m.Body); w.chance("arrives", 2) {
			w.handle(rapid.SampledFrom(sent).Draw(w.T, "which"))
		}
		w.steps()
		if w.chance("killed", 10) {
			w.lossy = true
			break
		}
	}
	for _, body := range sent {
		w.steps()
		w.handle(body)
	}
}

// replayKept brings back what was given up with its payload, which is to be done first.
func (w *world) replayKept() {
	for _, r := range w.kept {
		w.normalize(r)
	}
	w.kept = nil
}

// Whatever was lost, whenever, and whatever goes on meanwhile: in the end the state table shows the rows, to the right
// tenants, and there is nothing more to do.
func TestInTheEndTheStateIsTheRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			w.write(true)
		}
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			for range rapid.IntRange(0, 12).Draw(t, "life") {
				w.step()
			}
			switch {
			case w.chance("new stream", 5):
				w.restart()
			case w.chance("resync", 2):
				w.resync()
			}
		}
		w.calm = true
		for w.lossy {
			w.resync()
		}
		w.replayKept()
		for shard := range w.gaps {
			for len(w.pending[shard]) > 0 {
				w.deliver(shard)
			}
		}

		want, got := map[Key]int{}, map[Key]int{}
		for key, row := range w.rows {
			if tenant := owner(&row); tenant != "" && w.table.streamed(key) {
				at, _ := w.table.stateOf(tenant, key)
				want[at] = row.value
			}
		}
		for at, s := range w.state {
			if s.shown {
				got[at] = s.value
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("the state table shows %v, want %v", got, want)
		}

		w.still = true
		for m, err := range Rows(context.Background(), Source{Client: w, Table: w.table, Stream: w.stream(), Limit: 100}) {
			if err != nil || !strings.Contains(m.Body, `"tenant":{"S":"#"}`) {
				t.Fatalf("nothing differs, and %s is told of, %v", m.Body, err)
			}
		}
	})
}

// Scan implements [Reader].
func (w *world) Scan(_ context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	w.steps()
	if !aws.ToBool(in.ConsistentRead) {
		w.Fatal("a scan that need not see what was written")
	}
	names, keys := w.of(*in.TableName)
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a[0]+"\x00"+a[1], b[0]+"\x00"+b[1]) })
	out := &dynamodb.ScanOutput{}
	for _, k := range keys {
		if after := in.ExclusiveStartKey; after != nil {
			if from := itemKey(after, names); k[0]+"\x00"+k[1] <= from[0]+"\x00"+from[1] {
				continue
			}
		}
		if len(out.Items) == int(*in.Limit) {
			last := itemKey(out.Items[len(out.Items)-1], names)
			out.LastEvaluatedKey = item{names[0]: text(last[0]), names[1]: text(last[1])}
			break
		}
		out.Items = append(out.Items, w.item(*in.TableName, k))
	}
	return out, nil
}

// BatchGetItem implements [Reader].
func (w *world) BatchGetItem(_ context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	w.steps()
	out := &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{}}
	for table, part := range in.RequestItems {
		if !aws.ToBool(part.ConsistentRead) || len(part.Keys) == 0 || len(part.Keys) > 100 {
			w.Fatalf("%d keys, and perhaps a read that need not see what was written", len(part.Keys))
		}
		names, _ := w.of(table)
		for _, k := range part.Keys {
			if found := w.item(table, itemKey(k, names)); found != nil {
				out.Responses[table] = append(out.Responses[table], found)
			}
		}
	}
	return out, nil
}

func itemKey(i item, names [2]string) Key {
	return Key{i[names[0]].(*types.AttributeValueMemberS).Value, i[names[1]].(*types.AttributeValueMemberS).Value}
}

func (w *world) of(table string) (names [2]string, keys []Key) {
	if table == w.table.State {
		return stateKey, slices.Collect(maps.Keys(w.state))
	}
	return w.table.names, slices.Collect(maps.Keys(w.rows))
}

func (w *world) item(table string, k Key) item {
	names, _ := w.of(table)
	found := item{names[0]: text(k[0]), names[1]: text(k[1])}
	if table == w.table.State {
		s, ok := w.state[k]
		if !ok {
			return nil
		}
		found["label"], found["seq"] = text(s.label), text(fmt.Sprintf("%040d", s.sequence))
		switch {
		case !s.shown:
			found["expires_at"] = &types.AttributeValueMemberN{Value: "1"}
		case w.table.insights:
			found["image"] = text(fmt.Sprintf(`{"risk_band":"info","risk_score":%d}`, s.value))
		default:
			found["image"] = text(fmt.Sprintf(`{"health_score":%d}`, s.value))
		}
		return found
	}
	row, ok := w.rows[k]
	if !ok {
		return nil
	}
	found[w.attribute()] = &types.AttributeValueMemberN{Value: strconv.Itoa(row.value)}
	if row.tenant != "" {
		found["tenant"] = text(row.tenant)
	}
	return found
}
