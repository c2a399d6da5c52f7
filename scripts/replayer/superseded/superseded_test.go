package superseded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local/provision"
	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/dynamotest"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const epoch = 1_795_000_000_000

func version(epoch, revision int64) contracts.Version {
	return contracts.Version{Epoch: epoch, Revision: revision}
}

// The keys are those of the stored form: these values may never change.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, id, partition string }{
		{"student", "stu_1", "acme#student#5"},
		{"student", "stu_4532", "acme#student#4"},
		{"student", "東京", "acme#student#7"},
		{"insight", "2026-11-22T10:00:00.123Z/insight#stu_4532", "acme#insight#1"},
		{"insight", "2026-11-22T12:00:00+02:00/insight#東京", "acme#insight#1"},
	} {
		if got := event("acme", c.kind, c.id, version(1, 2)); got != (Event{c.partition, c.id, version(1, 2)}) {
			t.Errorf("%s: %+v", c.id, got)
		}
	}
}

func TestReadRefusesWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "x", "null", "[]", "{}", `{"type": 1}`, `{"type":"INSIGHT_CREATED"}`, `{"type":"METRIC_UPDATE"}`, `{"type":"OTHER"}`} {
		got, err := Read(body)
		if _, ok := errors.AsType[contracts.Invalid](err); !ok || got != (Event{}) {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	n := 0
	for _, kind := range []string{"metric-update", "insight-created"} {
		files, _ := filepath.Glob(filepath.Join("..", "..", "..", "contracts", "examples", "events", kind, "v1", "*.json"))
		for _, file := range files {
			n++
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var said struct {
				Tenant, Subject string
				Data            struct{ Version contracts.Version }
			}
			if err := json.Unmarshal(data, &said); err != nil {
				t.Fatal(err)
			}
			got, err := Read(string(data))
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			// The subject is type/id, or insight/pk/sk, in which a pk has any characters and an sk has no slash.
			kind, id, _ := strings.Cut(said.Subject, "/")
			if kind == "insight" {
				last := strings.LastIndexByte(id, '/')
				id = id[last+1:] + "/" + id[:last]
			}
			if got.Sort != id || got.Partition[:strings.LastIndexByte(got.Partition, '#')] != said.Tenant+"#"+kind || got.Version != said.Data.Version {
				t.Errorf("%s: %+v", file, got)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d examples", n)
	}
}

// reply is one answer of DynamoDB.
type reply struct {
	status int // 0 for 200
	body   string
}

func refused(status int, code string) reply {
	return reply{status, `{"__type": "com.amazonaws.dynamodb.v20120810#` + code + `", "message": "planted"}`}
}

func item(k key, member string, n int64) string {
	return fmt.Sprintf(`{"pk": {"S": %q}, "sk": {"S": %q}, %q: {"N": "%d"}}`, k.partition, k.sort, member, n)
}

var generationItem = item(generation, "epoch", epoch)

func answer(unprocessed string, items ...string) reply {
	return reply{body: `{"Responses": {"state": [` + strings.Join(items, ",") + `]}, "UnprocessedKeys": {` + unprocessed + `}}`}
}

// left has keys unprocessed, as DynamoDB says it: with all that the request had besides.
func left(keys ...key) string {
	var all []string
	for _, k := range keys {
		all = append(all, fmt.Sprintf(`{"pk": {"S": %q}, "sk": {"S": %q}}`, k.partition, k.sort))
	}
	return `"state": {"Keys": [` + strings.Join(all, ",") + `], "ConsistentRead": true, "ProjectionExpression": "#pk, #sk, #revision, #epoch",
		"ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk", "#revision": "revision", "#epoch": "epoch"}}`
}

// script is DynamoDB as it answers in a test, its replies in order and the last for ever. It answers in memory, so that the
// clock can be turned.
type script struct {
	replies []reply

	mu    sync.Mutex
	asked []map[string]types.KeysAndAttributes
}

func (s *script) Do(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var request struct {
		RequestItems map[string]struct {
			Keys           []map[string]struct{ S string }
			ConsistentRead bool
		}
	}
	if err := json.Unmarshal(data, &request); err != nil || r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.BatchGetItem" {
		return nil, fmt.Errorf("%s: %w", r.Header.Get("X-Amz-Target"), err)
	}
	asked := map[string]types.KeysAndAttributes{}
	for name, of := range request.RequestItems {
		k := types.KeysAndAttributes{ConsistentRead: aws.Bool(of.ConsistentRead)}
		for _, one := range of.Keys {
			k.Keys = append(k.Keys, map[string]types.AttributeValue{"pk": text(one["pk"].S), "sk": text(one["sk"].S)})
		}
		asked[name] = k
	}
	named := map[string]bool{}
	for _, one := range request.RequestItems["state"].Keys {
		named[fmt.Sprint(one)] = true
	}
	s.asked = append(s.asked, asked)
	if len(named) < len(request.RequestItems["state"].Keys) { // so DynamoDB refuses
		s.replies = []reply{refused(http.StatusBadRequest, "ValidationException")}
	}
	next := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(max(next.status, http.StatusOK))
	_, _ = w.WriteString(next.body)
	return w.Result(), nil
}

func (s *script) table() Table {
	return New(dynamodb.New(dynamodb.Options{
		Region: "eu-central-1", HTTPClient: s, BaseEndpoint: aws.String("http://dynamodb.test"),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}), "state")
}

var (
	one, two       = key{"acme#student#5", "stu_1"}, key{"acme#student#4", "stu_4532"}
	eventOfOne     = Event{one.partition, one.sort, version(epoch, 5)}
	throttledReply = refused(http.StatusBadRequest, "ProvisionedThroughputExceededException")
)

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replies []reply
		kind    error
		says    string
	}{
		"denied":              {[]reply{refused(http.StatusBadRequest, "AccessDeniedException")}, redrive.ErrDenied, "AccessDenied"},
		"no such table":       {[]reply{refused(http.StatusBadRequest, "ResourceNotFoundException")}, redrive.ErrDenied, "ResourceNotFound"},
		"refused":             {[]reply{refused(http.StatusBadRequest, "ValidationException")}, redrive.ErrRefused, "Validation"},
		"throttled for long":  {[]reply{throttledReply}, nil, "ProvisionedThroughputExceeded"},
		"down":                {[]reply{refused(http.StatusInternalServerError, "InternalServerError")}, nil, "InternalServerError"},
		"never all":           {[]reply{answer(left(one), generationItem)}, nil, "capacity"},
		"denied half-way":     {[]reply{answer(left(one), generationItem), refused(http.StatusBadRequest, "AccessDeniedException")}, redrive.ErrDenied, "AccessDenied"},
		"no revision":         {[]reply{answer("", generationItem, item(one, "other", 1))}, nil, "stu_1 has no revision"},
		"no epoch":            {[]reply{answer("", item(generation, "revision", 1))}, nil, "generation has no epoch"},
		"a fraction":          {[]reply{answer("", generationItem, strings.Replace(item(one, "revision", 1), `"1"`, `"1.5"`, 1))}, nil, "stu_1"},
		"what has no keys":    {[]reply{answer("", generationItem, `{"revision": {"N": "1"}}`)}, nil, "no keys"},
		"what is not JSON":    {[]reply{{body: "<html>"}}, nil, ""},
		"a key of other type": {[]reply{answer("", generationItem, `{"pk": {"S": "a"}, "sk": {"N": "1"}, "revision": {"N": "1"}}`)}, nil, "no keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{replies: c.replies}
				begun := time.Now()
				newer, err := s.table().Newer(t.Context(), eventOfOne)
				if err == nil || newer || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, %v, want %q", newer, err, c.says)
				}
				for _, kind := range []error{redrive.ErrDenied, redrive.ErrRefused} {
					if errors.Is(err, kind) != (c.kind == kind) {
						t.Errorf("%v is %v: %v", err, kind, errors.Is(err, kind))
					}
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("it took %v to fail", took)
				}
			})
		})
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), time.Second)
		defer interrupt()
		begun := time.Now()
		s := &script{replies: []reply{answer(left(one), generationItem)}}
		if _, err := s.table().Newer(ctx, eventOfOne); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// What DynamoDB leaves is asked for again, and nothing else.
