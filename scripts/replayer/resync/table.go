package resync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/statetable"
)

// Table is a table whose stream the normalizer reads, and how the state table names what is in its rows.
type Table struct {
	Name  string
	State string // the name of the state table

	names    [2]string // of the attributes that are a row's key: partition, sort
	filter   *topology.KeyPrefix
	insights bool
}

// Key is the key of a row or of a state: partition, sort.
type Key [2]string

// Tables lists the tables of a system whose streams are read.
func Tables(system topology.Topology) (all []Table) {
	state := statetable.Name(system)
	for _, s := range system.Streams {
		if t, ok := system.Table(s.Table); ok {
			all = append(all, Table{
				Name: t.Name, State: state, names: [2]string{t.PartitionKey, t.SortKey}, filter: s.Filter, insights: t.Variable == "INSIGHTS_TABLE",
			})
		}
	}
	return all
}

// Find returns the table of this name, or false if its stream is not read. The ARN of the table or of a stream of it
// names it as well.
func Find(system topology.Topology, named string) (Table, bool) {
	if _, rest, ok := strings.Cut(named, ":table/"); ok {
		named, _, _ = strings.Cut(rest, "/")
	}
	for _, t := range Tables(system) {
		if t.Name == named {
			return t, true
		}
	}
	return Table{}, false
}

// Filter says which keys of the table's stream are read; nil: all.
func (t Table) Filter() *topology.KeyPrefix { return t.filter }

// Key reads the key of a row from the subject of its events: student/stu_4532, or insight/insight#stu_4532/ and a time.
func (t Table) Key(subject string) (Key, error) {
	kind, id, ok := strings.Cut(subject, "/")
	if t.insights {
		end := strings.LastIndexByte(id, '/') // a time has none
		if kind != statetable.Insight || end <= 0 || end == len(id)-1 {
			return Key{}, fmt.Errorf("%q names no row of %s: want insight/, the partition key, / and the sort key", subject, t.Name)
		}
		return Key{id[:end], id[end+1:]}, nil
	}
	if !ok || kind == "" || id == "" || kind == statetable.Insight {
		return Key{}, fmt.Errorf("%q names no row of %s: want a type, / and an id, as student/stu_4532", subject, t.Name)
	}
	return Key{id, kind}, nil
}

// Describer is the part of the DynamoDB client that [Describe] uses.
type Describer interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

// Describe returns the ARN of a table's present stream, and the label of that, which tells it from those before. It
// returns an error for a table that cannot be resynced: one without a stream of both images, or with other keys.
func Describe(ctx context.Context, client Describer, t Table) (stream, label string, err error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name})
	if err != nil {
		return "", "", awsfault.DynamoDB.Classify("DescribeTable "+t.Name, err)
	}
	d := out.Table
	if len(d.KeySchema) != 2 || aws.ToString(d.KeySchema[0].AttributeName) != t.names[0] || aws.ToString(d.KeySchema[1].AttributeName) != t.names[1] {
		return "", "", fmt.Errorf("table %s: its keys are not %s and %s", t.Name, t.names[0], t.names[1])
	}
	spec := d.StreamSpecification
	switch {
	case spec == nil || !aws.ToBool(spec.StreamEnabled):
		return "", "", fmt.Errorf("table %s has no stream: switch one on that shows new and old images, and have the normalizer read it", t.Name)
	case spec.StreamViewType != types.StreamViewTypeNewAndOldImages:
		return "", "", fmt.Errorf("table %s: its stream shows %s, and not new and old images", t.Name, spec.StreamViewType)
	}
	stream = aws.ToString(d.LatestStreamArn)
	label, err = labelOf(stream)
	return stream, label, err
}

func labelOf(stream string) (string, error) {
	if _, label, ok := strings.Cut(stream, "/stream/"); ok && label != "" {
		return label, nil
	}
	return "", fmt.Errorf("%q is not the ARN of a table's stream", stream)
}

// What follows is the stored form of the state table and the normalizer's view of a row, as
// services/internal/state/dynamostate, services/internal/state and services/normalizer tell.
const (
	tenantAttribute = "tenant"
	defaultTenant   = "default" // owns the rows that name none
)

var (
	stateKey = [2]string{"pk", "sk"}
)

// tenantOf returns whose row it is, or false where it names no tenant that there can be.
func tenantOf(row item) (string, bool) {
	value, ok := row[tenantAttribute]
	if !ok {
		return defaultTenant, true
	}
	if text, ok := value.(*types.AttributeValueMemberS); ok && contracts.TenantPattern.MatchString(text.Value) {
		return text.Value, true
	}
	return "", false
}

// keyOf is the key of a row.
func (t Table) keyOf(row item) (Key, error) {
	var key Key
	for i, name := range t.names {
		text, ok := row[name].(*types.AttributeValueMemberS)
		if !ok {
			return Key{}, fmt.Errorf("table %s: a row whose %s is not a text", t.Name, name)
		}
		key[i] = text.Value
	}
	return key, nil
}

// streamed reports whether the normalizer is told of a row.
func (t Table) streamed(k Key) bool {
	return t.filter == nil ||
		t.filter.Attribute == t.names[0] && strings.HasPrefix(k[0], t.filter.Prefix) ||
		t.filter.Attribute == t.names[1] && strings.HasPrefix(k[1], t.filter.Prefix)
}

// stateOf is the key of a tenant's row in the state table, or false if there can be no such.
func (t Table) stateOf(tenant string, k Key) (Key, bool) {
	kind, id := k[1], k[0]
	if t.insights {
		kind, id = statetable.Insight, statetable.InsightID(k[0], k[1])
	}
	pk, sk := statetable.Key(tenant, kind, id)
	return Key{pk, sk}, len(id) <= statetable.MaxID
}

// entity is what the state table knows of a tenant's row.
type entity struct {
	key      Key // of the row
	tenant   string
	label    string         // of the stream that told of it last
	sequence string         // with leading zeros
	image    map[string]any // what is shown: texts, json.Numbers and lists of texts; nil: a tombstone
}

// decode reads a row of the state table, or reports that it is none of this table's.
func (t Table) decode(row item) (entity, bool, error) {
	var text [5]string
	for i, name := range stateAttributes {
		value, _ := row[name].(*types.AttributeValueMemberS)
		if value != nil {
			text[i] = value.Value
		}
	}
	part := strings.Split(text[0], "#")
	if len(part) != 3 || (part[1] == statetable.Insight) != t.insights { // the table's generation has no parts
		return entity{}, false, nil
	}
	e := entity{key: Key{text[1], part[1]}, tenant: part[0], label: text[2], sequence: text[3]}
	if t.insights {
		sk, pk, ok := strings.Cut(text[1], "/")
		if !ok {
			return e, false, errors.New("the state table has an insight without a time")
		}
		e.key = Key{pk, sk}
	}
	if len(e.sequence) != maxDigits || strings.Trim(e.sequence, "0123456789") != "" || e.label == "" {
		return e, false, errors.New("the state table has an item without its place in a stream")
	}
	if text[4] != "" {
		decoder := json.NewDecoder(strings.NewReader(text[4]))
		decoder.UseNumber()
		if err := decoder.Decode(&e.image); err != nil || e.image == nil {
			return e, false, errors.New("the state table has an image that is no JSON object")
		}
	}
	return e, t.streamed(e.key), nil
}
