package failure_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/failure"
)

func fixture(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestReadsANotice(t *testing.T) {
	t.Parallel()
	one := failure.Object{
		Bucket: "iops-dashboard-failures",
		Key:    "aws/lambda/0b9c5f5e-esm/shardId-00000001573689847184-864758bb/2026/11/25/2026-11-25T15.51.38-a +é",
	}
	n, err := failure.ReadNotice(fixture(t, "notice.json"))
	if want := (failure.Notice{Objects: []failure.Object{one}}); err != nil || !reflect.DeepEqual(n, want) {
		t.Errorf("%v: %+v", err, n)
	}
	var all struct{ Records []json.RawMessage }
	if err := json.Unmarshal([]byte(fixture(t, "notice.json")), &all); err != nil {
		t.Fatal(err)
	}
	all.Records = append(all.Records, json.RawMessage(strings.Replace(string(all.Records[0]), "a+%2B%C3%A9", "b", 1)))
	two, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = failure.ReadNotice(string(two)); err != nil || len(n.Objects) != 2 || n.Objects[0] != one || !strings.HasSuffix(n.Objects[1].Key, "-b") {
		t.Errorf("%v: %+v", err, n)
	}
	if n, err = failure.ReadNotice(fixture(t, "test.json")); err != nil || !reflect.DeepEqual(n, failure.Notice{Test: true}) {
		t.Errorf("%v: %+v", err, n)
	}
	if n, err = failure.ReadNotice(fixture(t, "sqs.json")); err != nil || n.Document == nil || n.Document.Condition != "RecordAgeExceeded" || n.Document.Payload != nil {
		t.Errorf("%v: %+v", err, n)
	}
	if n, err = failure.ReadNotice(fixture(t, "s3.json")); err != nil || n.Document == nil || len(n.Document.Payload) != 2 {
		t.Errorf("%v: %+v", err, n)
	}
}

func TestRefusesWhatIsNoNotice(t *testing.T) {
	t.Parallel()
	good := fixture(t, "notice.json")
	for name, body := range map[string]string{
		"nothing":          "",
		"no JSON":          "SECRET",
		"no object":        `["SECRET"]`,
		"empty":            `{}`,
		"no records":       `{"Records":[]}`,
		"an event":         `{"Records":[{"eventID":"SECRET","eventSource":"aws:dynamodb","dynamodb":{}}]}`,
		"another event":    `{"Service":"SECRET","Event":"s3:Other"}`,
		"a removal":        strings.Replace(good, "ObjectCreated:Put", "ObjectRemoved:Delete", 1),
		"of another":       strings.Replace(good, "aws:s3", "aws:sqs", 1),
		"a broken key":     strings.Replace(good, "%2B", "%ZZ", 1),
		"no key":           `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"SECRET"},"object":{"key":""}}}]}`,
		"no bucket":        `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"object":{"key":"SECRET"}}}]}`,
		"a key of no text": `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"SECRET"},"object":{"key":7}}}]}`,
		"a dead letter":    `{"specversion":"1.0","type":"METRIC_UPDATE","subject":"SECRET"}`,
		"half a document":  `{"requestContext":{"condition":"SECRET"}}`,
	} {
		if n, err := failure.ReadNotice(body); err == nil || strings.Contains(err.Error(), "SECRET") || !reflect.DeepEqual(n, failure.Notice{}) {
			t.Errorf("%s: %v, %+v", name, err, n)
		}
	}
}

func TestReadsADocument(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 15, 51, 0, 0, time.UTC)
	want := failure.Document{
		Condition: "RetryAttemptsExhausted", Tries: 51, FunctionError: "Unhandled", At: at.Add(38*time.Second + 21*time.Millisecond),
		Stream: "arn:aws:dynamodb:us-east-1:123456789012:table/iops-dashboard-metrics/stream/2026-11-22T10:00:00.000",
		Shard:  "shardId-00000001573689847184-864758bb",
		Start:  "1405400000000002063282832", End: "1405500000000002063282833",
		First: at, Last: at.Add(time.Second), Size: 2,
		Payload: []json.RawMessage{
			json.RawMessage(`{"eventID":"e1","dynamodb":{"SequenceNumber":"1405400000000002063282832","Keys":{"entity_id":{"S":"stu_<ü>"}}}}`),
			json.RawMessage(`{"eventID":"e2","dynamodb":{"SequenceNumber":"1405500000000002063282833"}}`),
		},
	}
	d, err := failure.ReadDocument([]byte(fixture(t, "s3.json")))
	if err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("%v: %+v", err, d)
	}
	if d.Table() != "iops-dashboard-metrics" {
		t.Errorf("table %q", d.Table())
	}
	if l := d.Letter(); l != (deadletter.Letter{Cause: "RetryAttemptsExhausted after 51 tries, Unhandled", Type: "stream record", SentAt: d.At}) {
		t.Errorf("%+v", l)
	}

	d, err = failure.ReadDocument([]byte(fixture(t, "sqs.json")))
	if err != nil || d.Payload != nil || d.Start != "999999999999999999999" || d.End != "1000000000000000000000" || d.FunctionError != "" || d.Size != 2 {
		t.Errorf("%v: %+v", err, d)
	}
	if l := d.Letter(); l.Cause != "RecordAgeExceeded after 1 try" {
		t.Errorf("%+v", l)
	}
	bare := `{"requestContext":{},"DDBStreamBatchInfo":{"shardId":"s","startSequenceNumber":"1","endSequenceNumber":"1","streamArn":"arn:aws:dynamodb:eu-west-1:1:table/T/stream/L"}}`
	if d, err = failure.ReadDocument([]byte(bare)); err != nil || d.Table() != "T" {
		t.Errorf("%v: %+v", err, d)
	}
}

