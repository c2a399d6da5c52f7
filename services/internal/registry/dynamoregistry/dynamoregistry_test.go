package dynamoregistry_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/registry/registrytest"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, parallel := range map[string]int{"OneBucketAtATime": 1, "AllBuckets": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registrytest.Run(t, func(t *testing.T) registrytest.Harness {
				var failing, passed atomic.Int64
				failing.Store(-1)
				client := intercepted(t, failPage(&failing))
				return registrytest.Harness{
					Registry: dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{
						PageSize: registrytest.PageSize, PerSubject: registrytest.PerSubject, PerService: registrytest.PerService, Parallel: parallel,
						Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) },
					}),
					FailPage: func(n int) { failing.Store(int64(n)) },
					Pass:     func(d time.Duration) { passed.Add(int64(d)) },
				}
			})
		})
	}
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"throttled":            {&types.ProvisionedThroughputExceededException{}, fault.Throttled},
		"outage":               {&types.InternalServerError{}, fault.Transient},
		"no answer":            {errors.New("connection reset"), fault.Transient},
		"no such table":        {&types.ResourceNotFoundException{}, fault.Denied},
		"conflict":             {&types.TransactionConflictException{}, fault.Transient},
		"throttled in a batch": {cancelled("None", "ThrottlingError"), fault.Throttled},
		"conflict in a batch":  {cancelled("TransactionConflict", "None"), fault.Transient},
		"our own mistake":      {cancelled("ValidationError", "None"), fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := intercepted(t, func(context.Context, any) error { return tc.err })
			r := dynamoregistry.New(client, "any", dynamoregistry.Options{})
			if err := r.Open(t.Context(), registrytest.Connection("acme", 1)); fault.KindOf(err) != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("Open: %v, want kind %v", err, tc.want)
			}
			if err := r.Close(t.Context(), "c="); fault.KindOf(err) != tc.want {
				t.Errorf("Close: %v, want kind %v", err, tc.want)
			}
			if err := r.Revoke(t.Context(), registry.Owner{Tenant: "acme", Subject: "ada"}); fault.KindOf(err) != tc.want {
				t.Errorf("Revoke: %v, want kind %v", err, tc.want)
			}
			for _, err := range r.Watching(t.Context(), registry.Query{Tenant: "acme"}) {
				if fault.KindOf(err) != tc.want {
					t.Errorf("Watching: %v, want kind %v", err, tc.want)
				}
			}
		})
	}
}

func TestConflictsAreRetriedAFewTimes(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	client := intercepted(t, func(context.Context, any) error {
		calls.Add(1)
		return &types.TransactionConflictException{}
	})
	err := dynamoregistry.New(client, "any", dynamoregistry.Options{}).Close(t.Context(), "c=")
	if fault.KindOf(err) != fault.Transient || calls.Load() != 6 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

// A Close that dies between its two steps is finished by the next one.
func TestCloseFinishesAHalfClose(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	client := intercepted(t, func(_ context.Context, input any) error {
		if _, ok := input.(*dynamodb.DeleteItemInput); ok && broken.Load() {
			return errors.New("planted")
		}
		return nil
	})
	r := dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{})
	c := registrytest.Connection("acme", 1)
	if err := r.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if err := r.Close(t.Context(), c.ID); fault.KindOf(err) != fault.Transient || err == nil {
		t.Fatalf("Close: %v, want kind transient", err)
	}
	broken.Store(false)
	if err := r.Open(t.Context(), c); fault.KindOf(err) != fault.Gone {
		t.Errorf("Open of a half closed connection: %v, want kind gone", err)
	}
	if err := r.Close(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	for page, err := range r.Watching(t.Context(), registry.Query{Tenant: "acme"}) {
		t.Errorf("watchers remain: %v, %v", page, err)
	}
}

// A heartbeat is by far the most frequent subscription.
func TestRenewedSubscriptionWritesOneItem(t *testing.T) {
	t.Parallel()
	var reads, updates, others atomic.Int64
	client := intercepted(t, func(_ context.Context, input any) error {
		switch input.(type) {
		case *dynamodb.GetItemInput:
			reads.Add(1)
		case *dynamodb.UpdateItemInput:
			updates.Add(1)
		default:
			others.Add(1)
		}
		return nil
	})
	r := dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{})
	c := registrytest.Connection("acme", 1)
	if err := r.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s := registry.Subscription{SyncID: 1, Views: map[string]string{"student": "s", "tutor": "t"}}
	subscribe(t, r, c.ID, s)
	for _, n := range []*atomic.Int64{&reads, &updates, &others} {
		n.Store(0)
	}
	s.SyncID++
	subscribe(t, r, c.ID, s)
	if reads.Load() != 1 || updates.Load() != 1 || others.Load() != 0 {
		t.Errorf("%d reads, %d updates and %d other calls, want one read and one update", reads.Load(), updates.Load(), others.Load())
	}
}

