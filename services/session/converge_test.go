package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/internal/summary/memsummary"
	"github.com/iops-dashboard/live/services/session"
)

// scenario is a while in the life of a browser, with everything that can go wrong in it, as data.
type scenario struct {
	writes     []write
	syncs      []ask
	reconnects []time.Duration
	posts      []trip // of the parts of snapshots, and other answers
	updates    []trip // of the fan-out's frames
	lastViews  int    // negative: as before
	lastSliced bool
	pageSize   int
}

// write is the next state of a row.
type write struct {
	at            time.Duration
	kind, id      string
	score         int // negative: it is removed
	foundHoursAgo int // of an insight
}

// ask is a sync.
type ask struct {
	at      time.Duration
	views   int // negative: as before
	sandbox int
	sliced  bool // it says the slices of its digest
}

// trip is what becomes of a frame.
type trip struct {
	wait   time.Duration // until it is accepted
	fails  fault.Kind    // Internal: it does not
	lost   bool
	marked bool // a loss is noticed
	delay  time.Duration
	copies int
}

// The views that a browser may have.
var choices = []string{
	`[{"entity_type":"*"}]`,
	`[]`,
	`[{"entity_type":"student"}]`,
	`[{"entity_type":"student","fields":["health_score"]}]`,
	`[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":50}]},{"entity_type":"insight"}]`,
	`[{"entity_type":"insight","where":[{"attribute":"risk_score","operator":"ge","value":50}]},{"entity_type":"tutor","fields":["segment"]}]`,
}

func draw(t *rapid.T) scenario {
	moment := func(label string) time.Duration {
		return time.Duration(rapid.IntRange(0, 20_000).Draw(t, label)) * time.Millisecond
	}
	var s scenario
	for range rapid.IntRange(0, 40).Draw(t, "writes") {
		w := write{at: moment("written"), kind: rapid.SampledFrom([]string{"student", "student", "tutor", "insight"}).Draw(t, "kind")}
		w.id = rapid.SampledFrom([]string{"a", "b", "c\t", "d/é"}).Draw(t, "id")
		w.score = rapid.SampledFrom([]int{-1, 20, 49, 50, 80}).Draw(t, "score")
		if w.kind == "insight" {
			w.foundHoursAgo = rapid.SampledFrom([]int{0, 5, 23, 30, 60}).Draw(t, "found hours ago")
		}
		s.writes = append(s.writes, w)
	}
	slices.SortStableFunc(s.writes, func(a, b write) int { return int(a.at - b.at) })
	for n := range rapid.IntRange(1, 15).Draw(t, "syncs") {
		a := ask{moment("asked"), rapid.IntRange(-10, len(choices)-1).Draw(t, "views"), rapid.IntRange(0, 1).Draw(t, "sandbox"), rapid.Bool().Draw(t, "sliced")}
		if n > 0 && rapid.Bool().Draw(t, "soon") {
			a.at = s.syncs[n-1].at + time.Duration(rapid.IntRange(0, 1500).Draw(t, "after"))*time.Millisecond
		}
		s.syncs = append(s.syncs, a)
	}
	for range rapid.IntRange(0, 2).Draw(t, "reconnects") {
		s.reconnects = append(s.reconnects, moment("reconnected"))
	}
	way := rapid.Custom(func(t *rapid.T) trip {
		return trip{
			wait:   time.Duration(rapid.SampledFrom([]int{0, 0, 50, 1500, 3000}).Draw(t, "wait")) * time.Millisecond,
			fails:  rapid.SampledFrom([]fault.Kind{fault.Internal, fault.Internal, fault.Internal, fault.Throttled, fault.Transient, fault.Denied}).Draw(t, "fails"),
			lost:   rapid.IntRange(0, 3).Draw(t, "lost") == 0,
			marked: rapid.Bool().Draw(t, "marked"),
			delay:  time.Duration(rapid.SampledFrom([]int{0, 0, 100, 2000, 6000}).Draw(t, "delay")) * time.Millisecond,
			copies: rapid.IntRange(1, 2).Draw(t, "copies"),
		}
	})
	s.posts = rapid.SliceOfN(way, 0, 40).Draw(t, "posts")
	s.updates = rapid.SliceOfN(way, 0, 40).Draw(t, "updates")
	s.lastViews = rapid.IntRange(-len(choices), len(choices)-1).Draw(t, "last views")
	s.lastSliced = rapid.Bool().Draw(t, "last sliced")
	s.pageSize = rapid.IntRange(1, 4).Draw(t, "page size")
	return s
}

