package schedules_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/internal/summary/memsummary"
	"github.com/iops-dashboard/live/services/internal/view"
	"github.com/iops-dashboard/live/services/session"
)

// The tenants: the page's, and another.
const (
	home      = "acme"
	elsewhere = "umbrella"
)

// epoch is the generation of the state table.
const epoch = 1_795_000_000_000

// world is all that is between the page and the table: the handlers of the session as they are, a network,
// a fan-out and people, who do what the schedule says. No two things happen at the same instant, so a schedule
// always takes the same course.
type world struct {
	t         *testing.T
	schedule  schedule
	page      *page
	begin     time.Time
	registry  *memregistry.Registry
	table     *memstate.Table
	session   *session.Session
	sandboxes []*session.Sync
	judge     *judge
	tally     *tally
	trace     *strings.Builder // nil: nobody wants to know

	mu        sync.Mutex
	over      bool // the page is asked no more
	healed    bool // nothing goes wrong any more
	sockets   []*socket
	told      map[string]bool // connections that were told to synchronise
	marked    map[string]int  // how often each was marked
	mended    map[string]int  // and how many of the marks were there when it asked for all that it was sent since
	commands  int
	pageReads map[string]int // by entity type
	readAt    time.Time      // when a read of the table began last
	syncs     int64          // of the neighbour
	writes    int
	noise     uint64

	alarm   *time.Timer // of the page
	asleep  time.Time   // until then
	waiting []order     // until it wakes
	views   []watched
	wordAt  time.Time // when the page heard something last
	synced  bool      // the last sync that was answered found all as it was
	last    answer

	heard   heard
	since   map[string]time.Time // that it holds a version, by key
	dropped map[string]drop      // of what it held once, by key

	complaints []string
}

// socket is a connection of the page, from both of its ends.
type socket struct {
	number      int
	fate        socketFate
	connectedAt time.Time
	open        bool // the gateway posts to it
	gone        bool // the page or the gateway has closed it
	dead        bool // nothing passes any more, and nobody knows
}

func (s *socket) id() string { return fmt.Sprintf("page-%d", s.number) }

// drop is when the page held a row no more, and its version until then.
type drop struct {
	version contracts.Version
	at      time.Time
}

// neighbour is the connection of a page of another tenant.
const neighbour = "neighbour-1"

// play lets a schedule take its course, in a bubble of time, and returns what is wrong with that.
func play(t *testing.T, s schedule, p *page, heard *tally, trace *strings.Builder) (complaint string) {
	synctest.Test(t, func(t *testing.T) { complaint = newWorld(t, s, p, heard, trace).run() })
	return complaint
}

func newWorld(t *testing.T, s schedule, p *page, heard *tally, trace *strings.Builder) *world {
	w := &world{
		t: t, schedule: s, page: p, begin: time.Now(), tally: heard, trace: trace, judge: newJudge(),
		registry: &memregistry.Registry{}, table: memstate.New(epoch),
		told: map[string]bool{}, marked: map[string]int{}, mended: map[string]int{}, dropped: map[string]drop{}, since: map[string]time.Time{}, heard: newHeard(), pageReads: map[string]int{}, views: everything,
	}
	w.wordAt = w.begin
	w.table.PageSize = s.PageSize
	w.table.OnPage = w.readPage
	w.registry.OnSubscribe = w.subscribe
	w.registry.OnMark = w.mark
	log := slog.New(slog.DiscardHandler)
	var err error
	if w.session, err = session.New(session.Config{Registry: w.registry, Auth: session.AuthTicket, Log: log}); err != nil {
		t.Fatal(err)
	}
	summaries := &memsummary.Store{}
	for range 2 { // which share nothing but summaries
		one, err := session.NewSync(session.SyncConfig{
			Registry: w.registry, State: w.table, Summaries: summaries, Gateway: w, Log: log, Lifetime: s.Lifetime, ReconnectAfter: s.Lifetime / 4,
			Random:  func() float64 { return 0.5 },
			Crossed: func(int) { w.complain("rows of another tenant were about to be posted") },
		})
		if err != nil {
			t.Fatal(err)
		}
		w.sandboxes = append(w.sandboxes, one)
	}
	return w
}

