package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/logtest"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/session"
)

// rig is a Sync between fakes.
type rig struct {
	t        testing.TB
	registry *memregistry.Registry
	table    *memstate.Table
	gateway  *memgateway.Gateway
	session  *session.Sync
	log      *logtest.Log

	mu       sync.Mutex
	failPage func(r state.Range, n int) error
	begun    int // lists
	sequence int
}

func newRig(t *testing.T, change func(*session.SyncConfig)) *rig {
	t.Helper()
	r := &rig{t: t, registry: &memregistry.Registry{}, table: memstate.New(epoch), gateway: &memgateway.Gateway{}, log: &logtest.Log{}}
	r.table.OnPage = func(_ context.Context, which state.Range, n int) error {
		r.mu.Lock()
		if n == 0 {
			r.begun++
		}
		fail := r.failPage
		r.mu.Unlock()
		if fail != nil {
			return fail(which, n)
		}
		return nil
	}
	config := session.SyncConfig{
		Registry: r.registry, State: r.table, Gateway: r.gateway, Closer: r.gateway, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	if change != nil {
		change(&config)
	}
	var err error
	if r.session, err = session.NewSync(config); err != nil {
		t.Fatal(err)
	}
	return r
}

// onPage has f called before each page of the table, which fails with its error.
func (r *rig) onPage(f func(r state.Range, n int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failPage = f
}

// lists is how many lists of the table were begun.
func (r *rig) lists() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

func (r *rig) open(tenant, id string) {
	r.t.Helper()
	if err := r.registry.Open(context.Background(), registry.Connection{ID: id, Tenant: tenant, ConnectedAt: time.Now()}); err != nil {
		r.t.Fatal(err)
	}
	r.gateway.Open(id)
}

func (r *rig) mark(id string) {
	r.t.Helper()
	if err := r.registry.MarkResync(context.Background(), id); err != nil {
		r.t.Fatal(err)
	}
}

// put stores the next state of an entity; without an image, a tombstone.
func (r *rig) put(tenant, entityType, id, image string) {
	r.t.Helper()
	r.mu.Lock()
	r.sequence++
	c := state.Change{
		Key:       state.Key{Tenant: tenant, EntityType: entityType, EntityID: id},
		At:        state.Position{Label: "l", Sequence: fmt.Sprint(r.sequence)},
		WrittenAt: time.Date(2026, 11, 22, 10, 0, 0, 123_000_000, time.UTC),
	}
	r.mu.Unlock()
	if image != "" {
		c.Image = json.RawMessage(image)
	}
	if _, err := r.table.Apply(context.Background(), c); err != nil {
		r.t.Fatal(err)
	}
}

// found stores an insight about an entity.
func (r *rig) found(tenant, entity, at string, score int) {
	r.t.Helper()
	k := state.InsightKey(tenant, contracts.InsightID{Pk: "insight#" + entity, Sk: at})
	r.put(tenant, k.EntityType, k.EntityID, fmt.Sprintf(
		`{"entity_id":%q,"prediction_type":"low_health_score","risk_band":%q,"risk_score":%d,"timestamp":%q}`,
		entity, contracts.RiskBandOf(float64(score)), score, at))
}

func syncText(syncID int64, views, more string) string {
	return fmt.Sprintf(`{"action":"sync","sync_id":%d,"views":%s%s}`, syncID, views, more)
}

func (r *rig) sync(id string, syncID int, views, digest string) {
	r.t.Helper()
	r.syncWith(id, int64(syncID), views, digest)
}

func (r *rig) syncWith(id string, syncID int64, views, digest string) {
	r.t.Helper()
	more := ""
	if digest != "" {
		more = `,"digest":"` + digest + `"`
	}
	r.send(id, syncText(syncID, views, more))
}

func (r *rig) send(id, body string) {
	r.t.Helper()
	r.sendIn(context.Background(), id, body)
}

// sendIn hands a message over as API Gateway does.
func (r *rig) sendIn(ctx context.Context, id, body string) {
	r.t.Helper()
	r.hand(ctx, id, events.APIGatewayWebsocketProxyRequest{Body: body})
}

// sendBinary hands over a binary message, in base64.
func (r *rig) sendBinary(id, body string) {
	r.t.Helper()
	r.hand(context.Background(), id, events.APIGatewayWebsocketProxyRequest{Body: body, IsBase64Encoded: true})
}

func (r *rig) hand(ctx context.Context, id string, message events.APIGatewayWebsocketProxyRequest) {
	r.t.Helper()
	r.handTo(ctx, r.session, id, message)
}

func (r *rig) handTo(ctx context.Context, to *session.Sync, id string, message events.APIGatewayWebsocketProxyRequest) {
	r.t.Helper()
	response, err := to.Handle(ctx, events.APIGatewayWebsocketProxyRequest{
		Body: message.Body, IsBase64Encoded: message.IsBase64Encoded,
		RequestContext: events.APIGatewayWebsocketProxyRequestContext{
			ConnectionID: id, RouteKey: "sync", EventType: "MESSAGE", RequestID: "R1knPc2ntjMCFIA=",
			Identity: events.APIGatewayRequestIdentity{SourceIP: "192.0.2.1"},
		},
	})
	if err != nil || response.StatusCode != 200 || response.Body != "" {
		r.t.Errorf("Handle() = %+v, %v", response, err)
	}
}

// answers are the frames that a connection was sent. Each keeps its contract.
func (r *rig) answers(id string) []string {
	r.t.Helper()
	var all []string
	for _, f := range r.gateway.Frames(id) {
		var head struct{ Type string }
		if err := json.Unmarshal(f, &head); err != nil {
			r.t.Fatal(err)
		}
		kind := contracts.Kind("frames/" + strings.ToLower(head.Type) + "/v1")
		if err := contracts.ValidateProducer(kind, f); err != nil && !strings.Contains(string(f), `"segment":"xxx`) {
			r.t.Errorf("a frame breaks its contract: %v: %.300s", err, f)
		}
		if len(f) > contracts.MaxFrameBytes {
			r.t.Errorf("a frame of %d bytes", len(f))
		}
		all = append(all, string(f))
	}
	return all
}

// brief says of each frame what matters: "SNAPSHOT sync-id part/parts rows", "SYNCED sync-id",
// "ERROR sync-id code" or "RECONNECT ms". It checks the digest of a snapshot of one part.
func (r *rig) brief(id string) []string {
	r.t.Helper()
	var all []string
	for _, text := range r.answers(id) {
		var f struct {
			Type, Code string
			SyncID     int64 `json:"sync_id"`
			WithinMS   int64 `json:"within_ms"`
		}
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			r.t.Fatal(err)
		}
		switch f.Type {
		case contracts.SnapshotFrameV1Type:
			var s contracts.SnapshotFrameV1
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				r.t.Fatal(err)
			}
			if s.Parts == 1 && s.Covers == nil {
				if want := digestOf(s); *s.Digest != want {
					r.t.Errorf("the digest is %s, want %s", *s.Digest, want)
				}
			}
			rows := rowsOf(s)
			slices.Sort(rows)
			all = append(all, strings.TrimSpace(fmt.Sprintf("SNAPSHOT %d %d/%d %s", s.SyncID, s.Part, s.Parts, strings.Join(rows, " "))))
		case contracts.ErrorFrameV1Type:
			all = append(all, fmt.Sprintf("ERROR %d %s", f.SyncID, f.Code))
		case contracts.ReconnectFrameV1Type:
			all = append(all, fmt.Sprintf("RECONNECT %d", f.WithinMS))
		default:
			all = append(all, fmt.Sprintf("%s %d", f.Type, f.SyncID))
		}
	}
	return all
}