// Whatever is lost, repeated, reordered and late, in the fan-out and in snapshots, and however often the
// browser changes its mind or its socket: after one more sync it shows what the table holds for its views,
// and the next confirms it. And no answer on the way is a lie: what it says of a row was true at a moment
// after the sync was sent, or up to a second before where a heartbeat is confirmed.
func TestBrowserConverges(t *testing.T) {
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

// play is a world of one browser, with a fan-out of its own.
func play(t *testing.T, s scenario) string {
	w := &world{
		t: t, registry: &memregistry.Registry{}, table: memstate.New(epoch), posts: s.posts, updates: s.updates,
		history: map[string][]past{},
	}
	w.table.PageSize = s.pageSize
	// A page of the table takes its time, so that writes come between pages.
	w.table.OnPage = func(context.Context, state.Range, int) error { time.Sleep(20 * time.Millisecond); return nil }
	summaries := &memsummary.Store{}
	for range 2 { // sandboxes, which share nothing but summaries
		one, err := session.NewSync(session.SyncConfig{
			Registry: w.registry, State: w.table, Gateway: w, Log: slog.New(slog.DiscardHandler), Summaries: summaries,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.sandboxes = append(w.sandboxes, one)
	}
	w.browser = browser{rows: map[string]*shown{}, views: -1, world: w}
	w.connect()
	for n, write := range s.writes {
		time.AfterFunc(write.at, func() { w.write(n, write) })
	}
	for _, ask := range s.syncs {
		time.AfterFunc(ask.at, func() { w.browser.sync(ask) })
	}
	for _, at := range s.reconnects {
		time.AfterFunc(at, w.connect)
	}
	time.Sleep(2 * time.Minute) // all is written, and all that was under way has arrived or is lost
	w.mu.Lock()
	w.posts, w.updates = nil, nil
	w.mu.Unlock()
	w.browser.sync(ask{views: s.lastViews, sandbox: 0, sliced: s.lastSliced})
	time.Sleep(time.Minute)
	w.browser.sync(ask{views: s.lastViews, sandbox: 1})
	time.Sleep(time.Minute)

	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.complaints) > 0 {
		return strings.Join(w.complaints, "\n")
	}
	if w.browser.pending == nil || !w.browser.pending.confirmed {
		return "the sync after the last is not confirmed"
	}
	views := choices[w.browser.views]
	got, want := w.browser.shows(), w.holds(views)
	same := func(a, b *shown) bool {
		for name, value := range b.attributes {
			if a.attributes[name] != value { // it may have more, of views that it had before
				return false
			}
		}
		return a.version == b.version
	}
	if !maps.EqualFunc(got, want, same) {
		return fmt.Sprintf("with %s it shows\n%v, want\n%v", views, got, want)
	}
	return ""
}

type world struct {
	t         *testing.T
	registry  *memregistry.Registry
	table     *memstate.Table
	sandboxes []*session.Sync

	mu             sync.Mutex
	browser        browser
	posts, updates []trip
	sockets        int
	history        map[string][]past // by row
	complaints     []string
}

// past is a state that a row had from a time on.
type past struct {
	from    time.Time
	kind    string
	version contracts.Version
	image   json.RawMessage
}

func (w *world) socket() string { return fmt.Sprint("socket-", w.sockets) }

// connect gives the browser a new socket in the place of the one that it has.
func (w *world) connect() {
	w.mu.Lock()
	if w.sockets > 0 {
		old := w.socket()
		defer func() { _ = w.registry.Close(context.Background(), old) }()
	}
	w.sockets++
	w.browser.pending, w.browser.syncID, w.browser.since = nil, 0, time.Time{}
	c := registry.Connection{ID: w.socket(), Tenant: "acme", ConnectedAt: time.Now()}
	w.mu.Unlock()
	if err := w.registry.Open(context.Background(), c); err != nil {
		w.t.Error(err)
	}
}

// next is what becomes of the next frame; once the script is over, all goes well.
func next(script *[]trip) trip {
	if len(*script) == 0 {
		return trip{copies: 1}
	}
	one := (*script)[0]
	*script = (*script)[1:]
	return one
}

// Post makes the world a gateway.
func (w *world) Post(ctx context.Context, id string, f *gateway.Frame, timeout time.Duration) error {
	w.mu.Lock()
	way := next(&w.posts)
	gone := id != w.socket()
	w.mu.Unlock()
	if gone {
		return failure(fault.Gone)
	}
	text := slices.Clone(f.Text())
	if way.fails != fault.Internal && way.lost {
		return failure(way.fails)
	}
	time.AfterFunc(way.wait, func() { w.carry(way, id, text) })
	if way.wait >= timeout {
		time.Sleep(timeout)
		return failure(fault.Transient) // and it arrives nevertheless
	}
	time.Sleep(way.wait)
	if way.fails != fault.Internal {
		return failure(way.fails)
	}
	return nil
}

// carry brings a frame to the browser, if its socket is still open then.
func (w *world) carry(way trip, socket string, text []byte) {
	if way.lost {
		return
	}
	for n := range max(way.copies, 1) {
		time.AfterFunc(way.delay*time.Duration(n+1), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if socket == w.socket() {
				w.browser.receive(text)
			}
		})
	}
}

// write stores a state, and then lets the fan-out know.
func (w *world) write(n int, of write) {
	key := state.Key{Tenant: "acme", EntityType: of.kind, EntityID: of.id}
	name := of.kind + "/" + of.id
	attributes := fmt.Sprintf(`{"health_score":%d,"segment":"s%d"}`, of.score, n)
	if of.kind == "insight" {
		at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Duration(of.foundHoursAgo) * time.Hour).Format("2006-01-02T15:04:05.000Z")
		id := contracts.InsightID{Pk: "insight#" + of.id, Sk: at}
		key = state.InsightKey("acme", id)
		name = "insight/" + id.Pk + "|" + id.Sk
		attributes = fmt.Sprintf(`{"entity_id":"e","prediction_type":"p","risk_band":"info","risk_score":%d,"timestamp":%q,"explanation":"s%d"}`, of.score, at, n)
	}
	c := state.Change{Key: key, At: state.Position{Label: "l", Sequence: fmt.Sprint(n + 1)}, WrittenAt: time.Now()}
	if of.score >= 0 {
		c.Image = json.RawMessage(attributes)
	}
	w.mu.Lock()
	result, err := w.table.Apply(context.Background(), c)
	if err != nil {
		w.t.Error(err)
	}
	if result.Outcome != state.Applied { // a write at the same time was faster
		w.mu.Unlock()
		return
	}
	w.history[name] = append(w.history[name], past{time.Now(), of.kind, result.Version, c.Image})
	way := next(&w.updates)
	w.mu.Unlock()
	time.AfterFunc(way.wait, func() { w.tell(way, c, result.Version) })
}