// A subscription that is slow to delete what it has replaced does not delete what a later one has written.
func TestViewsThatComeBackAreNotDeleted(t *testing.T) {
	t.Parallel()
	reached, gate := make(chan struct{}), make(chan struct{})
	slow := intercepted(t, func(_ context.Context, input any) error {
		if _, ok := input.(*dynamodb.DeleteItemInput); ok {
			close(reached)
			<-gate
		}
		return nil
	})
	table := awstest.Table(t)
	r := dynamoregistry.New(awstest.DynamoDB(t), table, dynamoregistry.Options{})
	c := registrytest.Connection("acme", 1)
	if err := r.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	there := registry.Subscription{SyncID: 1, Views: map[string]string{"student": "s"}}
	subscribe(t, r, c.ID, there)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := registry.Subscription{SyncID: 2, Views: map[string]string{"tutor": "t"}}
		if _, err := dynamoregistry.New(slow, table, dynamoregistry.Options{}).Subscribe(t.Context(), c.ID, s); err != nil {
			t.Error(err)
		}
	}()
	<-reached
	there.SyncID = 3
	subscribe(t, r, c.ID, there)
	close(gate)
	<-done
	if got := watching(t, r, "student", "tutor"); len(got) != 1 || got[0].Type != "student" {
		t.Errorf("watching %+v, want the students alone", got)
	}
	if err := r.Close(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if got := watching(t, r, "student", "tutor"); len(got) != 0 {
		t.Errorf("watching %+v after the end", got)
	}
}

// What a ClearResync leaves half done, the next one finishes.
func TestClearResyncFinishesAHalfClear(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	client := intercepted(t, func(_ context.Context, input any) error {
		if u, ok := input.(*dynamodb.UpdateItemInput); ok && broken.Load() && strings.Contains(u.Key["pk"].(*types.AttributeValueMemberS).Value, "#tutor#") {
			return errors.New("planted")
		}
		return nil
	})
	r := dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{})
	c := registrytest.Connection("acme", 1)
	if err := r.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s := registry.Subscription{SyncID: 1, Views: map[string]string{"student": "s", "tutor": "t"}}
	subscribe(t, r, c.ID, s)
	if err := r.MarkResync(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	status := subscribe(t, r, c.ID, s)
	broken.Store(true)
	if err := r.ClearResync(t.Context(), c.ID, status.Marks); err == nil {
		t.Fatal("it does not tell of its failure")
	}
	if !subscribe(t, r, c.ID, s).Resync {
		t.Error("half a clear is taken for a whole")
	}
	broken.Store(false)
	if err := r.ClearResync(t.Context(), c.ID, status.Marks); err != nil {
		t.Fatal(err)
	}
	for _, w := range watching(t, r, "student", "tutor") {
		if w.Resync {
			t.Errorf("%s still shows the mark", w.Type)
		}
	}
}

