package sqsqueue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/sqsqueue"
)

// reply is an answer of SQS, as it was recorded.
type reply struct {
	status int
	query  string // the header in which SQS repeats the code that it had in its older protocol
	body   string
}

// recorded is a queue whose server answers so, and what it was asked.
func recorded(t *testing.T, r reply) (redrive.Queue, *map[string]any) {
	t.Helper()
	asked := &map[string]any{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		if err := json.Unmarshal(body, asked); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if r.query != "" {
			w.Header().Set("x-amzn-query-error", r.query)
		}
		w.WriteHeader(max(r.status, http.StatusOK))
		_, _ = io.WriteString(w, r.body)
	}))
	t.Cleanup(server.Close)
	return sqsqueue.New(client(server.URL), server.URL+"/123456789012/queue"), asked
}

func client(url string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), Retryer: aws.NopRetryer{},
	})
}

var three = []redrive.Message{{ID: "m0", Receipt: "r0"}, {ID: "m1", Receipt: "r1"}, {ID: "m2", Receipt: "r2"}}

// Of a batch that fails in part each entry gets what the answer says of it, and one of which it says nothing has failed.
func TestPartOfABatchFails(t *testing.T) {
	t.Parallel()
	const (
		failed   = `"Failed":[{"Id":"1","Code":"InternalError","Message":"try again","SenderFault":false}]`
		foreign  = `{"Id":"7"},{"Id":"-1"},{"Id":"x"}` // of no entry
		receipts = `{"Successful":[{"Id":"0"},` + foreign + `],"Failed":[{"Id":"1","Code":"ReceiptHandleIsInvalid","Message":"expired","SenderFault":true},{"Id":"9","Code":"x"}]}`
	)
	wantReceipts := map[string]redrive.Failure{
		"m1": {Code: "ReceiptHandleIsInvalid", Message: "expired", Sender: true}, "m2": {Code: "not in the answer"},
	}
	t.Run("send", func(t *testing.T) {
		t.Parallel()
		q, _ := recorded(t, reply{body: `{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"0cc175b9c0f1b6a831c399e269772661"}],` + failed + `}`})
		got, err := q.Send(t.Context(), []redrive.Entry{{Body: "a"}, {Body: "b"}, {Body: "c"}})
		want := map[int]redrive.Failure{1: {Code: "InternalError", Message: "try again"}, 2: {Code: "not in the answer"}}
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("delete", func(t *testing.T) {
		t.Parallel()
		q, _ := recorded(t, reply{body: receipts})
		if got, err := q.Delete(t.Context(), three); err != nil || !maps.Equal(got, wantReceipts) {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("hide", func(t *testing.T) {
		t.Parallel()
		q, asked := recorded(t, reply{body: receipts})
		if got, err := q.Hide(t.Context(), three, 1500*time.Millisecond); err != nil || !maps.Equal(got, wantReceipts) {
			t.Errorf("%v, %v", got, err)
		}
		first := (*asked)["Entries"].([]any)[0]
		if want := map[string]any{"Id": "0", "ReceiptHandle": "r0", "VisibilityTimeout": 2.0}; !reflect.DeepEqual(first, want) {
			t.Errorf("asked %v", first)
		}
	})
	t.Run("an empty answer", func(t *testing.T) {
		t.Parallel()
		q, _ := recorded(t, reply{body: `{}`})
		sent, err := q.Send(t.Context(), []redrive.Entry{{Body: "a"}, {Body: "b"}})
		deleted, deleteErr := q.Delete(t.Context(), three)
		hidden, hideErr := q.Hide(t.Context(), three, 0)
		if err := errors.Join(err, deleteErr, hideErr); err != nil || len(sent) != 2 || len(deleted) != 3 || len(hidden) != 3 {
			t.Errorf("%v: %v, %v, %v", err, sent, deleted, hidden)
		}
	})
}

// The engine goes by the kind of an error: whether all calls fail, or this one in any case, or it may be sent already.
func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply
		kind error
	}{
		"access":        {reply{status: 403, body: `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: x is not authorized to perform: sqs:x"}`}, redrive.ErrDenied},
		"access, older": {reply{status: 403, query: "AccessDenied;Sender", body: `{"__type":"com.amazonaws.sqs#AccessDenied","message":"Access to the resource is denied."}`}, redrive.ErrDenied},
		"no queue":      {reply{status: 400, query: "AWS.SimpleQueueService.NonExistentQueue;Sender", body: `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}`}, redrive.ErrDenied},
		"no queue, new": {reply{status: 400, body: `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}`}, redrive.ErrDenied},
		"expired":       {reply{status: 403, body: `{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}`}, redrive.ErrDenied},
		"no token":      {reply{status: 403, body: `{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"The security token included in the request is invalid."}`}, redrive.ErrDenied},
		"too long":      {reply{status: 400, query: "AWS.SimpleQueueService.BatchRequestTooLong;Sender", body: `{"__type":"com.amazonaws.sqs#BatchRequestTooLong","message":"Batch requests cannot be longer than 1048576 bytes."}`}, redrive.ErrRefused},
		"contents":      {reply{status: 400, body: `{"__type":"com.amazonaws.sqs#InvalidMessageContents","message":"Invalid binary character"}`}, redrive.ErrRefused},
		"parameter":     {reply{status: 400, body: `{"__type":"com.amazon.coral.service#InvalidParameterValueException","message":"x"}`}, redrive.ErrRefused},
		"throttled":     {reply{status: 400, query: "RequestThrottled;Sender", body: `{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Rate exceeded"}`}, nil},
		"throttled too": {reply{status: 400, body: `{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Rate exceeded"}`}, nil},
		"over limit":    {reply{status: 403, query: "OverLimit;Sender", body: `{"__type":"com.amazonaws.sqs#OverLimit","message":"Too many messages in flight"}`}, nil},
		"key store":     {reply{status: 400, query: "KMS.ThrottlingException;Sender", body: `{"__type":"com.amazonaws.sqs#KmsThrottled","message":"x"}`}, nil},
		"server":        {reply{status: 500, body: `{"__type":"com.amazon.coral.service#InternalFailure"}`}, nil},
		"unavailable":   {reply{status: 503, body: `{"__type":"com.amazon.coral.service#ServiceUnavailableException"}`}, nil},
		"no answer":     {reply{status: 200, body: `{"Successful":`}, nil},
		"a proxy":       {reply{status: 502, body: `<html>Bad Gateway</html>`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, _ := recorded(t, tc.reply)
			_, send := q.Send(t.Context(), []redrive.Entry{{Body: "a"}})
			_, remove := q.Delete(t.Context(), three)
			_, hide := q.Hide(t.Context(), three, time.Minute)
			_, receive := q.Receive(t.Context(), 10, time.Minute)
			_, _, depth := q.Depth(t.Context())
			for op, err := range map[string]error{"send": send, "delete": remove, "hide": hide, "receive": receive, "depth": depth} {
				for _, kind := range []error{redrive.ErrDenied, redrive.ErrRefused} {
					if err == nil || errors.Is(err, kind) != (kind == tc.kind) {
						t.Errorf("%s: %v", op, err)
					}
				}
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	failed, err := sqsqueue.New(client(url), url+"/1/queue").Send(t.Context(), []redrive.Entry{{Body: "a"}})
	if err == nil || errors.Is(err, redrive.ErrDenied) || errors.Is(err, redrive.ErrRefused) || len(failed) > 0 {
		t.Errorf("%v, %v", failed, err)
	}
}

// The trace travels in the one system attribute that can be sent, and each attribute as what it is.
func TestTheTraceIsSent(t *testing.T) {
	t.Parallel()
	q, asked := recorded(t, reply{body: `{}`})
	const trace = "Root=1-5e1b4151-5ac6c58f5b5dbd6b5b5dbd6b;Sampled=1"
	_, err := q.Send(t.Context(), []redrive.Entry{
		{ID: "of no interest", Body: "a", Trace: trace, Attributes: map[string]redrive.Attribute{"n": {Type: "Number", Value: []byte("1")}, "b": {Type: "Binary.png", Value: []byte{0, 0xff}}}},
		{Body: "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []any{
		map[string]any{
			"Id": "0", "MessageBody": "a",
			"MessageAttributes": map[string]any{
				"n": map[string]any{"DataType": "Number", "StringValue": "1"}, "b": map[string]any{"DataType": "Binary.png", "BinaryValue": "AP8="},
			},
			"MessageSystemAttributes": map[string]any{"AWSTraceHeader": map[string]any{"DataType": "String", "StringValue": trace}},
		},
		map[string]any{"Id": "1", "MessageBody": "b", "MessageAttributes": map[string]any{}},
	}
	if got := (*asked)["Entries"]; !reflect.DeepEqual(got, want) {
		t.Errorf("asked %v", got)
	}
}

func TestWhatIsReceived(t *testing.T) {
	t.Parallel()
	q, asked := recorded(t, reply{body: `{"Messages":[{"MessageId":"m0","ReceiptHandle":"r0","Body":"a","MD5OfBody":"0cc175b9c0f1b6a831c399e269772661",
		"Attributes":{"SentTimestamp":"1795000000123","ApproximateReceiveCount":"6","AWSTraceHeader":"Root=1","DeadLetterQueueSourceArn":"arn:aws:sqs:us-east-1:1:q"},
		"MessageAttributes":{"n":{"DataType":"Number.int","StringValue":"7"},"b":{"DataType":"Binary","BinaryValue":"AP8="}}}]}`})
	got, err := q.Receive(t.Context(), 10, 90*time.Second)
	want := redrive.Message{
		ID: "m0", Receipt: "r0", Body: "a", Trace: "Root=1", ReceiveCount: 6, SentAt: time.UnixMilli(1_795_000_000_123),
		Attributes: map[string]redrive.Attribute{"n": {Type: "Number.int", Value: []byte("7")}, "b": {Type: "Binary", Value: []byte{0, 0xff}}},
		System: map[string]string{
			"SentTimestamp": "1795000000123", "ApproximateReceiveCount": "6", "AWSTraceHeader": "Root=1", "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:1:q",
		},
	}
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("%v, %+v", err, got)
	}
	text, _ := json.Marshal(*asked)
	for _, part := range []string{`"MaxNumberOfMessages":10`, `"VisibilityTimeout":90`, `"MessageAttributeNames":["All"]`, `"MessageSystemAttributeNames":["All"]`, `"WaitTimeSeconds":1`} {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("no %s in %s", part, text)
		}
	}
}

func TestDepthThatIsNoNumber(t *testing.T) {
	t.Parallel()
	for body, ok := range map[string]bool{
		`{"Attributes":{"ApproximateNumberOfMessages":"3","ApproximateNumberOfMessagesNotVisible":"4"}}`: true,
		`{"Attributes":{"ApproximateNumberOfMessages":"x","ApproximateNumberOfMessagesNotVisible":"4"}}`: false,
		`{"Attributes":{"ApproximateNumberOfMessages":"3"}}`:                                             false,
		`{}`: false,
	} {
		q, _ := recorded(t, reply{body: body})
		visible, hidden, err := q.Depth(t.Context())
		if (err == nil) != ok || ok && !slices.Equal([]int{visible, hidden}, []int{3, 4}) {
			t.Errorf("%s: %d, %d, %v", body, visible, hidden, err)
		}
	}
}
