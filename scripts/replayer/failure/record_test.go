package failure_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/scripts/replayer/failure"
)

// one is a shard with one record.
type one types.Record

func (one) GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: aws.String("i")}, nil
}

func (o one) GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	return &dynamodbstreams.GetRecordsOutput{Records: []types.Record{types.Record(o)}}, nil
}

func delivered(t interface {
	Helper()
	Fatal(...any)
}, in types.Record, stream string,
) []byte {
	t.Helper()
	sequence := *in.Dynamodb.SequenceNumber
	d := failure.Document{Stream: stream, Shard: "s", Start: sequence, End: sequence}
	for record, err := range d.Records(context.Background(), one(in), nil) {
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	t.Fatal("no record")
	return nil
}

func everyType() map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"text":     &types.AttributeValueMemberS{Value: `<a href="x">&  ü 🦉</a>`},
		"empty":    &types.AttributeValueMemberS{},
		"number":   &types.AttributeValueMemberN{Value: "12345678901234567890123456789012345678"},
		"binary":   &types.AttributeValueMemberB{Value: []byte{0, 1, 254, 255}},
		"nothing":  &types.AttributeValueMemberB{},
		"true":     &types.AttributeValueMemberBOOL{Value: true},
		"false":    &types.AttributeValueMemberBOOL{},
		"null":     &types.AttributeValueMemberNULL{Value: true},
		"texts":    &types.AttributeValueMemberSS{Value: []string{"b", "a"}},
		"numbers":  &types.AttributeValueMemberNS{Value: []string{"2.5", "-1E+3"}},
		"binaries": &types.AttributeValueMemberBS{Value: [][]byte{{1}, {}}},
		"none":     &types.AttributeValueMemberL{},
		"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{
			&types.AttributeValueMemberN{Value: "1"},
			&types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"deep": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberNULL{Value: true}}}}},
		}},
		"map": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"k": &types.AttributeValueMemberS{Value: "v"}, "e": &types.AttributeValueMemberM{}}},
	}
}

// What is read once more is what the function would have got, as the pump of one machine gives it.
func TestRecordsHaveTheFormOfLambda(t *testing.T) {
	t.Parallel()
	const stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/metrics/stream/2026-11-22T00:00:00.000"
	created := time.Unix(1795381200, 0)
	key := map[string]types.AttributeValue{"entity_id": &types.AttributeValueMemberS{Value: "stu_1"}, "entity_type": &types.AttributeValueMemberS{Value: "student"}}
	for name, in := range map[string]types.Record{
		"modify": {
			EventID: aws.String("f07f8ca4b0b26cb9c4e5e77e69f274ee"), EventName: types.OperationTypeModify, EventVersion: aws.String("1.1"), EventSource: aws.String("aws:dynamodb"), AwsRegion: aws.String("us-east-1"),
			Dynamodb: &types.StreamRecord{
				ApproximateCreationDateTime: &created, Keys: key, NewImage: everyType(), OldImage: key,
				SequenceNumber: aws.String("1405400000000002063282832"), SizeBytes: aws.Int64(54), StreamViewType: types.StreamViewTypeNewAndOldImages,
			},
		},
		"expire": {
			EventID: aws.String("e1"), EventName: types.OperationTypeRemove, EventVersion: aws.String("1.1"), EventSource: aws.String("aws:dynamodb"), AwsRegion: aws.String("us-east-1"),
			Dynamodb: &types.StreamRecord{
				ApproximateCreationDateTime: aws.Time(created.Add(250 * time.Millisecond)), Keys: key, OldImage: key,
				SequenceNumber: aws.String("2"), SizeBytes: aws.Int64(1), StreamViewType: types.StreamViewTypeNewAndOldImages,
			},
			UserIdentity: &types.Identity{Type: aws.String("Service"), PrincipalId: aws.String("dynamodb.amazonaws.com")},
		},
		"expire-bare": {
			EventID: aws.String("e2"), EventName: types.OperationTypeRemove,
			Dynamodb:     &types.StreamRecord{SequenceNumber: aws.String("3"), Keys: key, StreamViewType: types.StreamViewTypeKeysOnly},
			UserIdentity: &types.Identity{},
		},
	} {
		golden, err := os.ReadFile(filepath.Join("..", "..", "..", "infra", "local", "pump", "testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		got := delivered(t, in, stream)
		var a, b any
		if err := json.Unmarshal(golden, &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &b); err != nil || !reflect.DeepEqual(a, b) || bytes.Contains(got, []byte(`\u003c`)) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, golden)
		}
	}
}

