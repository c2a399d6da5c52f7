package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/queue/sqsqueue"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/run"
)

func TestMain(m *testing.M) { awstest.Main(m) }

// patience is how long anything here may take; what it waits for comes within milliseconds.
const patience = time.Minute

func TestStartNeedsItsEnvironment(t *testing.T) {
	for _, name := range []string{"CONNECTIONS_TABLE", "FANOUT_QUEUE_URL", "FANOUT_DLQ_URL", "FANOUT_VISIBILITY", "WEBSOCKET_API_ENDPOINT"} {
		t.Setenv(name, "")
	}
	err := work(t.Context(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "FANOUT_DLQ_URL") || !strings.Contains(err.Error(), "CONNECTIONS_TABLE") {
		t.Errorf("%v", err)
	}
}

// The program as it is deployed, between real servers: an update reaches the open connection, the
// closed one is forgotten, that whose permission has ended is told so and closed, the malformed message is a dead letter, and the queue ends empty.
func TestProgram(t *testing.T) {
	for _, client := range []string{"wire", "sdk"} {
		t.Run(client, func(t *testing.T) { testProgram(t, client) })
	}
}

func testProgram(t *testing.T, client string) {
	const open, gone, past = "L0SM9cOFvHcCIhw=", "JC1dgf9yoAMCK-g=", "Jx-TaE0_GjQFvSw="
	frames, ends := make(chan []byte, 10), make(chan string, 10)
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		frame, _ := io.ReadAll(r.Body)
		_, id, _ := strings.Cut(r.URL.Path, "connections/")
		if id == past {
			ends <- r.Method + " " + string(frame)
			return
		}
		if id != open {
			w.Header().Set("x-amzn-ErrorType", "GoneException")
			w.WriteHeader(http.StatusGone)
			return
		}
		frames <- frame
	}))
	defer callback.Close()

	db, messages := awstest.DynamoDB(t), awstest.SQS(t)
	connections := awstest.Table(t)
	url, dead := newQueue(t, messages), newQueue(t, messages)
	for name, value := range map[string]string{
		"CONNECTIONS_TABLE": connections, "FANOUT_QUEUE_URL": url, "FANOUT_DLQ_URL": dead, "FANOUT_VISIBILITY": "30s", "FANOUT_BUCKETS": "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", "FANOUT_RATE": "1000",
		"METRICS_NAMESPACE":         "Test",
		"FANOUT_POSTERS":            "1", // the narrowest there is
		"FANOUT_CLIENT":             client,
		"WEBSOCKET_API_ENDPOINT":    callback.URL + "/prod",
		"AWS_ENDPOINT_URL_DYNAMODB": *db.Options().BaseEndpoint,
		"AWS_ENDPOINT_URL_SQS":      *messages.Options().BaseEndpoint,
		"AWS_REGION":                "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	} {
		t.Setenv(name, value)
	}
	reg := dynamoregistry.New(db, connections, dynamoregistry.Options{})
	for _, id := range []string{open, gone, past} {
		c := registry.Connection{ID: id, Tenant: "default", ConnectedAt: time.Now().Add(-time.Minute)}
		if id == past {
			c.Until = time.Now().Add(-time.Second)
		}
		if err := reg.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- work(ctx, slog.New(slog.DiscardHandler)) }()

	for _, body := range []string{"not an event", event} {
		if _, err := messages.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case frame := <-frames:
		if err := contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, frame); err != nil || !strings.Contains(string(frame), `"stu_4532"`) {
			t.Errorf("%v in %s", err, frame)
		}
	case err := <-ended:
		t.Fatalf("ended: %v", err)
	case <-time.After(patience):
		t.Fatal("no frame")
	}
	letters, err := sqsqueue.New(messages, dead, dead).Receive(t.Context(), 1, queue.MaxWait)
	if err != nil || len(letters) != 1 || letters[0].Body != "not an event" || letters[0].Attributes[queue.ReasonAttribute].Value == "" {
		t.Errorf("dead letters %v, %v", letters, err)
	}

	cancel(run.ErrStop)
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, run.ErrStop) {
			t.Errorf("ended: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("does not stop")
	}
	var said []string
	for len(ends) > 0 {
		said = append(said, <-ends)
	}
	if len(said) != 2 || !strings.HasPrefix(said[0], `POST {"type":"RECONNECT"`) || said[1] != "DELETE " {
		t.Errorf("to whom it has ended: %q", said)
	}
	var left []string
	for page, err := range reg.Watching(t.Context(), registry.Query{Tenant: "default"}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			left = append(left, c.ID)
		}
	}
	if len(left) != 1 || left[0] != open {
		t.Errorf("watchers %v", left)
	}
	counts, err := messages.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		if got := counts.Attributes[name]; got != "0" {
			t.Errorf("%s = %s", name, got)
		}
	}
}

const event = `{"specversion":"1.0","id":"8f6f5f2c1d0e4b3a9c7d6e5f4a3b2c1d","type":"METRIC_UPDATE","source":"iops-dashboard/normalizer",
"subject":"student/stu_4532","time":"2026-11-22T10:00:00.000Z","datacontenttype":"application/json",
"dataschema":"https://iops-dashboard.dev/contracts/events/metric-update/v1.json","tenant":"default",
"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
"data":{"entity_type":"student","entity_id":"stu_4532","operation":"UPSERT","version":{"epoch":1795000000000,"revision":12},
"sequence":"100000000003498069978","written_at":"2026-11-22T10:00:00.123Z","current":{"health_score":71.5},"previous":null,"changed":["health_score"]}}`

func newQueue(t *testing.T, client *sqs.Client) string {
	t.Helper()
	created, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(awstest.Name("queue"))})
	if err != nil {
		t.Fatal(err)
	}
	return *created.QueueUrl
}
