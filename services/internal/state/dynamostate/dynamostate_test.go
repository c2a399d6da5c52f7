package dynamostate_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/dynamostate"
	"github.com/iops-dashboard/live/services/internal/state/statetest"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	t.Run("WithItemOnRefusal", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) statetest.Harness { return harness(t, client) })
	})
	t.Run("WithoutItemOnRefusal", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) statetest.Harness {
			return harness(t, intercepted(t, func(string) error { return nil }, func(err error) error {
				if refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
					refused.Item = nil
				}
				return err
			}))
		})
	})
}

// harness plants failures in the pages of a partition: page 0 has no start key, page 1 is any that has one.
func harness(t *testing.T, client *dynamodb.Client) statetest.Harness {
	var failing atomic.Int64
	failing.Store(-1)
	options := client.Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(_ context.Context, input any, next func() (any, error)) (any, error) {
		n := failing.Load()
		if q, ok := input.(*dynamodb.QueryInput); ok && n >= 0 && (n > 0) == (q.ExclusiveStartKey != nil) {
			return nil, &types.InternalServerError{}
		}
		return next()
	}))
	return statetest.Harness{
		Table:    dynamostate.New(dynamodb.New(options), awstest.Table(t), dynamostate.Options{PageSize: statetest.PageSize}),
		FailPage: func(n int) { failing.Store(int64(n)) },
	}
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"throttled":          {&types.ProvisionedThroughputExceededException{}, fault.Throttled},
		"asked for too much": {&types.RequestLimitExceeded{}, fault.Throttled},
		"outage":             {&types.InternalServerError{}, fault.Transient},
		"unknown outage":     {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultServer}, fault.Transient},
		"no answer":          {errors.New("connection reset"), fault.Transient},
		"no permission":      {&smithy.GenericAPIError{Code: "AccessDeniedException"}, fault.Denied},
		"expired token":      {&smithy.GenericAPIError{Code: "ExpiredTokenException"}, fault.Denied},
		"no such table":      {&types.ResourceNotFoundException{}, fault.Denied},
		"not our table":      {&smithy.GenericAPIError{Code: "ValidationException"}, fault.Denied},
		"unknown":            {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultClient}, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := intercepted(t, func(op string) error {
				if op == "UpdateItem" {
					return tc.err
				}
				return nil
			}, nil)
			table := dynamostate.New(client, awstest.Table(t), dynamostate.Options{})
			if _, err := table.Apply(t.Context(), statetest.Change("l", "1", 1)); fault.KindOf(err) != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%v, want kind %v", err, tc.want)
			}
		})
	}
}

func TestAMissingTableIsAConfigurationFault(t *testing.T) {
	t.Parallel()
	table := dynamostate.New(awstest.DynamoDB(t), awstest.Name("nowhere"), dynamostate.Options{})
	if _, err := table.Apply(t.Context(), statetest.Change("l", "1", 1)); fault.KindOf(err) != fault.Denied {
		t.Errorf("%v, want kind denied", err)
	}
}

// What an eventually consistent read misses, nobody would ask for again.
func TestListsAreConsistentQueries(t *testing.T) {
	t.Parallel()
	var queries atomic.Int64
	options := awstest.DynamoDB(t).Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(_ context.Context, input any, next func() (any, error)) (any, error) {
		if q, ok := input.(*dynamodb.QueryInput); ok {
			queries.Add(1)
			if !aws.ToBool(q.ConsistentRead) {
				t.Error("an eventually consistent query")
			}
		}
		return next()
	}))
	table := dynamostate.New(dynamodb.New(options), awstest.Table(t), dynamostate.Options{})
	for page, err := range table.List(t.Context(), state.Range{Tenant: "acme", EntityType: "student"}) {
		t.Errorf("an empty table lists %v, %v", page, err)
	}
	if queries.Load() != dynamostate.Partitions {
		t.Errorf("%d queries, want one for each partition", queries.Load())
	}
}