func TestRefusesWhatIsNoDocument(t *testing.T) {
	t.Parallel()
	s3, sqs := fixture(t, "s3.json"), fixture(t, "sqs.json")
	replace := func(in, old, with string) string {
		out := strings.Replace(in, old, with, 1)
		if out == in {
			t.Fatalf("no %s", old)
		}
		return out
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"no JSON":              "SECRET",
		"no object":            `"SECRET"`,
		"no batch":             `{"requestContext":{"condition":"SECRET"},"version":"1.0"}`,
		"of Kinesis":           replace(sqs, "DDBStreamBatchInfo", "KinesisBatchInfo"),
		"a payload of no JSON": replace(s3, `"payload": "{`, `"payload": "SECRET{`),
		"an empty payload":     replace(s3, s3[strings.Index(s3, `"payload"`):], `"payload":""}`),
		"no records":           replace(s3, s3[strings.Index(s3, `"payload"`):], `"payload":"{\"Records\":[]}"}`),
		"no range":             replace(sqs, `"startSequenceNumber": "999999999999999999999",`, ``),
		"a range of no digits": replace(sqs, `"endSequenceNumber": "1`, `"endSequenceNumber": "x`),
		"backwards":            replace(sqs, `"endSequenceNumber": "1`, `"endSequenceNumber": "0`),
		"no shard":             replace(sqs, `"shardId-00000001573689847184-864758bb"`, `""`),
		"no stream":            replace(sqs, "/stream/", "/"),
	} {
		if d, err := failure.ReadDocument([]byte(text)); err == nil || strings.Contains(err.Error(), "SECRET") || errors.Is(err, deadletter.ErrNewer) || !reflect.DeepEqual(d, failure.Document{}) {
			t.Errorf("%s: %v, %+v", name, err, d)
		}
	}
	if _, err := failure.ReadDocument([]byte(replace(s3, `"version": "1.0"`, `"version": "2.0"`))); !errors.Is(err, deadletter.ErrNewer) {
		t.Errorf("a newer form: %v", err)
	}
}

func FuzzNotice(f *testing.F) {
	for _, name := range []string{"notice.json", "test.json", "sqs.json", "s3.json"} {
		f.Add(fixture(f, name))
	}
	f.Fuzz(func(t *testing.T, body string) {
		n, err := failure.ReadNotice(body)
		says := 0
		for _, is := range []bool{err != nil, n.Test, n.Document != nil, len(n.Objects) > 0} {
			if is {
				says++
			}
		}
		if says != 1 {
			t.Errorf("%v, %+v", err, n)
		}
		for _, o := range n.Objects {
			if o.Bucket == "" || o.Key == "" {
				t.Errorf("%+v", o)
			}
		}
	})
}

func FuzzDocument(f *testing.F) {
	f.Add(fixture(f, "sqs.json"))
	f.Add(fixture(f, "s3.json"))
	f.Fuzz(func(t *testing.T, text string) {
		d, err := failure.ReadDocument([]byte(text))
		if err != nil {
			return
		}
		d.Letter()
		if d.Payload == nil && (d.Table() == "" || d.Shard == "" || d.Start == "" || d.End == "") {
			t.Errorf("neither records nor a range: %+v", d)
		}
		for _, r := range d.Payload {
			if !json.Valid(r) {
				t.Errorf("%s", r)
			}
		}
	})
}