func (w *world) run() string {
	w.open()
	time.Sleep(stormy + 5*time.Second)
	w.do(func() { w.healed = true })
	time.Sleep(settling)
	for right, end := 0, w.begin.Add(stormy+healing); right < 2 && len(w.complaints) == 0; time.Sleep(heartbeat) {
		w.do(func() {
			complaint := w.verdict()
			switch {
			case complaint == "":
				right++
			case right > 0 || time.Now().After(end):
				w.complainLocked("%s", complaint)
			}
		})
	}
	w.do(func() { w.over = true })
	time.Sleep(time.Minute) // for whoever is still at work
	return strings.Join(w.complaints, "\n")
}

// open sets all in motion.
func (w *world) open() {
	s := w.schedule
	w.mu.Lock()
	defer w.mu.Unlock()
	for range s.Before {
		for _, tenant := range []string{home, elsewhere} {
			for _, kind := range []string{"student", "tutor", "insight"} {
				w.apply(write{Neighbour: tenant != home, Kind: kind, ID: "a", Score: 80, Segment: "healthy"})
			}
			w.apply(write{Neighbour: tenant != home, Kind: "insight", ID: "b", Score: 50, Instant: 1})
		}
	}
	if status := w.connect(neighbour, elsewhere); status != http.StatusOK {
		w.complainLocked("the neighbour cannot connect: %d", status)
	}
	for n, one := range s.Writes {
		w.after(one.At, func() { w.write(n, one) })
	}
	for _, one := range s.Watch {
		w.after(one.At, func() { w.watch(one) })
	}
	for _, one := range s.Changes {
		w.after(one.At, func() { w.tell(order{Do: "change", Change: one.What}) })
	}
	for _, one := range s.Naps {
		w.after(one.At, func() { w.sleep(one.For) })
	}
	for n, at := range s.Neighbours {
		w.after(at, func() { w.neighbourAsks(n % 2) })
	}
	date := w.begin.Add(s.Skew).UnixMilli()
	w.tell(order{Do: "begin", Seed: s.Seed, Date: date, Paint: s.Paint.Milliseconds()})
}

// do runs a function while nothing else happens.
func (w *world) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// after runs a function then, or a little later: at an instant of its own.
func (w *world) after(d time.Duration, f func()) {
	w.noise++
	w.at(d+apart(w.noise), f)
}

func (w *world) at(d time.Duration, f func()) { time.AfterFunc(d, func() { w.do(f) }) }

// apart is a time below a microsecond, and another for other numbers.
func apart(of ...uint64) time.Duration {
	sum := uint64(14_695_981_039_346_656_037)
	for _, n := range of {
		sum = (sum ^ n) * 1_099_511_628_211
		sum ^= sum >> 29
	}
	return time.Duration(sum % 1000)
}

func (w *world) complain(format string, of ...any) { w.do(func() { w.complainLocked(format, of...) }) }

func (w *world) complainLocked(format string, of ...any) {
	complaint := fmt.Sprintf(format, of...)
	w.note("COMPLAINT %s", complaint)
	if complaint != "" && len(w.complaints) < 5 {
		w.complaints = append(w.complaints, fmt.Sprintf("after %v: %s", time.Since(w.begin).Round(time.Millisecond), complaint))
	}
}

func (w *world) note(format string, of ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%12v  %s\n", time.Since(w.begin).Round(time.Microsecond), fmt.Sprintf(format, of...))
	}
}

// fateOf returns the nth of a list, or one with which all goes well.
func fateOf[T any](w *world, list []T, n int) T {
	var well T
	if w.healed || n >= len(list) {
		return well
	}
	return list[n]
}

// # The page

// tell lets something happen to the page; if it sleeps, once it wakes.
func (w *world) tell(orders ...order) {
	w.waiting = append(w.waiting, orders...)
	if !time.Now().Before(w.asleep) {
		w.ask(false)
	}
}

func (w *world) sleep(d time.Duration) {
	until := min(time.Since(w.begin)+d, stormy+4*time.Second)
	w.asleep = w.begin.Add(until)
	w.note("asleep until %v", until)
	w.after(time.Until(w.asleep), func() { w.tell() })
}

