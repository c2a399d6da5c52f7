package local_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

// What was written before a socket opened is there after a sync, and a sync that lacks nothing says so.
func TestSync(t *testing.T) {
	stack := start(t, local.Options{})
	c := newClients(stack.Env())
	var all, weak []string
	for n := range 150 {
		id := fmt.Sprintf("stu_%03d", n)
		c.update(t, "student", id, row{"health_score": n % 100, "segment": "at_risk", "sessions_7d": n, "last_updated": "2026-11-22T10:00:00.123Z"})
		all = append(all, "student/"+id)
		if n%100 < 20 {
			weak = append(weak, "student/"+id)
		}
	}
	for n := range 5 {
		id := fmt.Sprint("tut_", n)
		c.update(t, "tutor", id, row{"avg_rating": 4.5})
		all = append(all, "tutor/"+id)
	}
	c.update(t, "region", "reg_gone", row{"health_score": 1})
	c.remove(t, "region", "reg_gone")
	for n, age := range []time.Duration{0, 2 * time.Hour, 60 * time.Hour} {
		at := time.Now().Add(-age).UTC().Format("2006-01-02T15:04:05.000Z")
		entity := fmt.Sprint("stu_00", n)
		c.find(t, row{"pk": "insight#" + entity, "sk": at, "entity_id": entity, "prediction_type": "low_health_score", "risk_score": 84, "timestamp": at})
		if age < 24*time.Hour {
			all = append(all, "insight#"+entity)
		}
	}
	eventually(t, "the rows to be in the state table", func() bool {
		return c.stateRows(t, "attribute_exists(image)") == 150+5+3 && c.stateRows(t, "attribute_exists(expires_at)") == 1
	})

	ws := c.connect(t)
	ws.send(t, `{"action":"sync","sync_id":1,"contracts":["METRIC_UPDATE/1","INSIGHT_CREATED/1"],"views":[{"entity_type":"*"}]}`)
	got, digest := ws.snapshot(t, 1)
	wantRows(t, got, all)
	if got["student/stu_007"] != `{"health_score":7,"last_updated":"2026-11-22T10:00:00.123Z","segment":"at_risk","sessions_7d":7}` {
		t.Errorf("stu_007 is %s", got["student/stu_007"])
	}

	ws.send(t, `{"action":"sync","sync_id":2,"views":[{"entity_type":"*"}],"digest":"`+digest+`"}`)
	if head := ws.answer(t); head.Type != contracts.SyncedFrameV1Type || head.SyncID != 2 {
		t.Errorf("answered %+v", head)
	}

	weakViews := `[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":20}],"fields":["health_score"]}]`
	ws.send(t, `{"action":"sync","sync_id":3,"views":`+weakViews+`,"digest":"`+digest+`"}`)
	got, digest = ws.snapshot(t, 3)
	wantRows(t, got, weak)
	if got["student/stu_007"] != `{"health_score":7}` {
		t.Errorf("stu_007 is %s", got["student/stu_007"])
	}

	// The fan-out knows the new views, and the digest covers what it brings.
	c.update(t, "tutor", "tut_0", row{"avg_rating": 1})
	c.update(t, "student", "stu_050", row{"health_score": 19})
	u := ws.waitFor(t, "stu_050")
	if string(u.Attributes) != `{"health_score":19}` || ws.saw("tut_0") {
		t.Errorf("got %+v, %s; tut_0: %t", u, u.Attributes, ws.saw("tut_0"))
	}
	ws.send(t, `{"action":"sync","sync_id":4,"views":`+weakViews+`,"digest":"`+digest+`"}`)
	got, _ = ws.snapshot(t, 4)
	wantRows(t, got, append(weak, "student/stu_050"))

	for _, refused := range []struct{ body, want string }{
		{`nonsense`, "INVALID"},
		{`{"action":"sync","sync_id":5,"views":[{"entity_type":"salary"}]}`, "INVALID"},
		{`{"action":"unsubscribe"}`, "UNKNOWN_ACTION"},
		{`{"action":"sync","sync_id":5,"views":[],"digest":"` + strings.Repeat("a", 5000) + `"}`, "TOO_LARGE"},
		{`{"action":"sync","sync_id":3,"views":[]}`, "SUPERSEDED"},
	} {
		ws.send(t, refused.body)
		if head := ws.answer(t); head.Type != contracts.ErrorFrameV1Type || head.Code != refused.want {
			t.Errorf("%s: answered %+v, want %s", refused.body, head, refused.want)
		}
	}
	if n := c.viewRows(t); n != 1 {
		t.Errorf("%d view rows for one view", n)
	}
	ws.close(t)
	eventually(t, "its rows to go", func() bool { return c.viewRows(t) == 0 })
}

