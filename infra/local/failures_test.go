package local_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

// A normalizer that dies whatever it is given: its records rest in the store, whole, and the queue with the alarm is told.
func TestWhatAStreamGivesUpIsKeptAndTold(t *testing.T) {
	t.Parallel()
	system := topology.Default()
	for i := range system.Streams {
		system.Streams[i].Retries = 1
	}
	for _, f := range system.Functions {
		if f.Command == "normalizer" {
			f.Environment["STATE_TABLE"] = topology.Ref{Kind: topology.Literal, Name: ""} // it exits before it asks for its first event
		}
	}
	stack := start(t, local.Options{Topology: system})
	c := newClients(stack.Env())
	c.update(t, "student", "stu_lost", row{"health_score": 12})

	var told events.S3Event
	body := c.receive(t, "FAILURES_QUEUE_URL")
	if err := json.Unmarshal([]byte(body), &told); err != nil || len(told.Records) != 1 {
		t.Fatalf("told %s, %v", body, err)
	}
	what := told.Records[0]
	if what.S3.Bucket.Name != "iops-dashboard-failures" || what.EventName != "ObjectCreated:Put" || what.EventSource != "aws:s3" {
		t.Errorf("told %s", body)
	}
	if want := "aws/lambda/iops-dashboard-metrics/"; !strings.HasPrefix(what.S3.Object.URLDecodedKey, want) {
		t.Errorf("the key is %s, want %s…", what.S3.Object.URLDecodedKey, want)
	}
	document := kept(t, stack.Env(), what.S3)
	content := object(t, document)
	about, _ := content["requestContext"].(map[string]any)
	if about["condition"] != "RetryAttemptsExhausted" || about["approximateInvokeCount"] != 2.0 {
		t.Errorf("kept %s", document)
	}
	var payload events.DynamoDBEvent
	text, _ := content["payload"].(string)
	if err := json.Unmarshal([]byte(text), &payload); err != nil || len(payload.Records) != 1 || payload.Records[0].Change.Keys["entity_id"].String() != "stu_lost" {
		t.Errorf("the payload is %s, %v", text, err)
	}
}

// kept reads what a store was told to have got, as a client of S3 does.
func kept(t *testing.T, env map[string]string, told events.S3Entity) []byte {
	t.Helper()
	client := s3.NewFromConfig(aws.Config{
		Region: env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL_S3"]),
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
	})
	got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &told.Bucket.Name, Key: &told.Object.URLDecodedKey})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	if err != nil || int64(len(content)) != told.Object.Size || aws.ToString(got.ETag) != `"`+told.Object.ETag+`"` {
		t.Fatalf("kept %d bytes as %s, told of %+v: %v", len(content), aws.ToString(got.ETag), told.Object, err)
	}
	return content
}