// ask lets the page have its turn, and does what it asks for.
func (w *world) ask(look bool) {
	if w.over {
		return
	}
	now := time.Now()
	silent := now.Sub(w.wordAt) >= 30*time.Second
	if w.alarm != nil {
		w.alarm.Stop()
	}
	orders := w.waiting
	w.waiting = nil
	for _, o := range orders {
		if o.Do == "hear" || o.Do == "open" {
			w.wordAt = now
		}
		if o.Do == "hear" {
			w.heard.add(o)
			w.tally.add(o.Text)
		}
		switch {
		case strings.HasPrefix(o.Text, `{"type":"SNAPSHOT"`):
			w.synced = false
		case strings.HasPrefix(o.Text, `{"type":"SYNCED"`):
			w.synced = true
		}
	}
	a, err := w.page.take(turn{At: float64(now.Sub(w.begin).Nanoseconds()) / 1e6, Orders: orders, Look: look})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.trace != nil {
		for _, o := range orders {
			w.note("page: %s %d %s%s%s", o.Do, o.Socket, o.Change, o.Views, short(o.Text))
		}
		for _, r := range a.Rows {
			w.note("  holds %s@%d %v", r.Key, r.Revision, short(fmt.Sprint(r.Attributes)))
		}
		if a.After != w.last.After {
			w.note("  says %s", a.After)
		}
	}
	w.last = a
	if silent && a.Before == "live" {
		w.complainLocked("the page says that it is live, %v after the last word", now.Sub(w.wordAt))
	}
	if now.Sub(w.wordAt) >= 30*time.Second && a.After == "live" {
		w.complainLocked("the page says that it is live, and no word came in 30 s")
	}
	for _, row := range a.Rows {
		w.changed(row)
	}
	for _, warning := range a.Warnings {
		w.complainLocked("the page warns: %s", warning)
	}
	for _, c := range a.Calls {
		w.called(c)
	}
	if a.Next != nil {
		// A little later, so that no rounding makes it too early.
		next := w.begin.Add(time.Duration(math.Ceil(*a.Next*1e6)) + 1)
		w.alarm = time.AfterFunc(max(0, time.Until(next)), func() { w.do(func() { w.tell() }) })
	}
}

// changed looks at a row that is held otherwise than before.
func (w *world) changed(row held) {
	was, wasHeld := w.judge.rows[row.Key]
	if complaint := w.judge.hold(row); complaint != "" {
		w.complainLocked("%s", complaint)
	}
	if strings.HasPrefix(row.Key, "insight/") {
		return // it comes and goes with others, beside which it counts or not
	}
	now, merging := time.Now(), w.schedule.Paint+time.Millisecond // what was heard is held so much later
	switch {
	case row.Revision == 0:
		if !w.heard.dropped(was, w.since[row.Key].Add(-merging)) {
			w.complainLocked("%s@%d is dropped, and nobody said that it is gone", row.Key, was.Revision)
		}
		w.dropped[row.Key] = drop{was.version(), now}
	case !wasHeld && w.dropped[row.Key].version == row.version():
		if !w.heard.broughtBack(row, w.dropped[row.Key].at.Add(-merging)) {
			w.complainLocked("%s@%d was dropped, and is back without the answer to a later sync", row.Key, row.Revision)
		}
	}
	if !wasHeld || was.version() != row.version() {
		w.since[row.Key] = now
	}
}

func short(text string) string {
	if len(text) > 400 {
		return text[:400] + "…"
	}
	return text
}

// everything is what a page shows where nobody says what to watch.
var everything = []watched{read(`{"entity_type":"*"}`)}

func (w *world) watch(next watch) {
	w.views = nil
	var texts []string
	for _, n := range next.Views {
		w.views = append(w.views, read(menu[n]))
		texts = append(texts, menu[n])
	}
	if len(w.views) == 0 {
		w.views = everything
	}
	w.tell(order{Do: "watch", Views: json.RawMessage("[" + strings.Join(texts, ",") + "]")})
}