func rowsOf(f contracts.SnapshotFrameV1) []string {
	var rows []string
	for _, u := range f.Entities {
		rows = append(rows, fmt.Sprintf("%s/%s@%d", u.EntityType, u.EntityID, u.Version.Revision))
	}
	for _, u := range f.Insights {
		rows = append(rows, fmt.Sprintf("%s@%d", u.InsightID.Pk, u.Version.Revision))
	}
	return rows
}

func digestOf(f contracts.SnapshotFrameV1) string {
	var rows []contracts.DigestRow
	for _, u := range f.Entities {
		rows = append(rows, contracts.DigestRow{Key: contracts.EntityDigestKey(string(u.EntityType), u.EntityID), Version: u.Version})
	}
	for _, u := range f.Insights {
		rows = append(rows, contracts.DigestRow{Key: contracts.InsightDigestKey(u.InsightID), Version: u.Version})
	}
	return contracts.Digest(rows)
}

// wantAnswers compares the last frames.
func (r *rig) wantAnswers(id string, want ...string) {
	r.t.Helper()
	got := r.brief(id)
	if got = got[max(0, len(got)-len(want)):]; !slices.Equal(got, want) {
		r.t.Errorf("answered %q, want %q", got, want)
	}
}

// digest is that of the last snapshot.
func (r *rig) digest(id string) string {
	r.t.Helper()
	for _, text := range slices.Backward(r.answers(id)) {
		var f contracts.SnapshotFrameV1
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			r.t.Fatal(err)
		}
		if f.Digest != nil {
			return *f.Digest
		}
	}
	r.t.Fatal("there was no snapshot")
	return ""
}

// watching lists what a tenant's connections watch.
func (r *rig) watching(tenant string) []string {
	var all []string
	for _, w := range r.watchers(tenant) {
		all = append(all, w.Type+" "+w.Views)
	}
	slices.Sort(all)
	return all
}

func (r *rig) marked(tenant string) bool {
	return slices.ContainsFunc(r.watchers(tenant), func(w registry.Watcher) bool { return w.Resync })
}

func (r *rig) watchers(tenant string) []registry.Watcher {
	r.t.Helper()
	var all []registry.Watcher
	for page, err := range r.registry.Watching(context.Background(), registry.Query{Tenant: tenant, Types: []string{"student", "tutor", "subject", "region", "insight"}}) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, page...)
	}
	return all
}

func failure(kind fault.Kind) error { return fault.Newf("planted", kind, "planted") }