// A type of attribute that does not exist yet is the normalizer's to refuse.
func TestAnUnknownTypeOfAttribute(t *testing.T) {
	t.Parallel()
	in := change("7")
	in.Dynamodb.NewImage = map[string]types.AttributeValue{"new": &types.UnknownUnionMember{Tag: "V"}, "nil": nil}
	if got := delivered(t, in, streamARN); !bytes.Contains(got, []byte(`"new":{"V":null}`)) || !bytes.Contains(got, []byte(`"nil":{}`)) {
		t.Errorf("%s", got)
	}
}

// What Lambda's own library reads from it and writes is the same again.
func TestRecordsAreReadByTheRuntimeLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := change("7")
		at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "second"), 0)
		in.Dynamodb.ApproximateCreationDateTime = &at
		in.Dynamodb.NewImage, in.Dynamodb.OldImage = drawImage(t, 3), drawImage(t, 1)
		got := delivered(t, in, streamARN)
		var r events.DynamoDBEventRecord
		if err := json.Unmarshal(got, &r); err != nil || !r.Change.ApproximateCreationDateTime.Equal(at) {
			t.Fatalf("%v: %s", err, got)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var a, b map[string]any
		if json.Unmarshal(again, &a) != nil || json.Unmarshal(got, &b) != nil {
			t.Fatalf("%s\n%s", got, again)
		}
		for _, record := range []map[string]any{a, b} { // it writes times as floats that may be off by the last bit
			delete(record["dynamodb"].(map[string]any), "ApproximateCreationDateTime")
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%s\n%s", got, again)
		}
	})
}

func drawImage(t *rapid.T, depth int) map[string]types.AttributeValue {
	image := map[string]types.AttributeValue{}
	for range rapid.IntRange(1, 4).Draw(t, "attributes") {
		image[rapid.String().Draw(t, "name")] = drawValue(t, depth)
	}
	return image
}

func drawValue(t *rapid.T, depth int) types.AttributeValue {
	kinds := 8
	if depth > 0 {
		kinds = 10
	}
	number := rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,18})?`)
	content := rapid.SliceOfN(rapid.Byte(), 0, 20)
	switch rapid.IntRange(1, kinds).Draw(t, "kind") {
	case 1:
		return &types.AttributeValueMemberS{Value: rapid.String().Draw(t, "S")}
	case 2:
		return &types.AttributeValueMemberN{Value: number.Draw(t, "N")}
	case 3:
		return &types.AttributeValueMemberB{Value: content.Draw(t, "B")}
	case 4:
		return &types.AttributeValueMemberBOOL{Value: rapid.Bool().Draw(t, "BOOL")}
	case 5:
		return &types.AttributeValueMemberNULL{Value: true}
	case 6:
		return &types.AttributeValueMemberSS{Value: rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "SS")}
	case 7:
		return &types.AttributeValueMemberNS{Value: rapid.SliceOfN(number, 1, 4).Draw(t, "NS")}
	case 8:
		return &types.AttributeValueMemberBS{Value: rapid.SliceOfN(content, 1, 4).Draw(t, "BS")}
	case 9:
		list := make([]types.AttributeValue, rapid.IntRange(0, 3).Draw(t, "L"))
		for i := range list {
			list[i] = drawValue(t, depth-1)
		}
		return &types.AttributeValueMemberL{Value: list}
	default:
		return &types.AttributeValueMemberM{Value: drawImage(t, depth-1)}
	}
}