// However many there are, no more is read than is asked for.
func TestTheLatestAreReadFromTheEnd(t *testing.T) {
	t.Parallel()
	var queries, read atomic.Int64
	options := awstest.DynamoDB(t).Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(_ context.Context, input any, next func() (any, error)) (any, error) {
		output, err := next()
		if q, ok := input.(*dynamodb.QueryInput); ok && err == nil {
			queries.Add(1)
			read.Add(int64(output.(*dynamodb.QueryOutput).ScannedCount))
			if !aws.ToBool(q.ConsistentRead) || q.ScanIndexForward == nil || *q.ScanIndexForward {
				t.Error("an eventually consistent query, or one from the beginning")
			}
		}
		return output, err
	}))
	table := dynamostate.New(dynamodb.New(options), awstest.Table(t), dynamostate.Options{})
	for n := range 120 {
		c := statetest.Change("l", "1", n)
		c.EntityID = fmt.Sprintf("stu_%03d", n)
		mustApply(t, table, c)
	}
	entries, _, err := table.Latest(t.Context(), state.Range{Tenant: "acme", EntityType: "student"}, 40)
	if err != nil || len(entries) < 20 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if queries.Load() != dynamostate.Partitions || read.Load() > 40 {
		t.Errorf("%d rows by %d queries", read.Load(), queries.Load())
	}
}

func TestAnAnswerThatIsLostIsRepeated(t *testing.T) {
	t.Parallel()
	var lose atomic.Bool
	client := intercepted(t, func(string) error { return nil }, func(err error) error {
		if err == nil && lose.Swap(false) {
			return errors.New("connection reset by peer")
		}
		return err
	})
	table := dynamostate.New(client, awstest.Table(t), dynamostate.Options{})
	if _, err := table.Apply(t.Context(), statetest.Change("l", "1", 1)); err != nil {
		t.Fatal(err)
	}
	lose.Store(true)
	if _, err := table.Apply(t.Context(), statetest.Change("l", "2", 2)); fault.KindOf(err) != fault.Transient {
		t.Fatalf("%v, want kind transient", err)
	}
	r, err := table.Apply(t.Context(), statetest.Change("l", "2", 2))
	if err != nil || r.Outcome != state.Repeated || r.Version.Revision != 2 {
		t.Errorf("%+v %v, want a repetition of revision 2", r, err)
	}
}

func TestAChangeIsOneCall(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	calls := map[string]int{}
	client := intercepted(t, func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		calls[op]++
		return nil
	}, nil)
	table := dynamostate.New(client, awstest.Table(t), dynamostate.Options{})
	for i, sequence := range []string{"1", "1", "2", "1"} {
		if _, err := table.Apply(t.Context(), statetest.Change("l", sequence, i)); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if calls["UpdateItem"] != 4 || calls["GetItem"] != 1 || calls["PutItem"] != 1 {
		t.Errorf("calls %v, want 4 UpdateItem, and a GetItem and a PutItem for the generation", calls)
	}
}

func TestStoredForm(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	name := awstest.Table(t)
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	table := dynamostate.New(client, name, dynamostate.Options{Now: func() time.Time { return now }})

	upsert := statetest.Change("2026-11-22T10:00:00.000", "42", 7)
	mustApply(t, table, upsert)
	compare(t, item(t, client, name, upsert.Key), map[string]string{
		"pk": "S acme#student#5", "sk": "S stu_1", "image": `S {"sessions_7d":7}`, "revision": "N 1",
		"label": "S 2026-11-22T10:00:00.000", "seq": "S " + strings.Repeat("0", 38) + "42", "written_at": "S 2026-11-22T10:00:00.123Z",
	})
	mustApply(t, table, statetest.Change("2026-11-22T10:00:00.000", "43", -1))
	compare(t, item(t, client, name, upsert.Key), map[string]string{
		"pk": "S acme#student#5", "sk": "S stu_1", "revision": "N 2",
		"label": "S 2026-11-22T10:00:00.000", "seq": "S " + strings.Repeat("0", 38) + "43", "written_at": "S 2026-11-22T10:00:00.123Z",
		"expires_at": "N " + strconv.FormatInt(now.Add(30*24*time.Hour).Unix(), 10),
	})
	mustApply(t, table, statetest.Change("2026-11-22T10:00:00.000", "44", 8))
	if again := item(t, client, name, upsert.Key); again["expires_at"] != "" || again["image"] == "" || again["revision"] != "N 3" {
		t.Errorf("after the re-creation: %v", again)
	}
}

// The hash is part of the stored form: these values may never change.
func TestPartitionIsStable(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{"stu_1": "acme#student#5", "stu_4532": "acme#student#4", "": "acme#student#5", "東京": "acme#student#7"} {
		if got := dynamostate.Partition(state.Key{Tenant: "acme", EntityType: "student", EntityID: id}); got != want {
			t.Errorf("Partition(%q) = %s, want %s", id, got, want)
		}
	}
}

