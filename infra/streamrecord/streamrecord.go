// Package streamrecord is the JSON in which Lambda delivers the records of a DynamoDB stream, for whoever reads a stream
// by itself: the pump of one machine, and the replay of what was given up.
package streamrecord

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// record is a stream record as Lambda delivers it. What is not applicable is absent.
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
type record struct {
	EventID        string    `json:"eventID"`
	EventName      string    `json:"eventName"`
	EventVersion   string    `json:"eventVersion"`
	EventSource    string    `json:"eventSource"`
	AWSRegion      string    `json:"awsRegion"`
	Change         change    `json:"dynamodb"`
	EventSourceARN string    `json:"eventSourceARN"`
	UserIdentity   *identity `json:"userIdentity,omitempty"`
}

type change struct {
	Created        json.Number    `json:"ApproximateCreationDateTime,omitempty"`
	Keys           map[string]any `json:"Keys,omitempty"`
	NewImage       map[string]any `json:"NewImage,omitempty"`
	OldImage       map[string]any `json:"OldImage,omitempty"`
	SequenceNumber string         `json:"SequenceNumber"`
	SizeBytes      int64          `json:"SizeBytes"`
	StreamViewType string         `json:"StreamViewType"`
}

type identity struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
}

// expiry is the identity of who removes an item whose time to live has ended.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
var expiry = identity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"}

// Encode turns a record of GetRecords, which has a change, into one of a Lambda event. stream is the ARN of the stream. An
// attribute of a type that is not known here becomes null. It may be called concurrently.
func Encode(in types.Record, stream string) (json.RawMessage, error) {
	c := in.Dynamodb
	out := record{
		EventID:      aws.ToString(in.EventID),
		EventName:    string(in.EventName),
		EventVersion: aws.ToString(in.EventVersion),
		EventSource:  aws.ToString(in.EventSource),
		AWSRegion:    aws.ToString(in.AwsRegion),
		Change: change{
			Keys:           image(c.Keys),
			NewImage:       image(c.NewImage),
			OldImage:       image(c.OldImage),
			SequenceNumber: aws.ToString(c.SequenceNumber),
			SizeBytes:      aws.ToInt64(c.SizeBytes),
			StreamViewType: string(c.StreamViewType),
		},
		EventSourceARN: stream,
	}
	if out.EventVersion == "" {
		out.EventVersion = "1.1"
	}
	if out.EventSource == "" {
		out.EventSource = "aws:dynamodb"
	}
	if arn := strings.Split(stream, ":"); out.AWSRegion == "" && len(arn) > 3 {
		out.AWSRegion = arn[3]
	}
	if created := c.ApproximateCreationDateTime; created != nil {
		out.Change.Created = seconds(*created)
	}
	if who := in.UserIdentity; who != nil {
		out.UserIdentity = &identity{Type: aws.ToString(who.Type), PrincipalID: aws.ToString(who.PrincipalId)}
		// Only an expiry has an identity. One server names its members as Lambda does, and the SDK then sees none of them.
		if *out.UserIdentity == (identity{}) && in.EventName == types.OperationTypeRemove {
			*out.UserIdentity = expiry
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a text full of < would grow sixfold
	if err := e.Encode(out); err != nil {
		return nil, errors.New("a record of the stream cannot be written as JSON")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
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

// attribute is a value under the name of its type; nothing that is empty is JSON's null. One of a type that is not known
// here becomes null: the normalizer refuses the record, and keeps it.
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

func binary(b []byte) []byte { return append([]byte{}, b...) }