// tell is the fan-out: it reads who watches, and sends what each is to know.
func (w *world) tell(way trip, c state.Change, version contracts.Version) {
	for page, err := range w.registry.Watching(context.Background(), registry.Query{Tenant: "acme", Types: []string{c.EntityType}}) {
		if err != nil {
			w.t.Error(err)
			return
		}
		for _, watcher := range page {
			whole, matched := true, true
			var names []string
			if watcher.Views != registry.Everything {
				names, whole, matched = choose(watcher.Views, c.EntityType, c.Image)
			}
			update := map[string]any{"version": version, "operation": "REMOVE", "reason": "LEFT_VIEW", "written_at": "2000-01-01T00:00:00.000Z"}
			if matched && c.Image != nil {
				update["operation"], update["attributes"] = "UPSERT", pick(c.Image, names, whole)
				delete(update, "reason")
			}
			kind := "METRIC_UPDATE"
			if id, ok := c.InsightID(); ok {
				kind, update["insight_id"] = "INSIGHT_CREATED", id
			} else {
				update["entity_type"], update["entity_id"] = c.EntityType, c.EntityID
			}
			text, _ := json.Marshal(map[string]any{"type": kind, "data": []any{update}})
			w.carry(way, watcher.ID, text)
			if way.lost && way.marked {
				if err := w.registry.MarkResync(context.Background(), watcher.ID); err != nil {
					w.t.Error(err)
				}
			}
		}
	}
}

// holds is what the table has for these views.
func (w *world) holds(views string) map[string]*shown {
	all := map[string]*shown{}
	found := map[string]string{} // insights, by row
	for k, item := range w.table.All() {
		names, whole, matched := choose(views, k.EntityType, item.Image)
		if !matched {
			continue
		}
		name := k.EntityType + "/" + k.EntityID
		if id, ok := k.InsightID(); ok {
			name = "insight/" + id.Pk + "|" + id.Sk
			found[name] = id.Sk
		}
		all[name] = &shown{version: item.Version, attributes: pick(item.Image, names, whole)}
	}
	for _, name := range outside(found) {
		delete(all, name)
	}
	return all
}

// outside names the insights found more than a day before the newest of them.
func outside(found map[string]string) (names []string) {
	newest := ""
	for _, at := range found {
		newest = max(newest, at)
	}
	for name, at := range found {
		a, _ := time.Parse(time.RFC3339, at)
		b, _ := time.Parse(time.RFC3339, newest)
		if b.Sub(a) > 24*time.Hour {
			names = append(names, name)
		}
	}
	return names
}

