package dynamostate_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/dynamostate"
	"github.com/iops-dashboard/live/services/internal/state/statetest"
)

// around returns a table whose queries go through f.
func around(t *testing.T, f func(ctx context.Context, query *dynamodb.QueryInput, next func() (any, error)) (any, error)) *dynamostate.Table {
	options := awstest.DynamoDB(t).Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(ctx context.Context, input any, next func() (any, error)) (any, error) {
		if q, ok := input.(*dynamodb.QueryInput); ok {
			return f(ctx, q, next)
		}
		return next()
	}))
	return dynamostate.New(dynamodb.New(options), awstest.Table(t), dynamostate.Options{})
}

// The first partition of a small range tells that the others can be asked at a time.
func TestAPageOfASmallRangeIsTwoRounds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var queries atomic.Int64
	var others sync.WaitGroup
	others.Add(dynamostate.Partitions - 1)
	together := make(chan struct{})
	go func() {
		others.Wait()
		close(together)
	}()
	table := around(t, func(ctx context.Context, _ *dynamodb.QueryInput, next func() (any, error)) (any, error) {
		if queries.Add(1) > 1 {
			others.Done()
			select {
			case <-together:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return next()
	})
	p, err := table.Page(ctx, state.Range{Tenant: "acme", EntityType: "student"}, "", 100)
	if err != nil || p.Last != "" || len(p.Entries) > 0 || queries.Load() != dynamostate.Partitions {
		t.Errorf("%+v, %v, by %d queries", p, err, queries.Load())
	}
	for range int(dynamostate.Partitions - queries.Load()) { // so that nothing waits for ever
		others.Done()
	}
}

// What is read ahead and has no room costs little, and is counted.
func TestPagesReadLittleInVain(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	table := around(t, func(_ context.Context, _ *dynamodb.QueryInput, next func() (any, error)) (any, error) {
		output, err := next()
		if err == nil {
			read.Add(int64(output.(*dynamodb.QueryOutput).ScannedCount))
		}
		return output, err
	})
	const rows = 300
	students := state.Range{Tenant: "acme", EntityType: "student"}
	for n := range rows {
		c := statetest.Change("l", "1", 1)
		c.Key = state.Key{Tenant: students.Tenant, EntityType: students.EntityType, EntityID: fmt.Sprintf("stu_%04d", n)}
		mustApply(t, table, c)
	}
	for _, limit := range []int{10, 40, 100, 250, 400} {
		read.Store(0)
		seen, told, pages := 0, 0, 0
		for after := ""; pages == 0 || after != ""; pages++ {
			p, err := table.Page(t.Context(), students, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			seen, told, after = seen+len(p.Entries), told+p.Read, p.Last
		}
		t.Logf("pages of %d: %d, %d rows read", limit, pages, read.Load())
		if seen != rows || told != int(read.Load()) || told > rows*5/4 {
			t.Errorf("pages of %d: %d pages have %d of %d rows, and %d were read, of which they tell %d", limit, pages, seen, rows, read.Load(), told)
		}
	}
}
