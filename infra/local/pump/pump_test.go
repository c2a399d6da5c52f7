package pump

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

func TestFaultyMapping(t *testing.T) {
	p := New(Mapping{UUID: "a/b", BatchSize: 10_001, MaxRetries: -2, MaxAge: -1, Window: -1, Poll: -1}, newStreams(), nil, nil, nil)
	err := p.Run(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"UUID", "StreamARN", "Function", "BatchSize", "Window", "MaxRetries", "MaxAge", "Poll", "StartingPosition"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not mention %s", err, want)
		}
	}
}

func TestStreamThatIsGone(t *testing.T) {
	tests := map[string]func(*fakeStreams){
		"not found": func(f *fakeStreams) {
			f.fail = func(string, string) error { return &types.ResourceNotFoundException{} }
		},
		"disabled and drained": func(f *fakeStreams) {
			f.status = types.StreamStatusDisabled
			f.find("s").closed = true
		},
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streams := newStreams("s")
				streams.write("s", 1, 2)
				b := newBench(t, Mapping{}, streams, nil)
				b.start()
				b.after(time.Second)
				streams.set(func() { lose(streams) })
				if err := <-b.ended; !errors.Is(err, ErrStreamGone) {
					t.Errorf("Run: %v", err)
				}
				b.expect([]int{1, 2})
				b.stop()
			})
		})
	}
}

func TestShardThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("a", "b")
		b := newBench(t, Mapping{}, streams, nil)
		b.start()
		streams.set(func() { streams.shards = streams.shards[1:] })
		b.after(time.Minute)
		streams.write("b", 1)
		b.after(time.Second)
		b.expect([]int{1})
		if n := b.log.count("ERROR RECORDS MAY BE LOST"); n != 1 {
			t.Errorf("said %d times", n)
		}
		b.halt()
	})
}

func TestReadErrorsHeal(t *testing.T) {
	for _, operation := range []string{"DescribeStream", "GetShardIterator", "GetRecords"} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streams := newStreams("s")
				streams.write("s", 1)
				tries := 0
				streams.fail = func(op, _ string) error {
					if op != operation {
						return nil
					}
					tries++
					return errHost
				}
				b := newBench(t, Mapping{}, streams, nil)
				b.start()
				b.after(time.Minute)
				b.expect()
				if tries < 12 || tries > 60 {
					t.Errorf("%d tries in a minute", tries)
				}
				streams.set(func() { streams.fail = nil })
				b.after(6 * time.Second)
				b.expect([]int{1})
				if warned, healed := b.log.count("WARN cannot"), b.log.count("again"); warned != 1 || healed != 1 {
					t.Errorf("logged %d times, and %d times that it is over: %q", warned, healed, b.log.lines)
				}
				b.halt()
			})
		})
	}
}

func TestExpiredIterator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1, 2)
		b := newBench(t, Mapping{}, streams, nil)
		b.start()
		streams.set(func() { streams.generation++ })
		streams.write("s", 3)
		b.after(time.Second)
		b.expect([]int{1, 2}, []int{3})
		if want := []string{"s TRIM_HORIZON", "s AFTER_SEQUENCE_NUMBER 2"}; !slices.Equal(streams.iterators, want) {
			t.Errorf("iterators %q, want %q", streams.iterators, want)
		}
		b.halt()
	})
}

func TestExpiredBeforeAnythingWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		b := newBench(t, Mapping{StartingPosition: "LATEST"}, streams, nil)
		b.start()
		streams.set(func() { streams.generation++ })
		streams.write("s", 1) // LATEST again would skip it
		b.after(time.Second)
		b.expect([]int{1})
		b.halt()
	})
}

func TestTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1, 2)
		b := newBench(t, Mapping{}, streams, nil)
		b.start()
		streams.write("s", 3, 4, 5)
		streams.set(func() { streams.find("s").trimmed = 4 })
		b.after(time.Second)
		b.expect([]int{1, 2}, []int{5})
		if n := b.log.count("ERROR RECORDS ARE LOST"); n != 1 {
			t.Errorf("said %d times", n)
		}
		b.halt()
	})
}

func TestRecordWithoutSequenceNumberIsNotSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1)
		streams.find("s").records[0].Dynamodb.SequenceNumber = nil
		b := newBench(t, Mapping{}, streams, nil)
		b.start()
		b.after(time.Minute)
		b.expect()
		streams.set(func() { streams.find("s").records[0].Dynamodb.SequenceNumber = new("1") })
		b.after(6 * time.Second)
		b.expect([]int{1})
		b.halt()
	})
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", span(1, 10)...)
		b := newBench(t, Mapping{BatchSize: 3, Poll: time.Second}, streams, nil)
		b.start()
		b.expect(span(1, 3), span(4, 6), span(7, 9), span(10, 10)) // without waiting
		if at := b.calls[3].at; at != 0 {
			t.Errorf("the backlog took %v", at)
		}
		streams.write("s", 11)
		b.after(time.Second)
		b.expect(span(1, 3), span(4, 6), span(7, 9), span(10, 10), span(11, 11))
		b.halt()
	})
}

func TestIdlePolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		b := newBench(t, Mapping{}, streams, nil)
		b.start()
		b.after(10*time.Second + time.Millisecond)
		if streams.reads != 41 {
			t.Errorf("%d reads in 10 s of idling", streams.reads)
		}
		b.halt()
	})
}

func TestTimeInTheFunctionCountsAsPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1)
		b := newBench(t, Mapping{}, streams, func(context.Context, []int) (Response, error) {
			streams.write("s", 2)
			<-time.After(300 * time.Millisecond)
			return Response{}, nil
		})
		b.start()
		b.after(300 * time.Millisecond)
		if got := b.numbers(); len(got) != 2 {
			t.Errorf("invoked with %v: what came meanwhile waits", got)
		}
		b.halt()
	})
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		b := newBench(t, Mapping{BatchSize: 4, Window: time.Second}, streams, nil)
		b.start()
		streams.write("s", 1, 2)
		b.after(600 * time.Millisecond)
		streams.write("s", 3)
		b.expect()
		b.after(700 * time.Millisecond) // the first was read at 250 ms
		b.expect(span(1, 3))
		if at := b.calls[0].at; at != 1250*time.Millisecond {
			t.Errorf("delivered at %v", at)
		}
		streams.write("s", span(4, 8)...)
		b.after(250 * time.Millisecond)
		b.expect(span(1, 3), span(4, 7)) // full: at once
		b.after(time.Second)
		b.expect(span(1, 3), span(4, 7), span(8, 8))
		b.halt()
	})
}

func TestLargestEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", span(1, 9)...)
		for i, r := range streams.find("s").records {
			size := 2_000_000
			if i == 4 {
				size = 7_000_000 // no invocation can carry it
			}
			r.Dynamodb.NewImage = map[string]types.AttributeValue{"a": &types.AttributeValueMemberS{Value: strings.Repeat("<", size)}}
		}
		b := newBench(t, Mapping{}, streams, nil)
		b.start()
		b.expect(span(1, 3), span(4, 4), span(6, 8), span(9, 9))
		got := b.documents()
		if len(got) != 1 || got[0].RequestContext.Condition != "PayloadTooLarge" || got[0].ResponseContext != nil || got[0].Batch.StartSequenceNumber != "5" {
			t.Errorf("given up: %d", len(got))
		}
		b.halt()
	})
}

func TestParentsBeforeChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("a")
		streams.pageSize = 1
		streams.write("a", span(1001, 1004)...)
		b := newBench(t, Mapping{BatchSize: 2}, streams, func(context.Context, []int) (Response, error) {
			<-time.After(time.Minute)
			return Response{}, nil
		})
		streams.split("a", "b", "c")
		streams.write("b", 2001, 2002)
		streams.write("c", 3001)
		streams.split("b", "d")
		streams.write("d", 4001)
		b.start()
		b.after(10 * time.Minute)
		got := b.numbers()
		if len(got) == 5 && got[2][0] == 3001 { // b and c are siblings
			got[2], got[3] = got[3], got[2]
		}
		want := [][]int{{1001, 1002}, {1003, 1004}, {2001, 2002}, {3001}, {4001}}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("invoked with %v, want %v", got, want)
		}
		if at, sibling := b.calls[2].at, b.calls[3].at; at != sibling || at < 2*time.Minute {
			t.Errorf("siblings begin at %v and %v", at, sibling)
		}
		b.halt()
	})
}

func TestSplitWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("a")
		b := newBench(t, Mapping{}, streams, nil)
		b.start()
		streams.write("a", 1001)
		streams.split("a", "b")
		streams.write("b", 2001)
		b.after(300 * time.Millisecond)
		b.expect([]int{1001}, []int{2001}) // the end of a is seen with its last record; b does not wait for the next discovery
		streams.set(func() { streams.shards = streams.shards[1:] })
		b.after(time.Minute) // a is forgotten
		streams.split("b", "c")
		streams.write("c", 3001)
		b.after(time.Second)
		b.expect([]int{1001}, []int{2001}, []int{3001})
		b.halt()
	})
}

func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("a")
		streams.write("a", 1001)
		streams.split("a", "b")
		streams.write("b", 2001)
		b := newBench(t, Mapping{StartingPosition: "LATEST"}, streams, nil)
		b.start()
		b.expect()
		streams.write("b", 2002)
		b.after(time.Second)
		streams.split("b", "c")
		streams.write("c", 3001)
		b.after(time.Second)
		b.expect([]int{2002}, []int{3001})
		b.halt()
	})
}

func TestRunAgainGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", span(1, 6)...)
		var loose atomic.Bool
		b := newBench(t, Mapping{BatchSize: 2}, streams, func(ctx context.Context, numbers []int) (Response, error) {
			if !loose.Load() && numbers[0] == 3 {
				<-ctx.Done()
				return Response{}, ctx.Err()
			}
			return Response{}, nil
		})
		b.start()
		b.after(time.Hour)
		if err := b.Run(t.Context()); err == nil {
			t.Error("two Runs at a time")
		}
		b.halt()
		loose.Store(true)
		b.start()
		b.after(time.Second)
		b.expect([]int{1, 2}, []int{3, 4}, []int{3, 4}, []int{5, 6})
		b.halt()
	})
}
