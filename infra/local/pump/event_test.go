package pump

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// everyType holds all ten types of attribute, empty ones and nested ones among them.
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

func goldenRecords() map[string]types.Record {
	created := time.Unix(1795381200, 0)
	key := map[string]types.AttributeValue{"entity_id": &types.AttributeValueMemberS{Value: "stu_1"}, "entity_type": &types.AttributeValueMemberS{Value: "student"}}
	return map[string]types.Record{
		"modify": {
			EventID: new("f07f8ca4b0b26cb9c4e5e77e69f274ee"), EventName: types.OperationTypeModify, EventVersion: new("1.1"), EventSource: new("aws:dynamodb"), AwsRegion: new("us-east-1"),
			Dynamodb: &types.StreamRecord{
				ApproximateCreationDateTime: &created, Keys: key, NewImage: everyType(), OldImage: key,
				SequenceNumber: new("1405400000000002063282832"), SizeBytes: new(int64(54)), StreamViewType: types.StreamViewTypeNewAndOldImages,
			},
		},
		"expire": {
			EventID: new("e1"), EventName: types.OperationTypeRemove, EventVersion: new("1.1"), EventSource: new("aws:dynamodb"), AwsRegion: new("us-east-1"),
			Dynamodb: &types.StreamRecord{
				ApproximateCreationDateTime: new(created.Add(250 * time.Millisecond)), Keys: key, OldImage: key,
				SequenceNumber: new("2"), SizeBytes: new(int64(1)), StreamViewType: types.StreamViewTypeNewAndOldImages,
			},
			UserIdentity: &types.Identity{Type: new("Service"), PrincipalId: new("dynamodb.amazonaws.com")},
		},
		// As some servers give it: an identity whose members the SDK does not see, and much left out.
		"expire-bare": {
			EventID: new("e2"), EventName: types.OperationTypeRemove,
			Dynamodb:     &types.StreamRecord{SequenceNumber: new("3"), Keys: key, StreamViewType: types.StreamViewTypeKeysOnly},
			UserIdentity: &types.Identity{},
		},
	}
}

func TestConvertGolden(t *testing.T) {
	for name, in := range goldenRecords() {
		t.Run(name, func(t *testing.T) {
			got, err := convert(in, streamARN)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got.document, "", "  "); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(pretty.Bytes(), want) {
				t.Errorf("%s differs; `go test ./infra/local/pump -update` rewrites it. Got:\n%s", path, pretty.Bytes())
			}
			if got.sequence != *in.Dynamodb.SequenceNumber {
				t.Errorf("sequence %s", got.sequence)
			}
		})
	}
}

func TestConvertIsReadByTheRuntimeLibrary(t *testing.T) {
	var batch []record
	for _, name := range []string{"modify", "expire", "expire-bare"} {
		r, err := convert(goldenRecords()[name], streamARN)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, r)
	}
	var got events.DynamoDBEvent
	if err := json.Unmarshal(event(batch), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Records) != 3 {
		t.Fatalf("%d records", len(got.Records))
	}
	modify, expire, bare := got.Records[0], got.Records[1], got.Records[2]
	if err := same(everyType(), modify.Change.NewImage); err != nil {
		t.Error(err)
	}
	if at := modify.Change.ApproximateCreationDateTime; at.Unix() != 1795381200 || at.Nanosecond() != 0 {
		t.Errorf("created %v", at)
	}
	if at := expire.Change.ApproximateCreationDateTime; at.Unix() != 1795381200 || at.Nanosecond() != 250_000_000 {
		t.Errorf("created %v", at)
	}
	if modify.UserIdentity != nil || modify.EventName != "MODIFY" || modify.EventSourceArn != streamARN || modify.Change.SizeBytes != 54 || modify.AWSRegion != "us-east-1" {
		t.Errorf("got %+v", modify)
	}
	for _, r := range []events.DynamoDBEventRecord{expire, bare} {
		if r.UserIdentity == nil || *r.UserIdentity != (events.DynamoDBUserIdentity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"}) {
			t.Errorf("identity %+v", r.UserIdentity)
		}
		if r.Change.NewImage != nil {
			t.Errorf("new image %v", r.Change.NewImage)
		}
	}
	if bare.EventSource != "aws:dynamodb" || bare.EventVersion != "1.1" || bare.AWSRegion != "eu-central-1" {
		t.Errorf("got %+v", bare)
	}
}

func TestConvertRefusesWhatCannotBeACheckpoint(t *testing.T) {
	for _, in := range []types.Record{{}, {Dynamodb: &types.StreamRecord{}}, {Dynamodb: &types.StreamRecord{SequenceNumber: new("")}}} {
		if _, err := convert(in, streamARN); err == nil {
			t.Errorf("%+v was taken", in)
		}
	}
}

// A type of attribute that does not exist yet must not stop the shard here: the function refuses it.
func TestConvertUnknownType(t *testing.T) {
	in := newRecord(1, time.Unix(1, 0))
	in.Dynamodb.NewImage = map[string]types.AttributeValue{"new": &types.UnknownUnionMember{Tag: "V"}, "nil": nil}
	got, err := convert(in, streamARN)
	if err != nil || !bytes.Contains(got.document, []byte(`"new":{"V":null}`)) {
		t.Errorf("%s, %v", got.document, err)
	}
}

func TestConvertRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := newRecord(rapid.IntRange(1, 1<<40).Draw(t, "number"), time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "second"), 0))
		in.Dynamodb.NewImage = drawImage(t, 3)
		in.Dynamodb.OldImage = drawImage(t, 1)
		got, err := convert(in, streamARN)
		if err != nil {
			t.Fatal(err)
		}
		var out events.DynamoDBEvent
		if err := json.Unmarshal(event([]record{got}), &out); err != nil {
			t.Fatal(err)
		}
		change := out.Records[0].Change
		if err := same(in.Dynamodb.NewImage, change.NewImage); err != nil {
			t.Fatal(err)
		}
		if err := same(in.Dynamodb.OldImage, change.OldImage); err != nil {
			t.Fatal(err)
		}
		if change.SequenceNumber != *in.Dynamodb.SequenceNumber || !change.ApproximateCreationDateTime.Equal(*in.Dynamodb.ApproximateCreationDateTime) {
			t.Fatalf("got %+v", change)
		}
		// What the runtime library writes back is the same JSON again.
		again, err := json.Marshal(out.Records[0])
		if err != nil {
			t.Fatal(err)
		}
		var a, b map[string]any
		if json.Unmarshal(again, &a) != nil || json.Unmarshal(got.document, &b) != nil {
			t.Fatalf("%s\n%s", got.document, again)
		}
		for _, record := range []map[string]any{a, b} { // it writes times as floats that may be off by the last bit
			delete(record["dynamodb"].(map[string]any), "ApproximateCreationDateTime")
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%s\n%s", got.document, again)
		}
	})
}

func drawImage(t *rapid.T, depth int) map[string]types.AttributeValue {
	image := map[string]types.AttributeValue{}
	for i := range rapid.IntRange(1, 4).Draw(t, "attributes") {
		image[fmt.Sprint(rapid.String().Draw(t, "name"), i)] = drawValue(t, depth)
	}
	return image
}

func drawValue(t *rapid.T, depth int) types.AttributeValue {
	kinds := 8
	if depth > 0 {
		kinds = 10
	}
	number := rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,18})?`)
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 20)
	switch rapid.IntRange(1, kinds).Draw(t, "kind") {
	case 1:
		return &types.AttributeValueMemberS{Value: rapid.String().Draw(t, "S")}
	case 2:
		return &types.AttributeValueMemberN{Value: number.Draw(t, "N")}
	case 3:
		return &types.AttributeValueMemberB{Value: bytes.Draw(t, "B")}
	case 4:
		return &types.AttributeValueMemberBOOL{Value: rapid.Bool().Draw(t, "BOOL")}
	case 5:
		return &types.AttributeValueMemberNULL{Value: true}
	case 6:
		return &types.AttributeValueMemberSS{Value: rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "SS")}
	case 7:
		return &types.AttributeValueMemberNS{Value: rapid.SliceOfN(number, 1, 4).Draw(t, "NS")}
	case 8:
		return &types.AttributeValueMemberBS{Value: rapid.SliceOfN(bytes, 1, 4).Draw(t, "BS")}
	case 9:
		var list []types.AttributeValue
		for range rapid.IntRange(0, 3).Draw(t, "L") {
			list = append(list, drawValue(t, depth-1))
		}
		return &types.AttributeValueMemberL{Value: list}
	default:
		return &types.AttributeValueMemberM{Value: drawImage(t, depth-1)}
	}
}

// same compares what went in with what a function reads.
func same(in map[string]types.AttributeValue, out map[string]events.DynamoDBAttributeValue) error {
	if len(in) != len(out) {
		return fmt.Errorf("%d attributes became %d", len(in), len(out))
	}
	for name, v := range in {
		got, present := out[name]
		if !present || !sameValue(v, got) {
			return fmt.Errorf("attribute %q: %#v became %+v", name, v, got)
		}
	}
	return nil
}

func sameValue(in types.AttributeValue, out events.DynamoDBAttributeValue) bool {
	kind := out.DataType()
	switch in := in.(type) {
	case *types.AttributeValueMemberS:
		return kind == events.DataTypeString && out.String() == in.Value
	case *types.AttributeValueMemberN:
		return kind == events.DataTypeNumber && out.Number() == in.Value
	case *types.AttributeValueMemberB:
		return kind == events.DataTypeBinary && bytes.Equal(out.Binary(), in.Value)
	case *types.AttributeValueMemberBOOL:
		return kind == events.DataTypeBoolean && out.Boolean() == in.Value
	case *types.AttributeValueMemberNULL:
		return kind == events.DataTypeNull && out.IsNull()
	case *types.AttributeValueMemberSS:
		return kind == events.DataTypeStringSet && slices.Equal(out.StringSet(), in.Value)
	case *types.AttributeValueMemberNS:
		return kind == events.DataTypeNumberSet && slices.Equal(out.NumberSet(), in.Value)
	case *types.AttributeValueMemberBS:
		return kind == events.DataTypeBinarySet && slices.EqualFunc(out.BinarySet(), in.Value, bytes.Equal)
	case *types.AttributeValueMemberL:
		return kind == events.DataTypeList && slices.EqualFunc(in.Value, out.List(), sameValue)
	case *types.AttributeValueMemberM:
		return kind == events.DataTypeMap && same(in.Value, out.Map()) == nil
	}
	return false
}

func TestCut(t *testing.T) {
	sized := func(sizes ...int) []record {
		var list []record
		for _, n := range sizes {
			list = append(list, record{document: make([]byte, n)})
		}
		return list
	}
	room := maxPayload - len(eventHead) - len(eventTail)
	for _, test := range []struct {
		records []record
		want    int
	}{
		{nil, 0},
		{sized(1, 1, 1, 1, 1), 4},
		{sized(room), 1},
		{sized(room+1, 1), 1},
		{sized(room-2, 1), 2},
		{sized(room-1, 1), 1},
	} {
		got := cut(test.records, 4)
		if got != test.want {
			t.Errorf("%d records: %d, want %d", len(test.records), got, test.want)
		}
		if size := len(event(test.records[:got])); got > 1 && size > maxPayload {
			t.Errorf("an event of %d bytes", size)
		}
	}
}
