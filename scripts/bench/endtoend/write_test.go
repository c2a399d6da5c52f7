package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// notebook is a table that remembers the values of each entity, and refuses one.
type notebook struct {
	refused string

	mu     sync.Mutex
	busy   map[string]bool
	values map[string][]int
	faults []string
}

func (b *notebook) UpdateItem(_ context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	id := in.Key["entity_id"].(*types.AttributeValueMemberS).Value
	text := in.ExpressionAttributeValues[":value"].(*types.AttributeValueMemberN).Value
	b.mu.Lock()
	if b.busy[id] {
		b.faults = append(b.faults, id+" is written twice at a time")
	}
	b.busy[id] = true
	b.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy[id] = false
	if text == b.refused {
		return nil, errors.New("refused")
	}
	value, err := strconv.Atoi(text)
	b.values[id] = append(b.values[id], value)
	return nil, err
}

func TestWritesOfAnEntityFollowEachOther(t *testing.T) {
	t.Parallel()
	b := &notebook{refused: "14", busy: map[string]bool{}, values: map[string][]int{}}
	j := newJournal([]string{"a", "b", "c"}, 10, 8, time.Now())
	j.write(t.Context(), b, "metrics", 1_000_000)
	for name, want := range map[string][]int{"a": {10, 13, 16}, "b": {11, 17}, "c": {12, 15}} {
		if !slices.Equal(b.values[name], want) {
			t.Errorf("%s got %v, want %v", name, b.values[name], want)
		}
	}
	if len(b.faults) > 0 || j.failure() == nil || !slices.Equal(j.finals(), []int{6, 7, 5}) {
		t.Errorf("%v; failure %v, finals %v", b.faults, j.failure(), j.finals())
	}
}

func TestWritersStopWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := &notebook{busy: map[string]bool{}, values: map[string][]int{}}
	newJournal([]string{"a"}, 0, 1000, time.Now().Add(time.Hour)).write(ctx, b, "metrics", 1)
	if len(b.values) > 0 {
		t.Errorf("%v was written", b.values)
	}
}