// A connection that nears its end is told to move, and ends.
func TestConnectionIsToldToMove(t *testing.T) {
	t.Parallel()
	system := topology.New(topology.Options{Lifetime: 10 * time.Second})
	for _, f := range system.Functions {
		if f.Command == "sync" {
			f.Environment["RECONNECT_AFTER"] = topology.Ref{Kind: topology.Literal, Name: "1ms"}
		}
	}
	stack := start(t, local.Options{Topology: system})
	ws := newClients(stack.Env()).connect(t)
	ws.send(t, `{"action":"sync","sync_id":1,"views":[]}`)
	ws.snapshot(t, 1)
	head := ws.answer(t)
	if head.Type != contracts.ReconnectFrameV1Type || head.WithinMS <= 0 || head.WithinMS > 10_000 {
		t.Errorf("told %+v", head)
	}
	select {
	case <-ws.ended:
	case <-time.After(patience):
		t.Error("the connection does not end")
	}
}

// answerHead is what the answers to a command have in common.
type answerHead struct {
	Type, Code string
	SyncID     int64 `json:"sync_id"`
	WithinMS   int64 `json:"within_ms"`
}

func (ws *client) send(t *testing.T, body string) {
	t.Helper()
	if err := ws.conn.Write(t.Context(), websocket.MessageText, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func (ws *client) nextAnswer(t *testing.T) []byte {
	t.Helper()
	select {
	case b := <-ws.answers:
		return b
	case <-time.After(patience):
		t.Fatal("there is no answer")
		return nil
	}
}

func (ws *client) answer(t *testing.T) answerHead {
	t.Helper()
	var head answerHead
	b := ws.nextAnswer(t)
	if err := json.Unmarshal(b, &head); err != nil {
		t.Fatal(err)
	}
	return head
}

// snapshot waits for all parts, and returns the attributes of each row, and the digest. It checks the digest.
func (ws *client) snapshot(t *testing.T, syncID int64) (rows map[string]string, digest string) {
	t.Helper()
	rows = map[string]string{}
	var held []contracts.DigestRow
	for parts := int64(1); parts > 0; parts-- {
		var f contracts.SnapshotFrameV1
		b := ws.nextAnswer(t)
		if err := json.Unmarshal(b, &f); err != nil || f.Type != contracts.SnapshotFrameV1Type || f.SyncID != syncID {
			t.Fatalf("answered %.300s, %v; want a part of the snapshot %d", b, err, syncID)
		}
		if len(rows) == 0 && f.Parts > 1 {
			parts = f.Parts
		}
		for _, u := range f.Entities {
			rows[string(u.EntityType)+"/"+u.EntityID] = string(u.Attributes)
			held = append(held, contracts.DigestRow{Key: contracts.EntityDigestKey(string(u.EntityType), u.EntityID), Version: u.Version})
		}
		for _, u := range f.Insights {
			rows[u.InsightID.Pk] = string(u.Attributes)
			held = append(held, contracts.DigestRow{Key: contracts.InsightDigestKey(u.InsightID), Version: u.Version})
		}
		if f.Digest != nil {
			digest = *f.Digest
		}
	}
	if want := contracts.Digest(held); digest != want {
		t.Errorf("the digest is %q, want %s", digest, want)
	}
	return rows, digest
}

func wantRows(t *testing.T, got map[string]string, want []string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	if ids := slices.Sorted(maps.Keys(got)); !slices.Equal(ids, want) {
		t.Errorf("the snapshot has %d rows, want %d:\n%q\n%q", len(ids), len(want), ids, want)
	}
}

// stateRows counts the rows of the state table that pass a filter.
func (c clients) stateRows(t *testing.T, filter string) int {
	t.Helper()
	count := 0
	pages := dynamodb.NewScanPaginator(c.dynamo, &dynamodb.ScanInput{
		TableName: aws.String(c.env["STATE_TABLE"]), ConsistentRead: aws.Bool(true), Select: types.SelectCount,
		FilterExpression: &filter,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		count += int(page.Count)
	}
	return count
}