// audit complains if what an answer says of a row was not so at any moment between two times: that it has
// this version, or, if none is given, that the views do not hold it. Which insights count is another matter.
func (w *world) audit(what, views string, said map[string]contracts.Version, from, to time.Time) {
	for name, states := range w.history {
		if states[0].kind == "insight" {
			continue
		}
		version, held := said[name]
		was := !held && !states[0].from.Before(from)
		for i, p := range states {
			until := to
			if i+1 < len(states) {
				until = states[i+1].from
			}
			_, _, matched := choose(views, p.kind, p.image)
			if held == matched && (!held || version == p.version) && !p.from.After(to) && !until.Before(from) {
				was = true
			}
		}
		if !was {
			w.complaints = append(w.complaints, fmt.Sprintf("%s: %s@%d (%t) was never so", what, name, version.Revision, held))
		}
	}
}

// choose decides by the words of the contract whether a state is watched, and which of its attributes.
func choose(views, kind string, image json.RawMessage) (names []string, whole, matched bool) {
	if image == nil {
		return nil, false, false
	}
	var all []struct {
		EntityType string `json:"entity_type"`
		Where      []struct {
			Attribute, Operator string
			Value               float64
		}
		Fields []string
	}
	var attributes map[string]any
	if json.Unmarshal([]byte(views), &all) != nil || json.Unmarshal(image, &attributes) != nil {
		panic("not JSON")
	}
	for _, v := range all {
		holds := v.EntityType == "*" || v.EntityType == kind
		for _, c := range v.Where {
			value, _ := attributes[c.Attribute].(float64)
			holds = holds && (c.Operator == "lt" && value < c.Value || c.Operator == "ge" && value >= c.Value)
		}
		if holds {
			matched = true
			whole = whole || v.Fields == nil
			names = append(names, v.Fields...)
		}
	}
	return names, whole, matched
}

// pick returns the attributes that are asked for.
func pick(image json.RawMessage, names []string, whole bool) map[string]any {
	var attributes map[string]any
	if json.Unmarshal(image, &attributes) != nil {
		panic("not JSON")
	}
	if !whole {
		maps.DeleteFunc(attributes, func(name string, _ any) bool { return !slices.Contains(names, name) })
	}
	return attributes
}

// browser is a page that keeps to the contract, as simply as can be.
type browser struct {
	world    *world
	rows     map[string]*shown
	views    int
	complete bool // a snapshot of these views has arrived in full
	syncID   int64
	since    time.Time // when it first said on this socket that it has these views
	pending  *answer
}

// shown is a row: what is shown, or remembered as gone.
type shown struct {
	version    contracts.Version
	attributes map[string]any // nil: gone
	found      string         // when, of an insight
	digestKey  string
	changedAt  time.Time
}

// answer is what has come of the last sync.
type answer struct {
	syncID int64
	sentAt time.Time
	parts  map[int64]bool
	named  map[string]contracts.Version

	had       map[string]contracts.DigestRow // when it was sent
	confirmed bool
}

// sync says what the browser watches from now on.
func (b *browser) sync(a ask) {
	w := b.world
	w.mu.Lock()
	views := a.views
	if views < 0 {
		views = max(b.views, 0)
	}
	if views != b.views {
		b.views, b.complete, b.since = views, false, time.Time{}
		clear(b.rows)
	}
	if b.since.IsZero() {
		b.since = time.Now()
	}
	b.syncID++
	b.pending = &answer{
		syncID: b.syncID, sentAt: time.Now(), parts: map[int64]bool{}, named: map[string]contracts.Version{}, had: map[string]contracts.DigestRow{},
	}
	more := ""
	if b.complete {
		var rows []contracts.DigestRow
		for name, row := range b.shows() {
			b.pending.had[name] = contracts.DigestRow{Key: row.digestKey, Version: row.version}
			rows = append(rows, b.pending.had[name])
		}
		more = `,"digest":"` + contracts.Digest(rows) + `"`
		if a.sliced {
			more += `,"slices":"` + contracts.SliceDigests(rows) + `"`
		}
	}
	request := events.APIGatewayWebsocketProxyRequest{
		Body:           syncText(b.syncID, choices[views], more),
		RequestContext: events.APIGatewayWebsocketProxyRequestContext{ConnectionID: w.socket()},
	}
	w.mu.Unlock()
	if _, err := w.sandboxes[a.sandbox].Handle(context.Background(), request); err != nil {
		w.t.Error(err)
	}
}