func TestPartitionSpreads(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for i := range 1000 {
		count[dynamostate.Partition(state.Key{Tenant: "a", EntityType: "student", EntityID: "stu_" + strconv.Itoa(i)})]++
	}
	for pk, n := range count {
		if n < 80 || n > 180 {
			t.Errorf("partition %s has %d of 1000", pk, n)
		}
	}
	if len(count) != dynamostate.Partitions {
		t.Errorf("%d partitions are used", len(count))
	}
}

func TestGenerationIsSharedAndFollowsARebuild(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	name := awstest.Table(t)
	start := time.UnixMilli(1_795_000_000_000)
	var now atomic.Pointer[time.Time]
	now.Store(&start)
	clock := func() time.Time { return *now.Load() }
	first := dynamostate.New(client, name, dynamostate.Options{Now: clock})
	later := dynamostate.New(client, name, dynamostate.Options{Now: func() time.Time { return clock().Add(time.Hour) }})

	if v := mustApply(t, first, statetest.Change("l", "1", 1)).Version; v.Epoch != start.UnixMilli() {
		t.Fatalf("epoch %d, want the first user's clock", v.Epoch)
	}
	if v := mustApply(t, later, statetest.Change("l", "2", 2)).Version; v.Epoch != start.UnixMilli() {
		t.Fatalf("another process has epoch %d", v.Epoch)
	}

	// A rebuilt table has no item generation; a sandbox that lives on notices within a minute.
	if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &name, Key: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "generation"}, "sk": &types.AttributeValueMemberS{Value: "generation"},
	}}); err != nil {
		t.Fatal(err)
	}
	soon := start.Add(61 * time.Second)
	now.Store(&soon)
	if v := mustApply(t, first, statetest.Change("l", "3", 3)).Version; v.Epoch != soon.UnixMilli() {
		t.Errorf("epoch %d after the rebuild, want %d", v.Epoch, soon.UnixMilli())
	}
}

func TestRacingFirstUsersAgree(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	name := awstest.Table(t)
	const users = 8
	epochs := make([]int64, users)
	var group sync.WaitGroup
	for i := range users {
		group.Go(func() {
			now := time.UnixMilli(1_795_000_000_000 + int64(i))
			table := dynamostate.New(client, name, dynamostate.Options{Now: func() time.Time { return now }})
			r, err := table.Apply(t.Context(), statetest.Change("l", strconv.Itoa(i), i))
			if err != nil {
				t.Error(err)
			}
			epochs[i] = r.Version.Epoch
		})
	}
	group.Wait()
	for _, epoch := range epochs {
		if epoch != epochs[0] {
			t.Fatalf("epochs %v differ", epochs)
		}
	}
}

func TestAFailedReadOfTheGenerationIsTriedAgain(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	client := intercepted(t, func(op string) error {
		if op == "GetItem" && fail.Load() {
			return &types.InternalServerError{}
		}
		return nil
	}, nil)
	table := dynamostate.New(client, awstest.Table(t), dynamostate.Options{})
	fail.Store(true)
	if _, err := table.Apply(t.Context(), statetest.Change("l", "1", 1)); fault.KindOf(err) != fault.Transient {
		t.Fatalf("%v, want kind transient", err)
	}
	fail.Store(false)
	mustApply(t, table, statetest.Change("l", "1", 1))
}

func mustApply(t *testing.T, table state.Table, c state.Change) state.Result {
	t.Helper()
	r, err := table.Apply(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is stored too: %s", name, got[name])
		}
	}
}

func item(t *testing.T, client *dynamodb.Client, table string, k state.Key) map[string]string {
	t.Helper()
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: dynamostate.Partition(k)}, "sk": &types.AttributeValueMemberS{Value: k.EntityID},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	flat := map[string]string{}
	for name, value := range out.Item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			flat[name] = "S " + v.Value
		case *types.AttributeValueMemberN:
			flat[name] = "N " + v.Value
		default:
			t.Errorf("%s has type %T", name, v)
		}
	}
	return flat
}

// intercepted returns a client without retries whose calls fail with what before returns, and
// whose answers pass through after.
func intercepted(t *testing.T, before func(operation string) error, after func(error) error) *dynamodb.Client {
	t.Helper()
	options := awstest.DynamoDB(t).Options()
	options.Retryer = aws.NopRetryer{}
	options.APIOptions = append(options.APIOptions, awstest.Around(func(ctx context.Context, _ any, next func() (any, error)) (any, error) {
		if err := before(middleware.GetOperationName(ctx)); err != nil {
			return nil, err
		}
		out, err := next()
		if after != nil {
			err = after(err)
		}
		return out, err
	}))
	return dynamodb.New(options)
}
