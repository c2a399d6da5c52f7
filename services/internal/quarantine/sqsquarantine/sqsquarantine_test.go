package sqsquarantine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/quarantine/quarantinetest"
	"github.com/iops-dashboard/live/services/internal/quarantine/sqsquarantine"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	quarantinetest.Run(t, func(t *testing.T) quarantinetest.Harness {
		client := awstest.SQS(t)
		queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(awstest.Name("quarantine"))})
		if err != nil {
			t.Fatal(err)
		}
		var got []quarantine.Record
		return quarantinetest.Harness{
			Quarantine: sqsquarantine.New(client, *queue.QueueUrl),
			Kept: func(ctx context.Context, n int) ([]quarantine.Record, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				for len(got) < n {
					out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 2})
					if err != nil {
						return nil, err
					}
					for _, m := range out.Messages {
						r, err := sqsquarantine.Decode(*m.Body)
						if err != nil {
							return nil, err
						}
						got = append(got, r)
					}
				}
				return got, nil
			},
		}
	})
}

// SQS takes these characters and no others:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func TestBodiesHaveOnlyCharactersThatSQSTakes(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string][]byte{
		"noncharacters": []byte("{\"a\":\"\ufffe\uffff\U0001fffe\"}"),
		"not utf-8":     []byte("{\"a\":\"\xff\"}"),
		"control":       []byte(`{"a":"\u0000\u001f"}`),
	} {
		r := quarantinetest.Record()
		r.Payload = payload
		body, err := sqsquarantine.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(body) || strings.ContainsFunc(body, func(c rune) bool {
			return c != '\t' && c != '\n' && c != '\r' && c < 0x20 || 0xd800 <= c && c <= 0xdfff || c == 0xfffe || c == 0xffff
		}) {
			t.Errorf("%s: SQS would refuse %q", name, body)
		}
	}
}

func TestMessageForm(t *testing.T) {
	t.Parallel()
	r := quarantinetest.Record()
	r.Payload, r.EntityID, r.Tenant = []byte(`{"eventID": "e1"}`), "stu_1", ""
	body, err := sqsquarantine.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"quarantined_at":"2026-11-22T10:00:00.123Z",` +
		`"reason":{"code":"maximum","pointer":"/dynamodb/NewImage/health_score","message":"must be at most 100, not 101"},` +
		`"source":"arn:aws:dynamodb:us-east-1:123456789012:table/iops-dashboard-metrics/stream/2026-11-22T10:00:00.000",` +
		`"event_id":"f07f8ca4b0b26cb9c4e5e77e69f274ee","sequence":"1405400000000002063282832",` +
		`"entity_type":"student","entity_id":"stu_1","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",` +
		`"record":{"eventID":"e1"}}`
	if body != want {
		t.Errorf("body %s\nwant %s", body, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good, err := sqsquarantine.Encode(quarantinetest.Record())
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"no JSON":         `{`,
		"an unknown name": strings.Replace(good, `{"version":1,`, `{"version":1,"colour":"red",`, 1),
		"another version": strings.Replace(good, `"version":1`, `"version":2`, 1),
		"two records":     strings.Replace(good, `"record":`, `"record_gzip":"","record":`, 1),
		"no time":         strings.Replace(good, `"quarantined_at":"2026-11-22T10:00:00.123Z"`, `"quarantined_at":"today"`, 1),
		"a tail":          good + `{}`,
		"no record":       `{"version":1,"quarantined_at":"2026-11-22T10:00:00.123Z","reason":{"code":"x"}}`,
		"no gzip":         `{"version":1,"quarantined_at":"2026-11-22T10:00:00.123Z","reason":{"code":"x"},"record_gzip":"AAAA"}`,
	} {
		if _, err := sqsquarantine.Decode(body); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
	}
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"no answer":     {errors.New("connection reset"), fault.Transient},
		"outage":        {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultServer}, fault.Transient},
		"throttled":     {&types.RequestThrottled{}, fault.Throttled},
		"no queue":      {&types.QueueDoesNotExist{}, fault.Denied},
		"no permission": {&smithy.GenericAPIError{Code: "AccessDenied"}, fault.Denied},
		"no key":        {&types.KmsDisabled{}, fault.Denied},
		"refused":       {&types.InvalidMessageContents{}, fault.Invalid},
		"unknown":       {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultClient}, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := sqs.New(sqs.Options{
				Region: "us-east-1", Retryer: aws.NopRetryer{},
				APIOptions: []func(*middleware.Stack) error{awstest.Around(func(context.Context, any, func() (any, error)) (any, error) {
					return nil, tc.err
				})},
			})
			err := sqsquarantine.New(client, "url").Put(t.Context(), quarantinetest.Record())
			if fault.KindOf(err) != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%v, want kind %v", err, tc.want)
			}
		})
	}
}