// verdict says what is not right yet.
func (w *world) verdict() string {
	w.ask(true)
	switch {
	case w.last.After != "live":
		return fmt.Sprintf("nothing goes wrong any more, and the page says that it is %s", w.last.After)
	case len(w.judge.rows) > 0 && !w.synced:
		return "the page holds something, and its last sync was answered by a snapshot"
	}
	return w.judge.shows(w.views, w.last.Shown)
}

// # The network

func (w *world) called(c call) {
	w.note("  %s %d %s", c.Do, c.Socket, short(c.Text))
	switch c.Do {
	case "open":
		w.dial(c.Socket)
	case "send":
		w.send(w.sockets[c.Socket-1], c.Text)
	case "close":
		w.hangUp(w.sockets[c.Socket-1])
	}
}

func (w *world) dial(number int) {
	s := &socket{number: number, fate: fateOf(w, w.schedule.Sockets, number-1)}
	w.sockets = append(w.sockets, s)
	dial := max(s.fate.Dial, 10*time.Millisecond)
	switch s.fate.Opens {
	case 1:
		w.after(dial, func() { w.tell(order{Do: "close", Socket: number}) })
		return
	case 2:
		return
	}
	w.after(dial/2, func() {
		s.connectedAt = time.Now()
		status := w.connect(s.id(), home)
		w.after(dial/2, func() {
			switch {
			case s.gone:
			case status != http.StatusOK:
				w.complainLocked("%s cannot connect: %d", s.id(), status)
			default:
				w.accept(s)
			}
		})
	})
}

func (w *world) accept(s *socket) {
	s.open = true
	w.tell(order{Do: "open", Socket: s.number})
	w.after(w.schedule.Lifetime, func() { w.end(s) })
	if s.fate.Ends > 0 {
		w.after(s.fate.Ends, func() {
			switch {
			case w.healed:
			case s.fate.Silent:
				w.note("socket %d is dead", s.number)
				s.dead = true
			default:
				w.end(s)
			}
		})
	}
}

// end is the gateway's end of a connection.
func (w *world) end(s *socket) {
	if s.gone || w.over {
		return
	}
	wasDead := s.dead
	w.forget(s)
	if !wasDead {
		w.tell(order{Do: "close", Socket: s.number})
	}
}

// hangUp is the page's. Of a dead socket the gateway does not hear it.
func (w *world) hangUp(s *socket) {
	if s.dead || !s.open {
		s.dead = s.open
		s.gone = s.gone || !s.open
		return
	}
	w.forget(s)
}

func (w *world) forget(s *socket) {
	s.gone, s.open = true, false
	if s.fate.Goodbye < 0 {
		return
	}
	w.after(s.fate.Goodbye, func() {
		if _, err := w.session.Disconnect(context.Background(), request(s.id(), "")); err != nil {
			w.complainLocked("%v", err)
		}
	})
}

func (w *world) connect(id, tenant string) int {
	r := request(id, "")
	r.RequestContext.ConnectedAt = time.Now().UnixMilli()
	r.RequestContext.Authorizer = map[string]any{"tenant": tenant, "subject": "somebody", "session": "one", "entity_types": "*"}
	response, err := w.session.Connect(context.Background(), r)
	if err != nil {
		w.complainLocked("%v", err)
	}
	return response.StatusCode
}

func request(id, body string) events.APIGatewayWebsocketProxyRequest {
	return events.APIGatewayWebsocketProxyRequest{
		Body: body, RequestContext: events.APIGatewayWebsocketProxyRequestContext{ConnectionID: id, RequestID: "r"},
	}
}

func (w *world) find(id string) *socket {
	for _, s := range w.sockets {
		if s.id() == id {
			return s
		}
	}
	return nil
}

// handling is what the context of a handler says of it.
type handling struct {
	number int
	fate   commandFate
	posts  int
	marks  int       // there were when it began
	stored time.Time // what the connection watches
}

type handlingKey struct{}

func handlingOf(ctx context.Context) *handling {
	h, ok := ctx.Value(handlingKey{}).(*handling)
	if !ok {
		return &handling{}
	}
	return h
}