func TestUnprocessedKeys(t *testing.T) {
	t.Parallel()
	for name, replies := range map[string][]reply{
		"an item":        {answer(left(one), generationItem), answer(left(one)), answer("", item(one, "revision", 6))},
		"the generation": {answer(left(generation), item(one, "revision", 6)), answer("", generationItem)},
		"all":            {answer(left(one, generation)), answer("", item(one, "revision", 6), generationItem)},
		"throttled":      {throttledReply, answer(left(one), generationItem), throttledReply, answer("", item(one, "revision", 6))},
		"in more rounds than without getting on": slices.Concat(
			slices.Repeat([]reply{answer(left(one, generation))}, rounds-1), []reply{answer(left(one), generationItem)},
			slices.Repeat([]reply{answer(left(one))}, rounds-1), []reply{answer("", item(one, "revision", 6))},
		),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{replies: replies}
				newer, err := s.table().Newer(t.Context(), eventOfOne)
				if err != nil || !newer {
					t.Errorf("%v, %v", newer, err)
				}
				for _, asked := range s.asked {
					if !aws.ToBool(asked["state"].ConsistentRead) {
						t.Error("a read that is not strongly consistent")
					}
				}
				if last := s.asked[len(s.asked)-1]["state"].Keys; name == "an item" && len(last) != 1 {
					t.Errorf("asked again for %v", last)
				}
			})
		})
	}
}

