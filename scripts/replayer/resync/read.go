package resync

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
)

type item = map[string]types.AttributeValue

// maxKeys is how many items one BatchGetItem reads at most:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
const maxKeys = 100

// row is a row of the table.
type row struct {
	key   Key
	state Key // the zero Key where it can have no state
	item  item
}

// rows yields the rows that the normalizer is told of, page by page.
func (s Source) rows(ctx context.Context) iter.Seq2[[]row, error] {
	return func(yield func([]row, error) bool) {
		for page, err := range s.items(ctx) {
			var rows []row
			for _, each := range page {
				var r row
				if r, err = s.row(each); err != nil {
					break
				}
				if s.Table.streamed(r.key) {
					rows = append(rows, r)
				}
			}
			if !yield(rows, err) || err != nil {
				return
			}
		}
	}
}

func (s Source) row(each item) (row, error) {
	key, err := s.Table.keyOf(each)
	r := row{key: key, item: each}
	if tenant, ok := tenantOf(each); ok {
		if state, ok := s.Table.stateOf(tenant, key); ok {
			r.state = state
		}
	}
	return r, err
}

// items are the rows of the table, of whatever kind, or the one that is wanted.
func (s Source) items(ctx context.Context) iter.Seq2[[]item, error] {
	if s.Only == nil {
		return s.scan(ctx, &dynamodb.ScanInput{TableName: &s.Table.Name})
	}
	return onePage(func() ([]item, error) {
		rows, err := s.get(ctx, s.Table.Name, s.Table.names, []Key{*s.Only}, nil)
		return slices.Collect(maps.Values(rows)), err
	})
}

// stateAttributes are what is read of a state.
var stateAttributes = []string{"pk", "sk", "label", "seq", "image"}

// states yields what the state table knows of the table's rows, page by page.
func (s Source) states(ctx context.Context) iter.Seq2[[]entity, error] {
	return func(yield func([]entity, error) bool) {
		for page, err := range s.stateItems(ctx) {
			var known []entity
			for _, each := range page {
				var e entity
				var ok bool
				if e, ok, err = s.Table.decode(each); err != nil {
					break
				}
				if ok {
					known = append(known, e)
				}
			}
			if !yield(known, err) || err != nil {
				return
			}
		}
	}
}

func (s Source) stateItems(ctx context.Context) iter.Seq2[[]item, error] {
	in := &dynamodb.ScanInput{TableName: &s.Table.State}
	in.ProjectionExpression, in.ExpressionAttributeNames = projection(stateAttributes)
	if s.Only == nil {
		return s.scan(ctx, in)
	}
	if s.Tenant != "" {
		return onePage(func() ([]item, error) { return s.ofTenants(ctx) })
	}
	state, ok := s.Table.stateOf("", *s.Only)
	if !ok {
		return func(func([]item, error) bool) {}
	}
	_, kind, _ := strings.Cut(state[0], "#")
	in.FilterExpression = aws.String("#1 = :sk AND contains(#0, :kind)")
	in.ExpressionAttributeValues = item{":sk": text(state[1]), ":kind": text("#" + kind)}
	return s.scan(ctx, in)
}

// ofTenants reads the states of the wanted row, of its own tenant and of the one that is named.
func (s Source) ofTenants(ctx context.Context) ([]item, error) {
	row, err := s.get(ctx, s.Table.Name, s.Table.names, []Key{*s.Only}, nil)
	if err != nil {
		return nil, err
	}
	owner, _ := tenantOf(row[*s.Only])
	var keys []Key
	for _, tenant := range []string{s.Tenant, owner} {
		if state, ok := s.Table.stateOf(tenant, *s.Only); ok && tenant != "" {
			keys = append(keys, state)
		}
	}
	states, err := s.get(ctx, s.Table.State, stateKey, keys, stateAttributes)
	return slices.Collect(maps.Values(states)), err
}

// scan reads a table page by page.
func (s Source) scan(ctx context.Context, in *dynamodb.ScanInput) iter.Seq2[[]item, error] {
	in.ConsistentRead = aws.Bool(true)
	if s.Limit > 0 {
		in.Limit = &s.Limit
	}
	return func(yield func([]item, error) bool) {
		for {
			out, err := s.Client.Scan(ctx, in)
			if err != nil {
				yield(nil, awsfault.DynamoDB.Classify("Scan "+*in.TableName, err))
				return
			}
			if !yield(out.Items, nil) || len(out.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// onePage reads when it is asked for.
func onePage(read func() ([]item, error)) iter.Seq2[[]item, error] {
	return func(yield func([]item, error) bool) { yield(read()) }
}

const (
	// maxTries bounds how often keys are asked for none of which was read. The client has tried some times by then.
	maxTries     = 8
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// get reads the items of these keys, at most maxKeys, each as it is now. Those that are not there it leaves out.
func (s Source) get(ctx context.Context, table string, names [2]string, keys []Key, attributes []string) (map[Key]item, error) {
	found := make(map[Key]item, len(keys))
	var wanted []item
	seen := map[Key]bool{}
	for _, k := range keys {
		if !seen[k] { // asked for twice, it would be refused
			seen[k] = true
			wanted = append(wanted, item{names[0]: text(k[0]), names[1]: text(k[1])})
		}
	}
	part := types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}
	part.ProjectionExpression, part.ExpressionAttributeNames = projection(attributes)
	for tries, pause := 0, firstBackoff; len(wanted) > 0; {
		part.Keys = wanted
		out, err := s.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: part}})
		if err != nil {
			return nil, awsfault.DynamoDB.Classify("BatchGetItem "+table, err)
		}
		for _, each := range out.Responses[table] {
			pk, _ := each[names[0]].(*types.AttributeValueMemberS)
			sk, _ := each[names[1]].(*types.AttributeValueMemberS)
			if pk == nil || sk == nil {
				return nil, fmt.Errorf("BatchGetItem %s: an item without its key", table)
			}
			found[Key{pk.Value, sk.Value}] = each
		}
		left := out.UnprocessedKeys[table].Keys
		if tries++; len(left) < len(wanted) {
			tries, pause = 0, firstBackoff
		}
		if wanted = left; tries == maxTries {
			return nil, fmt.Errorf("BatchGetItem %s: nothing was read in %d calls: the table is throttled", table, tries)
		}
		if len(wanted) > 0 {
			if err := wait(ctx, pause/2+rand.N(pause/2)); err != nil {
				return nil, err
			}
			pause = min(2*pause, lastBackoff)
		}
	}
	return found, nil
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// projection asks for attributes by their places, since some names are words of expressions; for all if there are none.
func projection(attributes []string) (*string, map[string]string) {
	if len(attributes) == 0 {
		return nil, nil
	}
	var places []string
	names := map[string]string{}
	for i, name := range attributes {
		place := fmt.Sprintf("#%d", i)
		places, names[place] = append(places, place), name
	}
	return aws.String(strings.Join(places, ", ")), names
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