func (w *world) send(s *socket, text string) {
	var c struct {
		SyncID int64 `json:"sync_id"`
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		w.t.Fatal(err)
	}
	w.heard.answers[answered{s.number, c.SyncID}] = &said{sentAt: time.Now(), parts: map[int]bool{}, named: map[string]contracts.Version{}}
	fate := fateOf(w, w.schedule.Commands, w.commands)
	w.commands++
	if s.dead || fate.Lost {
		return
	}
	arrive := func(after time.Duration) {
		w.after(after, func() {
			if !s.gone {
				w.handle(s.id(), text, fate)
			}
		})
	}
	arrive(fate.Travel)
	if fate.Again > 0 {
		arrive(fate.Travel + fate.Again)
	}
}

func (w *world) handle(id, text string, fate commandFate) {
	w.noise++
	h := &handling{number: int(w.noise), fate: fate}
	ctx := context.WithValue(context.Background(), handlingKey{}, h)
	w.note("handler %d of %s begins", h.number, id)
	go func() {
		if _, err := w.sandboxes[fate.Sandbox].Handle(ctx, request(id, text)); err != nil {
			w.complain("%v", err)
		}
	}()
}

func (w *world) neighbourAsks(sandbox int) {
	w.syncs++
	text := fmt.Sprintf(`{"action":"sync","sync_id":%d,"views":[{"entity_type":"*"}]}`, w.syncs)
	w.handle(neighbour, text, commandFate{Sandbox: sandbox})
}

// subscribe is before the registry stores what a connection watches.
func (w *world) subscribe(ctx context.Context, id string) error {
	h := handlingOf(ctx)
	time.Sleep(h.fate.Subscribe + apart(uint64(h.number), 1))
	w.do(func() { h.marks, h.stored = w.marked[id], time.Now() })
	if h.fate.Fails {
		return fault.Newf("registry.Subscribe", fault.Transient, "planned")
	}
	return nil
}

// mark is before it notes that a connection must synchronise, or has.
func (w *world) mark(ctx context.Context, _ string) error {
	if handlingOf(ctx).fate.MarkFails {
		return fault.Newf("registry.ClearResync", fault.Transient, "planned")
	}
	return nil
}

// readPage is before a page of the table is read.
func (w *world) readPage(_ context.Context, r state.Range, page int) error {
	kinds := []string{"student", "tutor", "insight", "subject", "region"}
	kind := slices.Index(kinds, r.EntityType)
	w.mu.Lock()
	if page == 0 {
		w.readAt = time.Now()
	}
	n := w.pageReads[r.EntityType]
	w.pageReads[r.EntityType]++
	fate := fateOf(w, w.schedule.Pages, n*len(kinds)+kind)
	w.mu.Unlock()
	time.Sleep(fate.Wait + apart(uint64(n), uint64(kind), 2))
	if fate.Fails {
		return fault.Newf("state.List", fault.Transient, "planned")
	}
	return nil
}

// Post makes the world a gateway.
func (w *world) Post(ctx context.Context, id string, f *gateway.Frame, timeout time.Duration) error {
	h := handlingOf(ctx)
	w.mu.Lock()
	way := fateOf(w, h.fate.Posts, h.posts)
	h.posts++
	own := apart(uint64(h.number), uint64(h.posts), 3) + time.Duration(h.posts)*time.Microsecond
	text := string(f.Text())
	if strings.HasPrefix(text, `{"type":"SNAPSHOT"`) && w.readAt.Before(h.stored) {
		w.complainLocked("%s is sent a snapshot, and the table was not read since its views were stored", id)
	}
	err := w.post(id, text, way, own)
	w.mu.Unlock()
	if err != nil {
		time.Sleep(own)
		return err
	}
	if way.Wait >= timeout {
		time.Sleep(timeout + own)
		return fault.Newf("gateway.Post", fault.Transient, "planned") // and it arrives nevertheless
	}
	time.Sleep(way.Wait + own)
	if way.Fails != fault.Internal {
		return fault.Newf("gateway.Post", way.Fails, "planned")
	}
	if strings.HasPrefix(text, `{"type":"SNAPSHOT"`) && strings.Contains(text, `"digest":`) { // its last part
		w.do(func() { w.mended[id] = max(w.mended[id], h.marks) })
	}
	return nil
}

