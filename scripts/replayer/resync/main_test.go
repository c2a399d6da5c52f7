package resync

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/infra/local/provision"
	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/dynamotest"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

func TestMain(m *testing.M) { dynamotest.Main(m) }

// names sets the tables of tests apart.
var names atomic.Int64

// store is a system's tables in DynamoDB, each test its own.
type store struct {
	testing.TB
	*dynamodb.Client
	metrics, insights Table
	stream            string // of the metrics
	label             string
}

func newStore(t testing.TB) store {
	t.Helper()
	s := store{TB: t, Client: dynamotest.Client(t)}
	system := topology.New(topology.Options{Stage: fmt.Sprintf("t%d", names.Add(1))})
	if _, err := provision.Apply(t.Context(), provision.Clients{DynamoDB: s.Client}, topology.Topology{Tables: system.Tables}); err != nil {
		t.Fatal(err)
	}
	tables := Tables(system)
	s.metrics, s.insights = tables[0], tables[1]
	var err error
	if s.stream, s.label, err = Describe(t.Context(), s.Client, s.metrics); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s store) source() Source {
	return Source{Client: s.Client, Table: s.metrics, Stream: s.stream, Now: func() time.Time { return time.Unix(1_795_000_000, 0) }}
}

func (s store) put(table string, row item) {
	s.Helper()
	if _, err := s.PutItem(s.Context(), &dynamodb.PutItemInput{TableName: &table, Item: row}); err != nil {
		s.Fatal(err)
	}
}

// student puts a row of the metrics table.
func (s store) student(id, tenant string) {
	row := item{"entity_id": text(id), "entity_type": text("student"), "health_score": number("50")}
	if tenant != "" {
		row["tenant"] = text(tenant)
	}
	s.put(s.metrics.Name, row)
}

// knows has the state table know of a row, as services/internal/state/dynamostate stores it. Without an image it is a
// tombstone.
func (s store) knows(table Table, tenant string, k Key, label, sequence, image string) {
	at, _ := table.stateOf(tenant, k)
	row := item{
		"pk": text(at[0]), "sk": text(at[1]), "label": text(label), "seq": text(padded(sequence)), "revision": number("3"),
		"written_at": text("2026-11-22T10:00:00.123Z"), "image": text(image),
	}
	if image == "" {
		delete(row, "image")
		row["expires_at"] = number("1900000000")
	}
	s.put(s.metrics.State, row)
}

// padded is a sequence number as the state table has it.
func padded(sequence string) string { return strings.Repeat("0", maxDigits-len(sequence)) + sequence }

func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }

// said is what a run says, each as "INSERT tenant id sequence".
func said(t testing.TB, s Source) []string {
	t.Helper()
	var all []string
	for _, r := range read(t, Rows(t.Context(), s)) {
		row := r.Change.NewImage
		if r.EventName == "REMOVE" {
			row = r.Change.OldImage
		}
		tenant := "default"
		if v, ok := row["tenant"]; ok {
			tenant = v.String()
		}
		var key []string
		for _, name := range s.Table.names {
			key = append(key, r.Change.Keys[name].String())
		}
		all = append(all, strings.Join([]string{r.EventName, tenant, key[0], r.Change.SequenceNumber}, " "))
	}
	return all
}

// read decodes the records as a function of Lambda would.
func read(t testing.TB, rows iter.Seq2[redrive.Message, error]) (all []events.DynamoDBEventRecord) {
	t.Helper()
	for m, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		var r events.DynamoDBEventRecord
		if err := json.Unmarshal([]byte(m.Body), &r); err != nil {
			t.Fatalf("%v: %s", err, m.Body)
		}
		if r.EventID != m.ID || !m.SentAt.Equal(r.Change.ApproximateCreationDateTime.Time) {
			t.Errorf("the message %s of %v is the record %s of %v", m.ID, m.SentAt, r.EventID, r.Change.ApproximateCreationDateTime)
		}
		all = append(all, r)
	}
	return all
}
