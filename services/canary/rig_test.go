package canary_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/canary"
	"github.com/iops-dashboard/live/services/internal/logtest"
	"github.com/iops-dashboard/live/services/internal/row"
	"github.com/iops-dashboard/live/services/internal/row/memrow"
	"github.com/iops-dashboard/live/services/internal/ticket"
	"github.com/iops-dashboard/live/services/internal/ticket/memticket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tenant = "canary"

// service is the system as a canary sees it, in memory: testing/synctest owns its clock. What its hooks do not change goes
// well.
type service struct {
	t       *testing.T
	tickets remembered
	rows    memrow.Table
	meter   meter
	log     logtest.Log
	dial    func(ctx context.Context) (net.Conn, error)

	handshake func(w http.ResponseWriter, r *http.Request) bool // false: it goes on
	answer    func(syncID int64) []string                       // frames
	show      func(r row.Row) []string                          // frames, after a write
	deaf      bool                                              // it reads no more after the sync

	transport *http.Transport
	server    *http.Server
	work      sync.WaitGroup

	mu       sync.Mutex
	conn     *websocket.Conn
	grants   []ticket.Grant
	commands []string
	ends     []websocket.StatusCode
}

// remembered are tickets of which it is known what they were.
type remembered struct {
	memticket.Tickets
	texts []string
}

func (r *remembered) Issue(ctx context.Context, g ticket.Grant, lifetime time.Duration) (ticket.Ticket, error) {
	issued, err := r.Tickets.Issue(ctx, g, lifetime)
	if err == nil {
		r.texts = append(r.texts, issued.Text)
	}
	return issued, err
}

type meter struct{ latencies []time.Duration }

func (m *meter) Succeeded(latency time.Duration) { m.latencies = append(m.latencies, latency) }

func newService(t *testing.T) *service {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &service{t: t, dial: l.dial}
	s.answer = func(id int64) []string { return []string{snapshot(id, 1, 1)} }
	s.show = func(r row.Row) []string { return []string{showing(r)} }
	s.rows.Written = func(r row.Row) {
		s.work.Go(func() { s.post(s.show(r)...) })
	}
	s.transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx) }}
	s.server = &http.Server{Handler: s}
	s.work.Go(func() { _ = s.server.Serve(l) })
	return s
}

// run has a canary run once, with so much time, and takes the service down. It returns how long it took, and its error.
func (s *service) run(limit time.Duration) (time.Duration, error) {
	s.t.Helper()
	c, err := canary.New(canary.Config{
		Tickets: &s.tickets, Rows: &s.rows, SocketURL: "ws://gateway.test/prod", Tenant: tenant, Meter: &s.meter,
		Log: slog.New(slog.NewJSONHandler(&s.log, nil)), Transport: s.transport,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	start := time.Now()
	err = c.Handle(ctx)
	took := time.Since(start)
	_ = s.server.Close()
	s.transport.CloseIdleConnections()
	s.work.Wait()
	for _, text := range s.tickets.texts {
		if strings.Contains(s.log.String(), text) || err != nil && strings.Contains(err.Error(), text) {
			s.t.Errorf("the ticket is told by %v, or by\n%s", err, &s.log)
		}
	}
	return took, err
}

// ServeHTTP is the gateway, with its authorizer and the functions behind it.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.handshake != nil && s.handshake(w, r) {
		return
	}
	grant, err := s.tickets.Redeem(r.Context(), r.URL.Query().Get("ticket"))
	if err != nil || r.Header.Get("Origin") != "" {
		s.t.Errorf("the handshake has no good ticket, or an origin: %v", err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.work.Go(func() { s.serve(conn, grant) })
}

func (s *service) serve(conn *websocket.Conn, grant ticket.Grant) {
	s.mu.Lock()
	s.conn, s.grants = conn, append(s.grants, grant)
	s.mu.Unlock()
	for {
		_, b, err := conn.Read(context.Background())
		if err != nil {
			s.mu.Lock()
			s.ends = append(s.ends, websocket.CloseStatus(err))
			s.mu.Unlock()
			return
		}
		var command contracts.SyncCommandV1
		if err := contracts.ValidateProducer(contracts.KindSyncCommandV1, b); err != nil || json.Unmarshal(b, &command) != nil {
			s.t.Errorf("%v in %s", err, b)
		}
		s.mu.Lock()
		s.commands = append(s.commands, string(b))
		s.mu.Unlock()
		s.post(s.answer(command.SyncID)...)
		if s.deaf {
			return
		}
	}
}

// The words that post understands besides frames.
const (
	hangUp = "hang up"
	pause  = "pause" // of 100 ms
)

// post sends frames. The canary may be gone by then.
func (s *service) post(frames ...string) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	for _, f := range frames {
		switch f {
		case hangUp:
			_ = conn.CloseNow()
		case pause:
			<-time.After(100 * time.Millisecond)
		default:
			if conn.Write(context.Background(), websocket.MessageText, []byte(f)) != nil {
				return
			}
		}
	}
}

const head = `"version":1,"timestamp":"2026-11-22T10:00:00.000Z"`

func snapshot(id, part, parts int64) string {
	return fmt.Sprintf(`{"type":"SNAPSHOT",%s,"sync_id":%d,"part":%d,"parts":%d,"entities":[],"insights":[]}`, head, id, part, parts)
}

func refused(code string) string {
	return fmt.Sprintf(`{"type":"ERROR",%s,"code":%q,"sync_id":1}`, head, code)
}

// update is a frame with some members of its one update, which override those of a good one.
func update(r row.Row, more ...string) string {
	members := map[string]string{
		"entity_type": `"student"`, "entity_id": `"canary"`, "operation": `"UPSERT"`, "version": `{"epoch":1,"revision":1}`,
		"attributes": attributes(r), "written_at": fmt.Sprintf("%q", r.Attributes["last_updated"]),
	}
	for i := 0; i < len(more); i += 2 {
		members[more[i]] = more[i+1]
	}
	var all []string
	for name, value := range members {
		if value != "" {
			all = append(all, fmt.Sprintf("%q:%s", name, value))
		}
	}
	slices.Sort(all)
	return fmt.Sprintf(`{"type":"METRIC_UPDATE",%s,"data":[{%s}]}`, head, strings.Join(all, ","))
}

func attributes(r row.Row) string {
	b, err := json.Marshal(r.Attributes)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// showing is the frame that shows a row.
func showing(r row.Row) string { return update(r) }

// pipes is a net.Listener without a network.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