// post sends a frame on its way. Where it fails and is not lost, it arrives all the same.
func (w *world) post(id, text string, way trip, own time.Duration) error {
	if id == neighbour {
		w.audit(text)
		return nil
	}
	s := w.find(id)
	if s == nil || !s.open {
		return fault.Newf("gateway.Post", fault.Gone, "no such connection")
	}
	w.note("post to %s: %+v %s", id, way, short(text))
	if way.Lost || s.dead {
		return nil
	}
	for n := range way.Copies + 1 {
		w.at(way.Wait+way.Delay*time.Duration(n+1)+own, func() {
			if s.open && !s.dead && !s.gone {
				w.tell(order{Do: "hear", Socket: s.number, Text: text})
			}
		})
	}
	return nil
}

// audit complains if the neighbour is sent what is not its tenant's.
func (w *world) audit(text string) {
	var f frame
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		w.complainLocked("no frame: %v", err)
	}
	for _, u := range slices.Concat(f.Entities, f.Insights, f.Data) {
		if u.Operation != string(contracts.UpdateOperationUpsert) {
			continue
		}
		row := held{Key: u.key(), Epoch: u.Version.Epoch, Revision: u.Version.Revision, Attributes: u.Attributes}
		if complaint := w.judge.was(elsewhere, row); complaint != "" {
			w.complainLocked("the neighbour is sent what is not its own: %s", complaint)
		}
	}
}

// # The table, and the fan-out

// event is what the fan-out is told of a write.
type event struct {
	number          int
	key             state.Key
	version         contracts.Version
	current, before json.RawMessage // nil: there is none
	writtenAt       string
}

func (w *world) write(n int, of write) {
	e := w.apply(of)
	e.number = n
	w.note("write %d: %s/%s@%d %s", n, e.key.Tenant, e.key.EntityID, e.version.Revision, short(string(e.current)))
	w.after(of.ReadAfter, func() { w.fanOut(e) })
	if of.Again > 0 {
		w.after(of.ReadAfter+of.Again, func() { w.fanOut(e) })
	}
}

const timestampForm = "2006-01-02T15:04:05.000Z"

