package pump

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// The keys of the bench's records are their numbers.
var tens = &KeyPrefix{Attribute: "pk", Prefix: "10"}

func TestFilterMatches(t *testing.T) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	for name, tc := range map[string]struct {
		filter *KeyPrefix
		keys   map[string]types.AttributeValue
		want   bool
	}{
		"no filter":         {nil, nil, true},
		"the prefix":        {tens, map[string]types.AttributeValue{"pk": text("10x")}, true},
		"nothing behind it": {tens, map[string]types.AttributeValue{"pk": text("10")}, true},
		"within":            {tens, map[string]types.AttributeValue{"pk": text("x10")}, false},
		"too short":         {tens, map[string]types.AttributeValue{"pk": text("1")}, false},
		"another key":       {tens, map[string]types.AttributeValue{"sk": text("10"), "pk": text("2")}, false},
		"no key":            {tens, nil, false},
		"a number":          {tens, map[string]types.AttributeValue{"pk": &types.AttributeValueMemberN{Value: "10"}}, false},
	} {
		if got := tc.filter.matches(tc.keys); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestFilterNeedsItsParts(t *testing.T) {
	for _, f := range []KeyPrefix{{Attribute: "pk"}, {Prefix: "10"}} {
		p := New(Mapping{UUID: "u", StreamARN: streamARN, Function: "f", StartingPosition: "LATEST", Filter: &f}, newStreams(), nil, nil, nil)
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Filter") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// What is passed over is in no batch, takes no place in one, and invokes nobody.
func TestFilteredRecordsAreNotDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1, 100, 2, 3, 101, 102, 4, 103, 5)
		b := newBench(t, Mapping{BatchSize: 2, Window: 5 * time.Second, Filter: tens}, streams, nil)
		b.start()
		b.after(time.Minute)
		b.expect([]int{100, 101}, []int{102, 103})
		streams.write("s", 6, 7, 8, 9)
		b.after(time.Minute)
		b.expect([]int{100, 101}, []int{102, 103})
		b.halt()
	})
}

// A pump that starts again does not read again what it has passed over: by then the stream may have dropped it.
func TestFilteredRecordsAdvanceTheCheckpoint(t *testing.T) {
	for name, numbers := range map[string][]int{"nothing is left": {1, 2, 3}, "something is left": {1, 100, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streams := newStreams("s")
				streams.write("s", numbers...)
				b := newBench(t, Mapping{Filter: tens}, streams, nil)
				b.start()
				b.after(time.Second)
				b.halt()
				streams.set(func() { streams.find("s").trimmed = len(numbers) })
				streams.write("s", 104)
				b.start()
				b.after(time.Second)
				if got := b.numbers(); len(got) == 0 || !slices.Equal(got[len(got)-1], []int{104}) {
					t.Errorf("invoked with %v", got)
				}
				if got := streams.iterators[len(streams.iterators)-1]; got != "s AFTER_SEQUENCE_NUMBER 3" {
					t.Errorf("it went on at %q", got)
				}
				if n := b.log.count("LOST"); n != 0 {
					t.Errorf("%d records are said to be lost", n)
				}
				b.halt()
			})
		})
	}
}

// A batch that fails behind what was passed over is retried from its own first record.
func TestFilterAndRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1, 100, 2, 101)
		failures := 2
		b := newBench(t, Mapping{Filter: tens, MaxRetries: 5}, streams, func(context.Context, []int) (Response, error) {
			if failures > 0 {
				failures--
				return failed, nil
			}
			return Response{}, nil
		})
		b.start()
		b.after(time.Minute)
		b.expect([]int{100, 101}, []int{100, 101}, []int{100, 101})
		b.halt()
	})
}
