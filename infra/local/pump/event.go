package pump

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// maxPayload is the largest event of an invocation, in bytes.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (6 MB).
const maxPayload = 6 << 20

const eventHead, eventTail = `{"Records":[`, `]}`

// record is a stream record in the form that Lambda gives to a function.
type record struct {
	sequence string
	created  time.Time // zero where the stream does not say
	document []byte
	passed   bool // over, by the filter
}

// event joins records to the event of one invocation.
func event(batch []record) []byte {
	size := len(eventHead) + len(eventTail) + len(batch)
	for _, r := range batch {
		size += len(r.document)
	}
	b := append(make([]byte, 0, size), eventHead...)
	for i, r := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.document...)
	}
	return append(b, eventTail...)
}

// cut tells how many of the first records fit one invocation: at most limit, and at most 6 MB unless the first alone
// is larger.
func cut(records []record, limit int) int {
	size := len(eventHead) + len(eventTail)
	for i, r := range records {
		size += len(r.document) + 1
		if i == limit || i > 0 && size-1 > maxPayload {
			return i
		}
	}
	return len(records)
}

// The JSON of a record. What is not applicable is absent.
type (
	eventRecord struct {
		EventID        string         `json:"eventID"`
		EventName      string         `json:"eventName"`
		EventVersion   string         `json:"eventVersion"`
		EventSource    string         `json:"eventSource"`
		AWSRegion      string         `json:"awsRegion"`
		Change         eventChange    `json:"dynamodb"`
		EventSourceARN string         `json:"eventSourceARN"`
		UserIdentity   *eventIdentity `json:"userIdentity,omitempty"`
	}
	eventChange struct {
		Created        json.Number    `json:"ApproximateCreationDateTime,omitempty"`
		Keys           map[string]any `json:"Keys,omitempty"`
		NewImage       map[string]any `json:"NewImage,omitempty"`
		OldImage       map[string]any `json:"OldImage,omitempty"`
		SequenceNumber string         `json:"SequenceNumber"`
		SizeBytes      int64          `json:"SizeBytes"`
		StreamViewType string         `json:"StreamViewType"`
	}
	eventIdentity struct {
		Type        string `json:"type"`
		PrincipalID string `json:"principalId"`
	}
)

// convert turns a record of GetRecords into one of a Lambda event.
func convert(in types.Record, streamARN string) (record, error) {
	if in.Dynamodb == nil || value(in.Dynamodb.SequenceNumber) == "" {
		return record{}, errors.New("no sequence number")
	}
	change := in.Dynamodb
	out := eventRecord{
		EventID:      value(in.EventID),
		EventName:    string(in.EventName),
		EventVersion: value(in.EventVersion),
		EventSource:  value(in.EventSource),
		AWSRegion:    value(in.AwsRegion),
		Change: eventChange{
			Keys:           image(change.Keys),
			NewImage:       image(change.NewImage),
			OldImage:       image(change.OldImage),
			SequenceNumber: *change.SequenceNumber,
			StreamViewType: string(change.StreamViewType),
		},
		EventSourceARN: streamARN,
	}
	if out.EventVersion == "" {
		out.EventVersion = "1.1"
	}
	if out.EventSource == "" {
		out.EventSource = "aws:dynamodb"
	}
	if arn := strings.Split(streamARN, ":"); out.AWSRegion == "" && len(arn) > 3 {
		out.AWSRegion = arn[3]
	}
	if change.SizeBytes != nil {
		out.Change.SizeBytes = *change.SizeBytes
	}
	var created time.Time
	if change.ApproximateCreationDateTime != nil {
		created = *change.ApproximateCreationDateTime
		out.Change.Created = seconds(created)
	}
	if in.UserIdentity != nil {
		out.UserIdentity = &eventIdentity{Type: value(in.UserIdentity.Type), PrincipalID: value(in.UserIdentity.PrincipalId)}
		// Only the removal of an expired item has an identity. One server names its members otherwise than AWS, and the
		// SDK then sees none of them.
		if *out.UserIdentity == (eventIdentity{}) && in.EventName == types.OperationTypeRemove {
			*out.UserIdentity = eventIdentity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"}
		}
	}
	document, err := marshal(out)
	if err != nil {
		return record{}, err
	}
	return record{sequence: *change.SequenceNumber, created: created, document: document}, nil
}

// seconds is a JSON number of epoch seconds, with a fraction only where there is one.
func seconds(t time.Time) json.Number {
	whole := strconv.FormatInt(t.Unix(), 10)
	if t.Nanosecond() == 0 {
		return json.Number(whole)
	}
	return json.Number(whole + "." + strings.TrimRight(fmt.Sprintf("%09d", t.Nanosecond()), "0"))
}

func image(in map[string]types.AttributeValue) map[string]any {
	out := make(map[string]any, len(in))
	for name, v := range in {
		out[name] = attribute(v)
	}
	return out
}

// attribute is a value in DynamoDB's JSON. A type that this code does not know becomes null under its tag: the function
// will refuse the record, and that is then kept with the others that fail.
func attribute(v types.AttributeValue) map[string]any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberB:
		return map[string]any{"B": binary(v.Value)}
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}
	case *types.AttributeValueMemberNULL:
		return map[string]any{"NULL": v.Value}
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, each := range v.Value {
			list[i] = attribute(each)
		}
		return map[string]any{"L": list}
	case *types.AttributeValueMemberM:
		return map[string]any{"M": image(v.Value)}
	case *types.AttributeValueMemberSS:
		return map[string]any{"SS": append([]string{}, v.Value...)}
	case *types.AttributeValueMemberNS:
		return map[string]any{"NS": append([]string{}, v.Value...)}
	case *types.AttributeValueMemberBS:
		set := make([][]byte, len(v.Value))
		for i, each := range v.Value {
			set[i] = binary(each)
		}
		return map[string]any{"BS": set}
	case *types.UnknownUnionMember:
		return map[string]any{v.Tag: nil}
	default:
		return map[string]any{}
	}
}

// binary is never nil, which would be JSON's null.
func binary(b []byte) []byte { return append([]byte{}, b...) }

// marshal leaves <, > and & as they are: a text full of them would grow sixfold.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