// apply stores a state.
func (w *world) apply(of write) event {
	w.writes++
	tenant := home
	if of.Neighbour {
		tenant = elsewhere
	}
	key := state.Key{Tenant: tenant, EntityType: of.Kind, EntityID: of.ID}
	name := of.Kind + "/" + of.ID
	attributes := map[string]any{"sessions_7d": float64(w.writes)}
	if of.Kind == "insight" {
		hoursAgo := []time.Duration{0, 5, 24, 30, 60}[of.Instant]
		found := w.begin.Add(-hoursAgo * time.Hour).UTC()
		id := contracts.InsightID{Pk: "insight#" + of.ID, Sk: found.Format(timestampForm)}
		key, name = state.InsightKey(tenant, id), "insight/"+id.Pk+"\t"+id.Sk
		attributes = map[string]any{
			"entity_id": of.ID, "prediction_type": "low_health_score", "risk_band": "info", "risk_score": of.Score,
			"timestamp": id.Sk, "explanation": fmt.Sprint("reason ", w.writes),
		}
		if of.Score >= 80 {
			attributes["risk_band"] = "critical"
		}
		if w.schedule.Large {
			attributes["recommendations"] = slices.Repeat([]any{strings.Repeat("é", 480)}, 16) // two fill a part
		}
	} else if of.Segment != "" {
		attributes["segment"], attributes["health_score"] = of.Segment, of.Score
		attributes["last_updated"] = []string{
			"2000-01-01T10:00:00.000Z", "2000-01-01T09:59:59.999Z", "2000-01-01T11:00:00.001+01:00", "2000-01-01T10:00:00+02:00", "2000-01-01T10:00:00.0000001Z",
		}[of.Instant]
	}
	now := time.Now()
	c := state.Change{Key: key, At: state.Position{Label: "l", Sequence: fmt.Sprint(w.writes)}, WrittenAt: now}
	if of.Score < 0 {
		attributes = nil
	} else {
		c.Image = encode(attributes)
	}
	before, _, err := w.table.Get(context.Background(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	result, err := w.table.Apply(context.Background(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	if revision := w.judge.written(tenant, of.Kind, name, attributes); result.Version != (contracts.Version{Epoch: epoch, Revision: revision}) {
		w.complainLocked("%s has the version %v, want %d", name, result.Version, revision)
	}
	return event{key: key, version: result.Version, current: c.Image, before: before.Image, writtenAt: now.UTC().Format(timestampForm)}
}

func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// fanOut reads who watches, and posts what each is to know: the stage's rules, in one breath.
func (w *world) fanOut(e event) {
	q := registry.Query{Tenant: e.key.Tenant, Types: []string{e.key.EntityType}}
	for page, err := range w.registry.Watching(context.Background(), q) {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, watcher := range page {
			if watcher.Tenant != e.key.Tenant {
				w.complainLocked("the registry names a connection of %s for %s", watcher.Tenant, e.key.Tenant)
			}
			if !watcher.Resync && w.marked[watcher.ID] > w.mended[watcher.ID] {
				w.complainLocked("%s was marked, and is not any more, though it was not sent all", watcher.ID)
			}
			w.deliver(e, watcher)
		}
	}
}

func (w *world) deliver(e event, to registry.Watcher) {
	number := uint64(0)
	if s := w.find(to.ID); s != nil {
		number = uint64(s.number)
	}
	way := fateOf(w, w.schedule.Updates, 2*e.number+int(number%2))
	own := apart(uint64(e.number), number, 4)
	if to.Resync && !w.told[to.ID] && !way.Lost {
		w.told[to.ID] = true
		resync := fmt.Sprintf(`{"type":"RESYNC","version":1,"timestamp":%q}`, time.Now().UTC().Format(timestampForm))
		_ = w.post(to.ID, resync, way, own+apart(5)) // if it is gone, so is what follows
	}
	text := e.frame(to)
	if text == nil {
		return
	}
	err := w.post(to.ID, string(text), way, own)
	if s := w.find(to.ID); err != nil && s != nil && !s.gone && time.Since(s.connectedAt) < 10*time.Second {
		// Its handshake has not finished: it is asked again.
		w.at(250*time.Millisecond+own, func() { w.deliver(e, to) })
		return
	}
	if way.Lost && way.Marked && err == nil {
		w.told[to.ID] = false
		w.marked[to.ID]++
		if err := w.registry.MarkResync(context.Background(), to.ID); err != nil {
			w.t.Fatal(err)
		}
	}
}

// frame is what a connection is to know of a change; nil: nothing.
func (e event) frame(to registry.Watcher) []byte {
	set := view.Everything()
	if to.Views != registry.Everything {
		parsed, err := view.Parse(to.Views)
		if err != nil {
			panic(err)
		}
		set = parsed
	}
	u := update{Operation: string(contracts.UpdateOperationRemove), Version: e.version, WrittenAt: e.writtenAt}
	kind := contracts.MetricUpdateFrameV1Type
	u.EntityType, u.EntityID = e.key.EntityType, e.key.EntityID
	if id, ok := e.key.InsightID(); ok {
		kind, u.InsightID, u.EntityType, u.EntityID = contracts.InsightCreatedFrameV1Type, &id, "", ""
	}
	fields, matches := set.Match(e.key.EntityType, view.NewImage(e.current))
	_, matched := set.Match(e.key.EntityType, view.NewImage(e.before))
	known := matched || e.before == nil && (e.current == nil || e.version.Revision > 1)
	switch {
	case matches:
		u.Operation = string(contracts.UpdateOperationUpsert)
		if err := json.Unmarshal(fields.Project(e.key.EntityType, e.current), &u.Attributes); err != nil {
			panic(err)
		}
		if u.Attributes == nil {
			u.Attributes = map[string]any{}
		}
	case e.current == nil && known:
		u.Reason = string(contracts.RemovalReasonDeleted)
	case e.current != nil && known:
		u.Reason = string(contracts.RemovalReasonLeftView)
	default:
		return nil
	}
	document := map[string]any{"type": kind, "version": 1, "timestamp": time.Now().UTC().Format(timestampForm), "data": []update{u}}
	return encode(document)
}