// shows is what people see: the rows that are there, and of the insights those that count.
func (b *browser) shows() map[string]*shown {
	all, found := map[string]*shown{}, map[string]string{}
	for name, row := range b.rows {
		if row.attributes != nil {
			all[name] = row
			if row.found != "" {
				found[name] = row.found
			}
		}
	}
	for _, name := range outside(found) {
		delete(all, name)
	}
	return all
}

func (b *browser) receive(text []byte) {
	var f struct {
		Type     string
		SyncID   int64 `json:"sync_id"`
		Part     int64
		Parts    int64
		Data     []json.RawMessage
		Entities []json.RawMessage
		Insights []json.RawMessage
		Covers   []int
		Digest   string
	}
	if err := json.Unmarshal(text, &f); err != nil {
		b.world.t.Error(err)
		return
	}
	switch f.Type {
	case "METRIC_UPDATE", "INSIGHT_CREATED":
		for _, update := range f.Data {
			b.apply(update)
		}
	case "SNAPSHOT":
		p := b.pending
		if p == nil || p.syncID != f.SyncID {
			return
		}
		for _, update := range append(f.Entities, f.Insights...) {
			name, version := b.apply(update)
			p.named[name] = version
		}
		p.parts[f.Part] = true
		if int64(len(p.parts)) < f.Parts {
			return
		}
		b.complete = true
		said := maps.Clone(p.named) // with what it says by leaving a slice out
		for name, row := range p.had {
			if f.Covers != nil && !slices.Contains(f.Covers, contracts.DigestSlice(row.Key)) {
				said[name] = row.Version
			}
		}
		b.world.audit("SNAPSHOT", choices[b.views], said, p.sentAt, time.Now())
		// Forgotten, not buried: with other views, or other insights beside it, it may come back as it was.
		maps.DeleteFunc(b.rows, func(name string, row *shown) bool {
			_, there := said[name]
			return row.attributes != nil && !there && row.changedAt.Before(p.sentAt)
		})
	case "SYNCED":
		if p := b.pending; p != nil && p.syncID == f.SyncID {
			p.confirmed = true
			from := p.sentAt.Add(-time.Second)
			if from.Before(b.since) {
				from = b.since
			}
			had := map[string]contracts.Version{}
			for name, row := range p.had {
				had[name] = row.Version
			}
			b.world.audit("SYNCED", choices[b.views], had, from, time.Now())
		}
	}
}

// apply lets the highest version win, and returns the name of the row. Of equal ones, what has left other
// views is back in these, and attributes are united.
func (b *browser) apply(text json.RawMessage) (name string, version contracts.Version) {
	var u struct {
		EntityType string              `json:"entity_type"`
		EntityID   string              `json:"entity_id"`
		InsightID  contracts.InsightID `json:"insight_id"`
		Operation  string
		Version    contracts.Version
		Attributes json.RawMessage
	}
	if err := json.Unmarshal(text, &u); err != nil {
		b.world.t.Error(err)
	}
	name, key, found := u.EntityType+"/"+u.EntityID, contracts.EntityDigestKey(u.EntityType, u.EntityID), ""
	if u.InsightID.Pk != "" {
		name, key, found = "insight/"+u.InsightID.Pk+"|"+u.InsightID.Sk, contracts.InsightDigestKey(u.InsightID), u.InsightID.Sk
	}
	var attributes map[string]any
	if u.Operation == "UPSERT" {
		attributes = pick(u.Attributes, nil, true)
		b.check(name, u.Version, u.Attributes)
	}
	row := b.rows[name]
	switch {
	case row == nil || u.Version.Compare(row.version) > 0 || u.Version == row.version && row.attributes == nil:
		b.rows[name] = &shown{u.Version, attributes, found, key, time.Now()}
	case u.Version == row.version:
		maps.Copy(row.attributes, attributes)
	}
	return name, u.Version
}

// check complains of attributes that were never written so.
func (b *browser) check(name string, version contracts.Version, attributes json.RawMessage) {
	was := "nothing"
	for _, p := range b.world.history[name] {
		if p.version == version {
			was = string(p.image)
		}
	}
	var sent, stored map[string]any
	if json.Unmarshal(attributes, &sent) != nil || json.Unmarshal([]byte(was), &stored) != nil {
		b.world.complaints = append(b.world.complaints, fmt.Sprintf("%s@%d was %q, and is sent as %s", name, version.Revision, was, attributes))
		return
	}
	for attribute, value := range sent {
		if stored[attribute] != value {
			b.world.complaints = append(b.world.complaints, fmt.Sprintf("%s@%d was %s, and is sent as %s", name, version.Revision, was, attributes))
		}
	}
}
