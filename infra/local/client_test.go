package local_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/local/process"
)

const (
	fanoutQueue = "iops-dashboard-fanout-0"
	// patience is how long anything may take on a busy machine before a test gives up.
	patience = 60 * time.Second
)

var root = filepath.Join("..", "..")

// start runs a system in a folder of its own until the test ends.
func start(t *testing.T, opts local.Options) *local.Stack {
	t.Helper()
	var err error
	if opts.Root, err = filepath.Abs(root); err != nil {
		t.Fatal(err)
	}
	opts.Dir, opts.Guarded = t.TempDir(), true
	stack, err := local.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stack.Close()
		wantNothingDenied(t, stack)
		if t.Failed() {
			dump(t, filepath.Join(opts.Dir, "log"))
		}
	})
	return stack
}

// dump shows the end of each log, for whoever has to find out why.
func dump(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		t.Logf("%s:\n%s", filepath.Base(f), b[max(0, len(b)-2000):])
	}
}

func processNamed(t *testing.T, stack *local.Stack, name string) *process.Process {
	t.Helper()
	for _, p := range stack.Processes() {
		if p.Name() == name {
			return p
		}
	}
	t.Fatalf("no process %s", name)
	return nil
}

// killSandboxes kills every environment of a function, busy or frozen.
func killSandboxes(t *testing.T, stack *local.Stack, function string) {
	t.Helper()
	killed := 0
	for _, pid := range stack.FunctionPIDs(function) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed == 0 {
		t.Fatalf("no environment of %s is running", function)
	}
}

// clients reach the system as anybody would: by what its env file says.
type clients struct {
	env    map[string]string
	dynamo *dynamodb.Client
	sns    *sns.Client
	sqs    *sqs.Client
}

func newClients(env map[string]string) clients {
	cfg := func(service string) aws.Config {
		return aws.Config{
			Region:       env["AWS_REGION"],
			Credentials:  credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
			BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL_"+service]),
		}
	}
	return clients{
		env: env, dynamo: dynamodb.NewFromConfig(cfg("DYNAMODB")),
		sns: sns.NewFromConfig(cfg("SNS")), sqs: sqs.NewFromConfig(cfg("SQS")),
	}
}

type row map[string]any

// update is one UpdateItem of a row of the metrics table.
func (c clients) update(t *testing.T, kind, id string, attributes row) {
	t.Helper()
	in := &dynamodb.UpdateItemInput{
		TableName: aws.String(c.env["METRICS_TABLE"]), Key: rowKey(kind, id),
		ExpressionAttributeNames: map[string]string{}, ExpressionAttributeValues: map[string]types.AttributeValue{},
	}
	var set []string
	for name, v := range attributes {
		in.ExpressionAttributeNames["#"+name] = name
		in.ExpressionAttributeValues[":"+name] = attribute(v)
		set = append(set, "#"+name+" = :"+name)
	}
	in.UpdateExpression = aws.String("SET " + strings.Join(set, ", "))
	if _, err := c.dynamo.UpdateItem(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func attribute(v any) types.AttributeValue {
	switch v := v.(type) {
	case int:
		return &types.AttributeValueMemberN{Value: strconv.Itoa(v)}
	case float64:
		return &types.AttributeValueMemberN{Value: strconv.FormatFloat(v, 'f', -1, 64)}
	case []string:
		var items []types.AttributeValue
		for _, s := range v {
			items = append(items, attribute(s))
		}
		return &types.AttributeValueMemberL{Value: items}
	default:
		return &types.AttributeValueMemberS{Value: v.(string)}
	}
}

// find is one PutItem of a row of the insights table.
func (c clients) find(t *testing.T, insight row) {
	t.Helper()
	item := map[string]types.AttributeValue{}
	for name, v := range insight {
		item[name] = attribute(v)
	}
	if _, err := c.dynamo.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(c.env["INSIGHTS_TABLE"]), Item: item}); err != nil {
		t.Fatal(err)
	}
}

// forget deletes an insight.
func (c clients) forget(t *testing.T, id contracts.InsightID) {
	t.Helper()
	if _, err := c.dynamo.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(c.env["INSIGHTS_TABLE"]),
		Key:       map[string]types.AttributeValue{"pk": attribute(id.Pk), "sk": attribute(id.Sk)},
	}); err != nil {
		t.Fatal(err)
	}
}

func (c clients) remove(t *testing.T, kind, id string) {
	t.Helper()
	if _, err := c.dynamo.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(c.env["METRICS_TABLE"]), Key: rowKey(kind, id),
	}); err != nil {
		t.Fatal(err)
	}
}

func rowKey(kind, id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"entity_id":   &types.AttributeValueMemberS{Value: id},
		"entity_type": &types.AttributeValueMemberS{Value: kind},
	}
}

// viewRows counts the rows by which the fanout finds connections.
func (c clients) viewRows(t *testing.T) int {
	t.Helper()
	out, err := c.dynamo.Scan(t.Context(), &dynamodb.ScanInput{
		TableName: aws.String(c.env["CONNECTIONS_TABLE"]), ConsistentRead: aws.Bool(true),
		FilterExpression:          aws.String("begins_with(pk, :view)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":view": &types.AttributeValueMemberS{Value: "view#"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return int(out.Count)
}

func (c clients) publish(t *testing.T, body string) {
	t.Helper()
	if _, err := c.sns.Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String(c.env["TOPIC_ARN"]), Message: &body}); err != nil {
		t.Fatal(err)
	}
}

// receive takes one message out of the queue that variable names.
func (c clients) receive(t *testing.T, variable string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	url := aws.String(c.env[variable])
	for {
		out, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 5})
		if err != nil {
			t.Fatalf("%s: nothing came: %v", variable, err)
		}
		if len(out.Messages) == 0 {
			continue
		}
		if _, err := c.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: out.Messages[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
		return aws.ToString(out.Messages[0].Body)
	}
}

