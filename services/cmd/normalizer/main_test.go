package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/quarantine/sqsquarantine"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestAMissingVariableIsNamed(t *testing.T) {
	for _, name := range []string{"METRICS_TABLE", "INSIGHTS_TABLE", "STATE_TABLE", "TOPIC_ARN", "QUARANTINE_QUEUE_URL"} {
		t.Setenv(name, "")
	}
	_, err := wire(t.Context(), slog.New(slog.DiscardHandler))
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("STATE_TABLE")) || !bytes.Contains([]byte(err.Error()), []byte("TOPIC_ARN")) {
		t.Errorf("%v, want all the variables that are missing", err)
	}
}

// The function as it is wired, on real servers: a batch with a healthy record, a broken one, a
// move between tenants, a removal and insights; and the same batch again.
func TestABatchOnRealServers(t *testing.T) {
	queues, topics := awstest.SQS(t), awstest.SNS(t)
	updates, quarantine := newQueue(t, queues), newQueue(t, queues)
	t.Setenv("METRICS_TABLE", "iops-dashboard-metrics")
	t.Setenv("INSIGHTS_TABLE", "iops-dashboard-insights")
	t.Setenv("STATE_TABLE", newTable(t))
	t.Setenv("TOPIC_ARN", newTopic(t, topics, queues, updates))
	t.Setenv("QUARANTINE_QUEUE_URL", quarantine)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", *awstest.DynamoDB(t).Options().BaseEndpoint)
	t.Setenv("AWS_ENDPOINT_URL_SNS", *topics.Options().BaseEndpoint)
	t.Setenv("AWS_ENDPOINT_URL_SQS", *queues.Options().BaseEndpoint)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")

	n, err := wire(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	event := batch(t, "insert", "wrong-type", "tenant-move", "remove", "unicode", "insight", "insight-tenant-move")
	want := map[string]int64{
		"default student/stu_4532 UPSERT":                                   1,
		"default student/stu_4532 DELETE":                                   2,
		"acme student/stu_4532 DELETE":                                      1,
		"umbrella student/stu_4532 UPSERT":                                  1,
		"default subject/東京-👩‍🏫-\uffff \"<&>\" UPSERT":                      1,
		"default insight/insight#stu_4532/2026-11-22T10:00:00.123Z UPSERT":  1,
		"acme insight/insight#stu_4532/2026-11-22T10:00:00.123Z DELETE":     1,
		"umbrella insight/insight#stu_4532/2026-11-22T10:00:00.123Z UPSERT": 1,
	}
	for round := range 2 {
		response, err := n.Handle(t.Context(), event)
		if err != nil || len(response.BatchItemFailures) > 0 {
			t.Fatalf("round %d: %+v %v", round, response, err)
		}
		if round == 1 {
			// Its removal superseded the insertion; all else is republished as it was.
			delete(want, "default student/stu_4532 UPSERT")
		}
		got := map[string]int64{}
		for _, m := range receive(t, queues, updates, len(want)) {
			var e struct {
				Tenant, Subject, ID string
				Data                struct {
					Operation string
					Version   contracts.Version
				}
			}
			if err := json.Unmarshal([]byte(*m.Body), &e); err != nil {
				t.Fatal(err)
			}
			got[e.Tenant+" "+e.Subject+" "+e.Data.Operation] = e.Data.Version.Revision
			if *m.MessageAttributes["tenant"].StringValue != e.Tenant {
				t.Errorf("the attribute tenant of %s differs", e.ID)
			}
		}
		if len(got) != len(want) {
			t.Errorf("round %d: got %v, want %v", round, got, want)
		}
		for name, revision := range want {
			if got[name] != revision {
				t.Errorf("round %d: %s has revision %d, want %d", round, name, got[name], revision)
			}
		}
		r, err := sqsquarantine.Decode(*receive(t, queues, quarantine, 1)[0].Body)
		if err != nil || r.Reason.Code != "type" || r.Reason.Pointer != "/dynamodb/NewImage/health_score" {
			t.Errorf("in quarantine %+v %v", r.Reason, err)
		}
	}
}

// batch makes an event of records that the normalizer's own tests use.
func batch(t *testing.T, names ...string) json.RawMessage {
	t.Helper()
	var event struct{ Records []json.RawMessage }
	for _, name := range names {
		record, err := os.ReadFile(filepath.Join("..", "..", "normalizer", "testdata", "records", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		event.Records = append(event.Records, record)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func receive(t *testing.T, client *sqs.Client, url string, n int) []types.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []types.Message
	for len(got) < n {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 2, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			t.Fatalf("%d of %d messages: %v", len(got), n, err)
		}
		for _, m := range out.Messages {
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, out.Messages...)
	}
	return got
}

func newTable(t *testing.T) string {
	t.Helper()
	name := awstest.Name("state")
	if _, err := awstest.DynamoDB(t).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: dynamotypes.BillingModePayPerRequest,
		KeySchema: []dynamotypes.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: dynamotypes.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: dynamotypes.KeyTypeRange},
		},
		AttributeDefinitions: []dynamotypes.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: dynamotypes.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: dynamotypes.ScalarAttributeTypeS},
		},
	}); err != nil {
		t.Fatal(err)
	}
	return name
}

func newQueue(t *testing.T, client *sqs.Client) string {
	t.Helper()
	out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(awstest.Name("queue"))})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

func newTopic(t *testing.T, client *sns.Client, queues *sqs.Client, url string) string {
	t.Helper()
	out, err := client.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(awstest.Name("updates"))})
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: out.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(attributes.Attributes["QueueArn"]),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	}); err != nil {
		t.Fatal(err)
	}
	return *out.TopicArn
}
