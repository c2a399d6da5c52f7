package local_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
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
	"github.com/iops-dashboard/live/infra/local/iam"
	"github.com/iops-dashboard/live/infra/topology"
)

// TestGrants runs each kind of system through all that it does. Nothing of that is refused, and nothing is granted that none
// of it needs: so the grants are neither less nor more than what the services do. See package iam for what this cannot tell.
func TestGrants(t *testing.T) {
	for name, o := range map[string]topology.Options{
		"open, workers":      {},
		"open, functions":    {FanoutFunction: true},
		"tickets, workers":   {Auth: topology.AuthTicket},
		"tickets, functions": {Auth: topology.AuthTicket, FanoutFunction: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRounds(t, o)
			for _, round := range []func(*testing.T){
				r.firstUse, r.updates, r.quarantine, r.deadLetters, r.syncs, r.entities, r.gross, r.slowReader, r.surplus, r.revocation, r.ended, r.canary, r.newborn,
			} {
				if round(t); t.Failed() {
					return // what comes after it is not done
				}
			}
			for _, call := range r.stack.Authority().Unused() {
				t.Errorf("granted, and of no use: %s", call)
			}
		})
	}
}

// nowhere is the name of the resources of withFailingTwins, on which nobody was granted anything.
const nowhere = "nowhere"

// wantNothingDenied sees that a system has done nothing that its topology does not grant.
func wantNothingDenied(t *testing.T, stack *local.Stack) {
	t.Helper()
	if stack.Authority() == nil { // a server is somebody else's
		return
	}
	for _, call := range stack.Authority().Denied() {
		if call.On != nowhere {
			t.Errorf("not granted: %s", call)
		}
	}
}

// rounds are what a system does, some with a hand in its tables: what would take minutes is made to have been.
type rounds struct {
	*visitors
	stack     *local.Stack
	answers   *failures
	scheduled []topology.Schedule // what runs when its round comes
	tickets   bool
	people    int
}

func newRounds(t *testing.T, o topology.Options) *rounds {
	t.Helper()
	system := topology.New(o)
	literal := func(text string) topology.Ref { return topology.Ref{Kind: topology.Literal, Name: text} }
	for i, w := range system.Workers {
		// A message that is worked on for 3 s is renewed.
		system.Workers[i].StopTimeout = 5 * time.Second
		w.Environment["FANOUT_VISIBILITY"] = literal("6s")
		for n, q := range system.Queues {
			if q.Name == w.Environment["FANOUT_QUEUE_URL"].Name {
				system.Queues[n].Visibility = 6 * time.Second
			}
		}
	}
	for _, f := range system.Functions {
		if f.Command == "connect" {
			f.Environment["CONNECTIONS_PER_USER"] = literal("1")
		}
	}
	answers := &failures{}
	stack := start(t, local.Options{Topology: unscheduled(system), Origins: []string{page}, Intercept: answers.wrap})
	return &rounds{
		visitors: &visitors{clients: newClients(stack.Env())}, stack: stack, answers: answers, scheduled: system.Schedules,
		tickets: o.Auth == topology.AuthTicket,
	}
}

// somebody is a new user.
func (r *rounds) somebody() string {
	r.people++
	return fmt.Sprint("user-", r.people)
}

// join opens a connection, of that user where there are users.
func (r *rounds) join(t *testing.T, user string) *client {
	t.Helper()
	if !r.tickets {
		return r.connect(t)
	}
	return r.enter(t, user, "acme")
}

// row is a row of the tenant that everybody is of.
func (r *rounds) row(attributes row) row {
	if r.tickets {
		attributes = maps.Clone(attributes)
		attributes["tenant"] = "acme"
	}
	return attributes
}

// reader asks the HTTP API.
func (r *rounds) reader(t *testing.T) reader {
	t.Helper()
	header := http.Header{"Origin": {page}}
	if r.tickets {
		header.Set("Authorization", "Bearer "+r.token(t, r.somebody(), "acme"))
	}
	return reader{api: r.env["API_URL"], header: header}
}

// change rewrites an attribute of an item of the registry.
func (r *rounds) change(t *testing.T, item map[string]types.AttributeValue, attribute string, value types.AttributeValue) {
	t.Helper()
	if _, err := r.dynamo.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(r.env["CONNECTIONS_TABLE"]), Key: map[string]types.AttributeValue{"pk": item["pk"], "sk": item["sk"]},
		UpdateExpression: aws.String("SET #a = :v"), ExpressionAttributeNames: map[string]string{"#a": attribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":v": value},
	}); err != nil {
		t.Fatal(err)
	}
}

