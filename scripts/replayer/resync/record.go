package resync

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// record is a stream record as Lambda delivers it:
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
type record struct {
	EventID        string `json:"eventID"`
	EventName      string `json:"eventName"`
	EventVersion   string `json:"eventVersion"`
	EventSource    string `json:"eventSource"`
	AWSRegion      string `json:"awsRegion"`
	Change         change `json:"dynamodb"`
	EventSourceARN string `json:"eventSourceARN"`
}

type change struct {
	Created        int64  `json:"ApproximateCreationDateTime"` // in seconds
	Keys           image  `json:"Keys"`
	NewImage       image  `json:"NewImage,omitempty"`
	OldImage       image  `json:"OldImage,omitempty"`
	SequenceNumber string `json:"SequenceNumber"`
	StreamViewType string `json:"StreamViewType"`
}

// insert tells of a row as it is now.
func (s Source) insert(k Key, row item, sequence string) record {
	r := s.record("INSERT", k, sequence)
	r.Change.NewImage = row
	return r
}

// remove tells a tenant that a row is gone, and of it what the tenant was shown: by that the fanout knows whose views
// lose it.
func (s Source) remove(e entity, sequence string) record {
	r := s.record("REMOVE", e.key, sequence)
	row := asShown(e.image)
	maps.Copy(row, r.Change.Keys)
	row[tenantAttribute] = text(e.tenant)
	r.Change.OldImage = row
	return r
}

// asShown is a row with these public attributes.
func asShown(public map[string]any) item {
	row := item{}
	for name, value := range public {
		switch v := value.(type) {
		case string:
			row[name] = text(v)
		case json.Number:
			row[name] = &types.AttributeValueMemberN{Value: v.String()}
		case []any:
			list := &types.AttributeValueMemberL{}
			for _, each := range v {
				list.Value = append(list.Value, text(fmt.Sprint(each)))
			}
			row[name] = list
		}
	}
	return row
}

func (s Source) record(name string, k Key, sequence string) record {
	r := record{
		EventName: name, EventVersion: "1.1", EventSource: "aws:dynamodb", EventSourceARN: s.Stream,
		Change: change{
			Created: s.Now().Unix(), Keys: item{s.Table.names[0]: text(k[0]), s.Table.names[1]: text(k[1])},
			SequenceNumber: sequence, StreamViewType: string(types.StreamViewTypeNewAndOldImages),
		},
	}
	if arn := strings.Split(s.Stream, ":"); len(arn) > 3 {
		r.AWSRegion = arn[3]
	}
	return r
}

// message is the record on its way. Its ID is made of all that it says but when that was said.
func (r record) message() (redrive.Message, error) {
	at := r.Change.Created
	r.Change.Created = 0
	body, err := marshal(r)
	if err != nil {
		return redrive.Message{}, err
	}
	sum := sha256.Sum256(body)
	r.EventID, r.Change.Created = "resync-"+hex.EncodeToString(sum[:16]), at
	body, err = marshal(r)
	return redrive.Message{ID: r.EventID, Body: string(body), SentAt: time.Unix(at, 0).UTC()}, err
}

// marshal leaves <, > and & as they are: a text full of them would grow sixfold.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// image is an item in DynamoDB's JSON.
type image item

func (i image) MarshalJSON() ([]byte, error) {
	values, err := attributes(i)
	if err != nil {
		return nil, err
	}
	return marshal(values)
}

func attributes(in map[string]types.AttributeValue) (map[string]any, error) {
	out := make(map[string]any, len(in))
	var errs []error
	for name, value := range in {
		typed, err := attribute(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		out[name] = typed
	}
	return out, errors.Join(errs...)
}

// attribute is a value under the name of its type. What is empty is never JSON's null.
func attribute(value types.AttributeValue) (map[string]any, error) {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}, nil
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}, nil
	case *types.AttributeValueMemberB:
		return map[string]any{"B": append([]byte{}, v.Value...)}, nil
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}, nil
	case *types.AttributeValueMemberNULL:
		return map[string]any{"NULL": v.Value}, nil
	case *types.AttributeValueMemberSS:
		return map[string]any{"SS": v.Value}, nil
	case *types.AttributeValueMemberNS:
		return map[string]any{"NS": v.Value}, nil
	case *types.AttributeValueMemberBS:
		set := make([][]byte, len(v.Value))
		for i, each := range v.Value {
			set[i] = append([]byte{}, each...)
		}
		return map[string]any{"BS": set}, nil
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, each := range v.Value {
			typed, err := attribute(each)
			if err != nil {
				return nil, err
			}
			list[i] = typed
		}
		return map[string]any{"L": list}, nil
	case *types.AttributeValueMemberM:
		typed, err := attributes(v.Value)
		return map[string]any{"M": typed}, err
	default:
		return nil, errors.New("an attribute of a type that is not known here")
	}
}