func subscribe(t *testing.T, r *dynamoregistry.Registry, id string, s registry.Subscription) registry.Status {
	t.Helper()
	status, err := r.Subscribe(t.Context(), id, s)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func watching(t *testing.T, r *dynamoregistry.Registry, types ...string) []registry.Watcher {
	t.Helper()
	var all []registry.Watcher
	for page, err := range r.Watching(t.Context(), registry.Query{Tenant: "acme", Types: types}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
	}
	return all
}

// DynamoDB may take days to delete what has expired, and need not delete a connection's items
// together: a view item without its meta item could never be closed.
func TestExpiredConnectionsAreNotWatchers(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	r := dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{})
	expired, old := registrytest.Connection("acme", 1), registrytest.Connection("acme", 2)
	expired.ConnectedAt = time.Now().Add(-registry.Lifetime - time.Second)
	old.ConnectedAt = time.Now().Add(-registry.Lifetime + time.Minute)
	for _, c := range []registry.Connection{expired, old} {
		if err := r.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for page, err := range r.Watching(t.Context(), registry.Query{Tenant: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			got = append(got, c.ID)
		}
	}
	if len(got) != 1 || got[0] != old.ID {
		t.Errorf("watchers %v, want %s alone", got, old.ID)
	}
}

func TestStoredForm(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	name := awstest.Table(t)
	r := dynamoregistry.New(client, name, dynamoregistry.Options{})
	at := time.UnixMilli(1_795_000_000_123)
	c := registry.Connection{ID: "L0SM9cOFvHcCIhw=", Tenant: "acme", ConnectedAt: at}
	if err := r.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	view := "view#acme#*#" + strconv.Itoa(registry.Bucket(c.ID))
	for _, key := range [][2]string{{"conn#L0SM9cOFvHcCIhw=", "meta"}, {view, "L0SM9cOFvHcCIhw="}} {
		item := get(t, client, name, key[0], key[1])
		if got := number(item, "expires_at"); got != at.Add(130*time.Minute).Unix() {
			t.Errorf("%s: expires_at = %d", key, got)
		}
		if got := number(item, "connected_at"); got != at.UnixMilli() {
			t.Errorf("%s: connected_at = %d", key, got)
		}
		if got := item["tenant"].(*types.AttributeValueMemberS).Value; got != "acme" {
			t.Errorf("%s: tenant = %s", key, got)
		}
	}

	before := time.Now()
	if err := r.Close(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	tombstone := get(t, client, name, "conn#L0SM9cOFvHcCIhw=", "meta")
	if got := number(tombstone, "expires_at"); got < before.Add(130*time.Minute).Unix() {
		t.Errorf("a tombstone expires at %d", got)
	}
	if got := number(tombstone, "closed_at"); got < before.UnixMilli() {
		t.Errorf("closed_at = %d", got)
	}
	if item := get(t, client, name, view, c.ID); item != nil {
		t.Errorf("the view item is still there: %v", item)
	}
}

func TestReadsAreConsistentQueries(t *testing.T) {
	t.Parallel()
	var queries atomic.Int64
	client := intercepted(t, func(_ context.Context, input any) error {
		q, ok := input.(*dynamodb.QueryInput)
		if !ok || !aws.ToBool(q.ConsistentRead) {
			t.Errorf("a read by %T", input)
		}
		queries.Add(1)
		return errors.New("enough")
	})
	r := dynamoregistry.New(client, "any", dynamoregistry.Options{Parallel: 1})
	for range r.Watching(t.Context(), registry.Query{Tenant: "acme"}) {
	}
	if queries.Load() != 1 {
		t.Errorf("%d queries, want the read to end at its first error", queries.Load())
	}
}

func BenchmarkWatchers(b *testing.B) {
	client := awstest.DynamoDB(b)
	for _, connections := range []int{0, 1000} {
		name := awstest.Table(b)
		for n := range connections {
			if err := dynamoregistry.New(client, name, dynamoregistry.Options{}).Open(b.Context(), registrytest.Connection("acme", n)); err != nil {
				b.Fatal(err)
			}
		}
		for _, parallel := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("connections=%d/parallel=%d", connections, parallel), func(b *testing.B) {
				r := dynamoregistry.New(client, name, dynamoregistry.Options{Parallel: parallel})
				for b.Loop() {
					got := 0
					for page, err := range r.Watching(b.Context(), registry.Query{Tenant: "acme"}) {
						if err != nil {
							b.Fatal(err)
						}
						got += len(page)
					}
					if got != connections {
						b.Fatalf("%d of %d", got, connections)
					}
				}
			})
		}
	}
}

// intercepted returns a client whose calls first ask before, and fail with its error.
func intercepted(t *testing.T, before func(ctx context.Context, input any) error) *dynamodb.Client {
	t.Helper()
	options := awstest.DynamoDB(t).Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(ctx context.Context, input any, next func() (any, error)) (any, error) {
		if err := before(ctx, input); err != nil {
			return nil, err
		}
		return next()
	}))
	return dynamodb.New(options)
}

// failPage fails the n-th page of a bucket, as far as a client can tell one: page 0 has no start
// key, page 1 is any that has one.
func failPage(n *atomic.Int64) func(context.Context, any) error {
	return func(_ context.Context, input any) error {
		q, ok := input.(*dynamodb.QueryInput)
		if !ok || n.Load() < 0 || (n.Load() > 0) != (q.ExclusiveStartKey != nil) {
			return nil
		}
		return &types.InternalServerError{}
	}
}

func cancelled(codes ...string) error {
	e := &types.TransactionCanceledException{Message: aws.String(strings.Join(codes, ","))}
	for _, code := range codes {
		e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: aws.String(code)})
	}
	return e
}

func get(t *testing.T, client *dynamodb.Client, table, pk, sk string) map[string]types.AttributeValue {
	t.Helper()
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: pk},
			"sk": &types.AttributeValueMemberS{Value: sk},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

func number(item map[string]types.AttributeValue, name string) int64 {
	n, ok := item[name].(*types.AttributeValueMemberN)
	if !ok {
		return -1
	}
	v, _ := strconv.ParseInt(n.Value, 10, 64)
	return v
}