// connection is the one that is open and whose registry item has that attribute.
func (r *rounds) connection(t *testing.T, attribute, value string) map[string]types.AttributeValue {
	t.Helper()
	var found []map[string]types.AttributeValue
	for _, item := range r.items(t, "conn#") {
		if item["closed_at"] == nil && textOf(item[attribute]) == value {
			found = append(found, item)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d open connections with %s %q", len(found), attribute, value)
	}
	return found[0]
}

// wantNobody waits until the registry knows that those who closed have gone.
func (r *rounds) wantNobody(t *testing.T) {
	t.Helper()
	eventually(t, "the rows of earlier clients to go", func() bool { return r.viewRows(t) == 0 })
}

func wantEnd(t *testing.T, ws *client) {
	t.Helper()
	select {
	case <-ws.ended:
	case <-time.After(patience):
		t.Fatal("the socket is still open")
	}
}

// firstUse has each who may be the first to meet the state table be it.
func (r *rounds) firstUse(t *testing.T) {
	forget := func() {
		if _, err := r.dynamo.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
			TableName: aws.String(r.env["STATE_TABLE"]), Key: map[string]types.AttributeValue{"pk": attribute("generation"), "sk": attribute("generation")},
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.reader(t).metrics(t, url.Values{})
	forget()
	ws := r.join(t, r.somebody())
	ws.send(t, `{"action":"sync","sync_id":1,"views":[{"entity_type":"*"}]}`)
	ws.snapshot(t, 1)
	forget()
	r.update(t, "student", "stu_first", r.row(row{"health_score": 1}))
	ws.waitFor(t, "stu_first")
	ws.close(t)
	for _, remembers := range []string{"iops-dashboard-query", "iops-dashboard-sync"} { // what was forgotten
		killSandboxes(t, r.stack, remembers)
	}
}

// updates are brought, metrics and insights, and their ends.
func (r *rounds) updates(t *testing.T) {
	ws := r.join(t, r.somebody())
	r.update(t, "tutor", "tut_1", r.row(row{"avg_rating": 4.75}))
	ws.waitFor(t, "tut_1")
	r.remove(t, "tutor", "tut_1")
	ws.waitFor(t, "tut_1")
	id := contracts.InsightID{Pk: "insight#stu_1", Sk: time.Now().UTC().Format("2006-01-02T15:04:05.000Z")}
	r.find(t, r.row(row{"pk": id.Pk, "sk": id.Sk, "entity_id": "stu_1", "prediction_type": "low_health_score", "risk_score": 84, "timestamp": id.Sk}))
	ws.waitForInsight(t, id.Pk)
	r.forget(t, id)
	ws.waitForInsight(t, id.Pk)
	ws.close(t)
}

// quarantine gets a row that breaks its schema.
func (r *rounds) quarantine(t *testing.T) {
	r.update(t, "student", "stu_bad", r.row(row{"health_score": 250}))
	if body := r.receive(t, "QUARANTINE_QUEUE_URL"); !strings.Contains(body, "stu_bad") {
		t.Errorf("quarantined is %s", body)
	}
}

// deadLetters get what is no event.
func (r *rounds) deadLetters(t *testing.T) {
	r.publish(t, `{"this is": "no event"}`)
	if body := r.receive(t, "FANOUT_DLQ_URL"); !strings.Contains(body, "no event") {
		t.Errorf("the dead letter is %s", body)
	}
}

// syncs change views, and are confirmed by what others have read.
func (r *rounds) syncs(t *testing.T) {
	ws := r.join(t, r.somebody())
	ws.send(t, `{"action":"sync","sync_id":1,"contracts":["METRIC_UPDATE/1"],"views":[{"entity_type":"student"}]}`)
	_, digest := ws.snapshot(t, 1)
	ws.send(t, `{"action":"sync","sync_id":2,"contracts":["METRIC_UPDATE/1"],"views":[{"entity_type":"student"}],"digest":"`+digest+`"}`)
	if head := ws.answer(t); head.Type != contracts.SyncedFrameV1Type {
		t.Errorf("answered %+v", head)
	}
	ws.send(t, `{"action":"sync","sync_id":3,"views":[{"entity_type":"salary"}]}`)
	if head := ws.answer(t); head.Code != "INVALID" {
		t.Errorf("answered %+v", head)
	}
	ws.close(t)
}

// entities are asked for by HTTP.
func (r *rounds) entities(t *testing.T) {
	status, _, _ := r.reader(t).get(t, "/entities/student/stu_first", contracts.KindEntityReplyV1)
	insights, _, _ := r.reader(t).get(t, "/insights", contracts.KindInsightsPageV1)
	if status != http.StatusOK || insights != http.StatusOK {
		t.Errorf("status %d, and %d for insights", status, insights)
	}
}

// gross is who sends what no client does, twice.
func (r *rounds) gross(t *testing.T) {
	ws := r.join(t, r.somebody())
	large := `{"action":"sync","sync_id":1,"views":[],"digest":"` + strings.Repeat("a", 5000) + `"}`
	ws.send(t, large)
	if head := ws.answer(t); head.Code != "TOO_LARGE" {
		t.Errorf("answered %+v", head)
	}
	ws.send(t, large)
	wantEnd(t, ws)
}

// slowReader is who cannot be posted to, and is marked to synchronise.
func (r *rounds) slowReader(t *testing.T) {
	ws := r.join(t, r.somebody())
	r.answers.next.Store(&failure{status: http.StatusInternalServerError, kind: "InternalServerErrorException"})
	r.update(t, "region", "reg_lost", r.row(row{"health_score": 2}))
	eventually(t, "the mark", func() bool {
		return slices.ContainsFunc(r.items(t, "view#"), func(item map[string]types.AttributeValue) bool { return item["resync"] != nil })
	})
	r.answers.next.Store(nil)
	ws.send(t, `{"action":"sync","sync_id":1,"views":[{"entity_type":"*"}]}`)
	ws.snapshot(t, 1)
	ws.close(t)
}

// surplus is a connection that has been silent for long, and makes room for another of its user.
func (r *rounds) surplus(t *testing.T) {
	if !r.tickets {
		return
	}
	user := r.somebody()
	first := r.join(t, user)
	first.send(t, `{"action":"sync","sync_id":1,"views":[]}`)
	first.snapshot(t, 1)
	long := fmt.Sprint(time.Now().Add(-10 * time.Minute).UnixMilli())
	r.change(t, r.connection(t, "subject", user), "paced", &types.AttributeValueMemberN{Value: long})
	second := r.join(t, user)
	wantEnd(t, first)
	second.close(t)
}

// revocation ends the connections of a user.
func (r *rounds) revocation(t *testing.T) {
	if !r.tickets {
		return
	}
	user := r.somebody()
	ws := r.join(t, user)
	if answer := r.invoke(t, "iops-dashboard-revoke", `{"tenant":"acme","subject":"`+user+`"}`); answer != `{"connections":1}` {
		t.Errorf("the function says %s", answer)
	}
	wantEnd(t, ws)
}

// ended is who has a permission that is over, as the fan-out finds when there is something to bring.
func (r *rounds) ended(t *testing.T) {
	if !r.tickets {
		return
	}
	r.wantNobody(t)
	ws := r.join(t, r.somebody())
	past := fmt.Sprint(time.Now().Add(-time.Minute).UnixMilli())
	for _, item := range r.items(t, "view#acme#") {
		r.change(t, item, "until", &types.AttributeValueMemberN{Value: past})
	}
	r.update(t, "region", "reg_late", r.row(row{"health_score": 3}))
	wantEnd(t, ws)
}

// canary sees its own write.
func (r *rounds) canary(t *testing.T) {
	for _, s := range r.scheduled {
		answer := r.invoke(t, s.Function, `{}`)
		var failed struct{ ErrorMessage string }
		if err := json.Unmarshal([]byte(answer), &failed); err == nil && failed.ErrorMessage != "" {
			t.Errorf("%s says %s", s.Function, answer)
		}
	}
}

// newborn is a connection that the gateway does not know yet, to all appearances, and never will: messages are kept for it
// for as long as a handshake may take, and then it is closed.
func (r *rounds) newborn(t *testing.T) {
	r.wantNobody(t)
	ws := r.join(t, r.somebody())
	r.answers.next.Store(&failure{status: http.StatusGone, kind: "GoneException"})
	r.update(t, "region", "reg_never", r.row(row{"health_score": 4}))
	eventually(t, "its row to go", func() bool { return r.viewRows(t) == 0 })
	r.answers.next.Store(nil)
	ws.close(t)
}

// What is not granted is refused, and seen; and so is a grant that nobody uses.
func TestWhatIsNotGrantedIsRefused(t *testing.T) {
	t.Parallel()
	system := topology.Default()
	for i, f := range system.Functions {
		for n, g := range f.Grants {
			if f.Command == "connect" && slices.Equal(g.Actions, []string{"PutItem"}) {
				system.Functions[i].Grants[n].Actions = []string{"Scan"}
			}
		}
	}
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := local.Start(t.Context(), local.Options{Root: checkout, Dir: t.TempDir(), Topology: system, Guarded: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Close)
	conn, response, err := websocket.Dial(t.Context(), stack.Env()["WEBSOCKET_URL"], nil)
	if err == nil {
		_ = conn.CloseNow()
		t.Fatal("let in by a function that may write no row")
	}
	if response == nil || response.StatusCode != http.StatusInternalServerError {
		t.Errorf("%v", err)
	}
	const connect, table = "iops-dashboard-connect", "iops-dashboard-connections"
	if got := stack.Authority().Denied(); !slices.Equal(got, []iam.Call{{Caller: connect, Action: "dynamodb:PutItem", On: table}}) {
		t.Errorf("denied %v", got)
	}
	if got := stack.Authority().Unused(); !slices.Contains(got, iam.Call{Caller: connect, Action: "dynamodb:Scan", On: table}) {
		t.Errorf("unused %v", got)
	}
	eventually(t, "the log to tell", func() bool {
		return strings.Contains(readLog(t, stack, connect), "is not authorized to perform: dynamodb:PutItem")
	})
}