// client is a bare WebSocket client: it listens and checks each frame against the contract.
type client struct {
	conn     *websocket.Conn
	updates  chan contracts.UpdateV1
	insights chan contracts.InsightUpdateV1
	answers  chan []byte // frames that answer what it sent
	ended    chan struct{}

	mu   sync.Mutex
	seen map[string]int
}

func (c clients) connect(t *testing.T) *client {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), c.env["WEBSOCKET_URL"], nil)
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, conn)
}

func listen(t *testing.T, conn *websocket.Conn) *client {
	ws := &client{
		conn: conn, updates: make(chan contracts.UpdateV1, 1000), insights: make(chan contracts.InsightUpdateV1, 1000), answers: make(chan []byte, 1000),
		ended: make(chan struct{}), seen: map[string]int{},
	}
	go ws.listen(t)
	t.Cleanup(func() { ws.close(t) })
	return ws
}

func (ws *client) listen(t *testing.T) {
	defer close(ws.ended)
	for {
		_, b, err := ws.conn.Read(context.Background())
		if err != nil {
			return
		}
		if err := ws.take(b); err != nil {
			t.Errorf("a frame breaks its contract: %v", err)
			return
		}
	}
}

// take sorts what a frame brings.
func (ws *client) take(b []byte) error {
	var head struct{ Type string }
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	if head.Type == contracts.ResyncFrameV1Type { // a busy machine may be slow
		_, err := readFrame[contracts.ResyncFrameV1](contracts.KindResyncFrameV1, b)
		return err
	}
	switch head.Type {
	case contracts.SnapshotFrameV1Type, contracts.SyncedFrameV1Type, contracts.ErrorFrameV1Type, contracts.ReconnectFrameV1Type:
		ws.answers <- b
		return contracts.ValidateProducer(contracts.Kind("frames/"+strings.ToLower(head.Type)+"/v1"), b)
	}
	if head.Type == contracts.InsightCreatedFrameV1Type {
		frame, err := readFrame[contracts.InsightCreatedFrameV1](contracts.KindInsightCreatedFrameV1, b)
		for _, u := range frame.Data {
			ws.insights <- u
		}
		return err
	}
	frame, err := readFrame[contracts.MetricUpdateFrameV1](contracts.KindMetricUpdateFrameV1, b)
	for _, u := range frame.Data {
		ws.mu.Lock()
		ws.seen[u.EntityID]++
		ws.mu.Unlock()
		ws.updates <- u
	}
	return err
}

func readFrame[T any](kind contracts.Kind, b []byte) (frame T, err error) {
	if err := contracts.ValidateProducer(kind, b); err != nil {
		return frame, err
	}
	return frame, json.Unmarshal(b, &frame)
}

// waitFor returns the next update of that entity.
func (ws *client) waitFor(t *testing.T, id string) contracts.UpdateV1 {
	t.Helper()
	return next(t, ws, ws.updates, id, func(u contracts.UpdateV1) string { return u.EntityID })
}

// waitForAll returns the first update of each entity, in whatever order they come.
func (ws *client) waitForAll(t *testing.T, ids []string) map[string]contracts.UpdateV1 {
	t.Helper()
	found := map[string]contracts.UpdateV1{}
	for len(found) < len(ids) {
		u := next(t, ws, ws.updates, "one of "+strings.Join(ids, ", "), func(u contracts.UpdateV1) string {
			if _, again := found[u.EntityID]; again || !slices.Contains(ids, u.EntityID) {
				return ""
			}
			return "one of " + strings.Join(ids, ", ")
		})
		found[u.EntityID] = u
	}
	return found
}

// times is how often an update of an entity has come.
func (ws *client) times(id string) int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.seen[id]
}

// waitForInsight returns the next update of an insight with that partition key.
func (ws *client) waitForInsight(t *testing.T, pk string) contracts.InsightUpdateV1 {
	t.Helper()
	return next(t, ws, ws.insights, pk, func(u contracts.InsightUpdateV1) string { return u.InsightID.Pk })
}

func next[T any](t *testing.T, ws *client, updates <-chan T, name string, nameOf func(T) string) T {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case u := <-updates:
			if nameOf(u) == name {
				return u
			}
		case <-ws.ended:
			t.Fatalf("the socket closed before %s came", name)
		case <-deadline:
			t.Fatalf("%s did not come", name)
		}
	}
}

func (ws *client) saw(id string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.seen[id] > 0
}

func (ws *client) close(t *testing.T) {
	t.Helper()
	_ = ws.conn.Close(websocket.StatusNormalClosure, "")
	<-ws.ended
}

func attributes(t *testing.T, u contracts.UpdateV1) map[string]any {
	t.Helper()
	return object(t, u.Attributes)
}

func object(t *testing.T, document []byte) map[string]any {
	t.Helper()
	var a map[string]any
	if err := json.Unmarshal(document, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func readLog(t *testing.T, stack *local.Stack, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(stack.LogDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func post(t *testing.T, url, body string) string {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %d %s %v", url, resp.StatusCode, b, err)
	}
	return string(b)
}

// eventually waits for what the system does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// valve holds a post of the fanout worker.
type valve struct{ gate atomic.Pointer[gate] }

type gate struct {
	reached chan struct{}
	open    chan struct{}
}

func (v *valve) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g := v.gate.Swap(nil); g != nil {
			close(g.reached)
			<-g.open
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hold stops the next post until the gate is opened, and fails it then.
func (v *valve) hold() *gate {
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	v.gate.Store(g)
	return g
}