func TestNewer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.put(item(generation, "epoch", epoch))
	s.put(item(one, "revision", 5))
	id := contracts.InsightID{Pk: "insight#stu_4532", Sk: "2026-11-22T10:00:00.123Z"}
	insight := key{"acme#insight#1", id.Sk + "/" + id.Pk}
	s.put(item(insight, "revision", 1))
	tombstone := event("acme", "student", "stu_gone", contracts.Version{})
	s.put(strings.Replace(item(key{tombstone.Partition, tombstone.Sort}, "revision", 2), "{", `{"expires_at": {"N": "1900000000"}, `, 1))
	of := func(k key, v contracts.Version) Event { return Event{k.partition, k.sort, v} }
	for name, c := range map[string]struct {
		event Event
		want  bool
	}{
		"before":                         {of(one, version(epoch, 4)), true},
		"equal":                          {of(one, version(epoch, 5)), false},
		"after":                          {of(one, version(epoch, 6)), false},
		"long before, a longer number":   {of(one, version(epoch, 1)), true},
		"far after, a longer number":     {of(one, version(epoch, 10)), false},
		"of an older table, later there": {of(one, version(epoch-1, 99)), true},
		"of a newer table":               {of(one, version(epoch+1, 1)), false},
		"not there":                      {of(two, version(epoch, 1)), false},
		"not there, of an older table":   {of(two, version(epoch-1, 1)), false},
		"another tenant's":               {event("other", "student", "stu_1", version(epoch, 1)), false},
		"before a tombstone":             {Event{tombstone.Partition, tombstone.Sort, version(epoch, 1)}, true},
		"an insight":                     {of(insight, version(epoch, 1)), false},
		"an older insight":               {of(insight, version(epoch-1, 1)), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := s.table.Newer(t.Context(), c.event)
			if err != nil || got != c.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// A table that was restored has no generation until somebody writes: nothing can be said.
func TestTableWithoutGeneration(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.put(item(one, "revision", 50))
	earliest := eventOfOne
	earliest.Version = version(0, 1)
	for _, e := range []Event{eventOfOne, earliest} {
		if got, err := s.table.Newer(t.Context(), e); err != nil || got {
			t.Errorf("%+v: %v, %v", e, got, err)
		}
	}
}

// store is a state table in DynamoDB, as the topology has it.
type store struct {
	*testing.T
	client *dynamodb.Client
	table  Table
}

func newStore(t *testing.T) store {
	t.Helper()
	client := dynamotest.Client(t)
	system := topology.New(topology.Options{Stage: strings.ToLower(t.Name())[4:]})
	if _, err := provision.Apply(t.Context(), provision.Clients{DynamoDB: client}, topology.Topology{Tables: system.Tables}); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(system.Tables, func(table topology.Table) bool { return strings.HasPrefix(table.Name, "iops-dashboard-state") })
	return store{t, client, New(client, system.Tables[i].Name)}
}

// put puts an item in the JSON of DynamoDB.
func (s store) put(item string) {
	s.Helper()
	var values map[string]map[string]string
	if err := json.Unmarshal([]byte(item), &values); err != nil {
		s.Fatal(err)
	}
	row := map[string]types.AttributeValue{"label": text("2026-11-22T09:00:00.000"), "image": text(`{"name":"x"}`)}
	for name, value := range values {
		if n, ok := value["N"]; ok {
			row[name] = &types.AttributeValueMemberN{Value: n}
		} else {
			row[name] = text(value["S"])
		}
	}
	if _, err := s.client.PutItem(s.Context(), &dynamodb.PutItemInput{TableName: &s.table.name, Item: row}); err != nil {
		s.Fatal(err)
	}
}
