package pump

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestVerdict(t *testing.T) {
	piece := []record{{sequence: "9"}, {sequence: "10"}, {sequence: "11"}}
	const done, all = 3, 0
	tests := []struct {
		response string
		want     int
	}{
		{``, done},
		{`""`, done},
		{`[]`, done},
		{`null`, done},
		{`{}`, done},
		{" {} \n", done},
		{`{"batchItemFailures":[]}`, done},
		{`{"batchItemFailures":null}`, done},
		{`{"other":1}`, done},
		{`{"batchItemFailures":[{"itemIdentifier":"9"}]}`, 0},
		{`{"batchItemFailures":[{"itemIdentifier":"10"}]}`, 1},
		{`{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"10"}]}`, 1},
		{`{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"11"}],"more":true}`, 2},
		{`{"batchItemFailures":[{"itemIdentifier":"10","why":"x"},{"itemIdentifier":"9"}]}`, 0}, // 9 comes before 10, not as text
		{`{"batchItemFailures":[{"itemIdentifier":""}]}`, all},
		{`{"batchItemFailures":[{"itemIdentifier":null}]}`, all},
		{`{"batchItemFailures":[{"itemIdentifier":11}]}`, all},
		{`{"batchItemFailures":[{"itemIdentifier":"12"}]}`, all},
		{`{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"12"}]}`, all},
		{`{"batchItemFailures":[{"itemidentifier":"11"}]}`, all},
		{`{"batchItemFailures":[{"foo":"bar"}]}`, all},
		{`{"batchItemFailures":[null]}`, all},
		{`{"batchItemFailures":["11"]}`, all},
		{`{"batchItemFailures":"11"}`, all},
		{`{"batchItemFailures":{}}`, all},
		{`{"batchItemFailures":[`, all},
		{`"text"`, all},
		{`[1]`, all},
		{`7`, all},
		{`true`, all},
	}
	reporting := &reader{Pump: &Pump{mapping: Mapping{ReportBatchItemFailures: true}}}
	plain := &reader{Pump: &Pump{}}
	for _, test := range tests {
		if got := reporting.verdict(Response{Payload: []byte(test.response)}, piece); got != test.want {
			t.Errorf("%s: %d, want %d", test.response, got, test.want)
		}
		if got := reporting.verdict(Response{Payload: []byte(test.response), FunctionError: "Unhandled"}, piece); got != all {
			t.Errorf("%s with an error: %d", test.response, got)
		}
		if got := plain.verdict(Response{Payload: []byte(test.response)}, piece); got != done {
			t.Errorf("%s without ReportBatchItemFailures: %d", test.response, got)
		}
	}
}

func FuzzVerdict(f *testing.F) {
	for _, seed := range []string{`{"batchItemFailures":[{"itemIdentifier":"2"}]}`, `null`, `{"batchItemFailures":[{}]}`} {
		f.Add([]byte(seed))
	}
	r := &reader{Pump: &Pump{mapping: Mapping{ReportBatchItemFailures: true}}}
	piece := []record{{sequence: "1"}, {sequence: "2"}}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if got := r.verdict(Response{Payload: payload}, piece); got < 0 || got > len(piece) {
			t.Errorf("%q: %d", payload, got)
		}
	})
}

func TestFailureIsRetriedInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("a", "b")
		streams.write("a", 1001, 1002, 1003)
		failures := 6
		b := newBench(t, Mapping{BatchSize: 2, MaxRetries: -1}, streams, func(_ context.Context, numbers []int) (Response, error) {
			if numbers[0] == 1001 && failures > 0 {
				failures--
				return failed, nil
			}
			return Response{}, nil
		})
		b.start()
		streams.write("b", 2001)
		b.after(time.Minute)
		var own []call
		for _, c := range b.calls {
			if c.numbers[0] < 2000 {
				own = append(own, c)
			}
		}
		if len(own) != 8 || own[7].numbers[0] != 1003 || len(b.calls) != 9 {
			t.Fatalf("calls %v", b.calls)
		}
		for i, pause := range []time.Duration{50, 100, 200, 400, 800, 1600} {
			pause *= time.Millisecond
			if got := own[i+1].at - own[i].at; got < pause/2 || got > pause {
				t.Errorf("pause %d was %v, want between a half and the whole of %v", i, got, pause)
			}
		}
		if n := b.log.count("batch failed"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		b.halt()
	})
}

func TestExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1, 2)
		b := newBench(t, Mapping{MaxRetries: 1}, streams, func(_ context.Context, numbers []int) (Response, error) {
			if numbers[0] == 1 {
				return failed, nil
			}
			return Response{}, nil
		})
		created := time.Now().UTC()
		b.start()
		streams.write("s", 3)
		b.after(time.Second)
		b.expect([]int{1, 2}, []int{1, 2}, []int{3})
		b.halt()

		got := b.documents()
		if len(got) != 1 {
			t.Fatalf("%d documents", len(got))
		}
		if numbers := payloadNumbers(t, got[0].Payload); !slices.Equal(numbers, []int{1, 2}) {
			t.Errorf("payload holds %v", numbers)
		}
		given, err := time.Parse("2006-01-02T15:04:05.000Z", got[0].Timestamp)
		if err != nil || given.Before(created) {
			t.Errorf("timestamp %s: %v", got[0].Timestamp, err)
		}
		arrived := created.Format("2006-01-02T15:04:05Z")
		want := failureDocument{
			RequestContext:  requestContext{"r", "arn:aws:lambda:eu-central-1:123456789012:function:normalizer", "RetryAttemptsExhausted", 2},
			ResponseContext: &responseContext{200, "$LATEST", "Unhandled"},
			Version:         "1.0", Timestamp: got[0].Timestamp, Payload: got[0].Payload,
			Batch: batchInfo{"s", "1", "2", arrived, arrived, 2, streamARN},
		}
		if *got[0].ResponseContext != *want.ResponseContext {
			t.Errorf("response context %+v", got[0].ResponseContext)
		}
		want.ResponseContext = got[0].ResponseContext
		if got[0] != want {
			t.Errorf("got  %+v\nwant %+v", got[0], want)
		}
		key := regexp.MustCompile(`^aws/lambda/esm/s/` + given.Format("2006/01/02/2006-01-02T15.04.05") + `-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
		if !key.MatchString(b.store.keys[0]) {
			t.Errorf("key %s", b.store.keys[0])
		}
	})
}

func TestBisect(t *testing.T) {
	for _, retries := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d retries", retries), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streams := newStreams("s")
				streams.write("s", span(1, 8)...)
				b := newBench(t, Mapping{Bisect: true, MaxRetries: retries}, streams, func(_ context.Context, numbers []int) (Response, error) {
					if slices.Contains(numbers, 6) {
						return failed, nil
					}
					return Response{}, nil
				})
				b.start()
				b.after(time.Minute)
				want := [][]int{span(1, 8), span(1, 4), span(5, 8), {5, 6}, {5}, {6}}
				for range retries {
					want = append(want, []int{6})
				}
				b.expect(append(want, []int{7, 8})...)
				got := b.documents()
				if len(got) != 1 || !slices.Equal(payloadNumbers(t, got[0].Payload), []int{6}) || got[0].RequestContext.ApproximateInvokeCount != retries+1 {
					t.Errorf("given up: %+v", got)
				}
				b.halt()
			})
		})
	}
}

func report(n int) Response {
	return Response{Payload: fmt.Appendf(nil, `{"batchItemFailures":[{"itemIdentifier":"%d"}]}`, n)}
}

func TestPartialFailure(t *testing.T) {
	// The function cannot do records 3 and 6 the first `times` times.
	run := func(t *testing.T, mapping Mapping, times int, want ...[]int) *bench {
		mapping.ReportBatchItemFailures = true
		streams := newStreams("s")
		streams.write("s", span(1, 8)...)
		left := map[int]int{3: times, 6: times}
		b := newBench(t, mapping, streams, func(_ context.Context, numbers []int) (Response, error) {
			for _, n := range numbers {
				if left[n] > 0 {
					left[n]--
					return report(n), nil
				}
			}
			return Response{Payload: []byte(`{"batchItemFailures":[]}`)}, nil
		})
		b.start()
		b.after(time.Minute)
		b.expect(want...)
		b.halt()
		return b
	}
	t.Run("taken up again at the lowest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := run(t, Mapping{MaxRetries: 2}, 2, span(1, 8), span(3, 8), span(3, 8), span(6, 8), span(6, 8))
			if got := b.documents(); len(got) != 0 {
				t.Errorf("given up: %v", got)
			}
		})
	})
	t.Run("attempts are counted by checkpoint", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := run(t, Mapping{MaxRetries: 1}, 2, span(1, 8), span(3, 8))
			got := b.documents()
			if len(got) != 1 || !slices.Equal(payloadNumbers(t, got[0].Payload), span(3, 8)) || got[0].RequestContext.ApproximateInvokeCount != 2 {
				t.Fatalf("given up: %+v", got)
			}
			if got[0].ResponseContext == nil || got[0].ResponseContext.FunctionError != "" || strings.Contains(string(b.store.documents[0]), "functionError") {
				t.Errorf("response context %+v", got[0].ResponseContext)
			}
		})
	})
	t.Run("never retried", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := run(t, Mapping{MaxRetries: 0}, 1, span(1, 8))
			if got := b.documents(); len(got) != 1 || !slices.Equal(payloadNumbers(t, got[0].Payload), span(3, 8)) {
				t.Errorf("given up: %+v", got)
			}
		})
	})
	t.Run("with bisect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := run(t, Mapping{Bisect: true, MaxRetries: 1}, 100,
				span(1, 8),                     // 1 and 2 are done
				span(3, 8),                     // 3 again: halves
				span(3, 5), []int{3}, []int{3}, // 3 is given up
				[]int{4, 5},
				span(6, 8), []int{6}, []int{6}, // 6 is given up
				[]int{7, 8})
			got := b.documents()
			if len(got) != 2 || !slices.Equal(payloadNumbers(t, got[0].Payload), []int{3}) || !slices.Equal(payloadNumbers(t, got[1].Payload), []int{6}) {
				t.Errorf("given up: %+v", got)
			}
		})
	})
	t.Run("an answer that is not understood", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			streams := newStreams("s")
			streams.write("s", 1, 2)
			b := newBench(t, Mapping{MaxRetries: 1, ReportBatchItemFailures: true}, streams, func(context.Context, []int) (Response, error) {
				return report(77), nil
			})
			b.start()
			b.after(time.Minute)
			b.expect([]int{1, 2}, []int{1, 2})
			b.halt()
		})
	})
}

func TestHostErrorsAreNotAttempts(t *testing.T) {
	for name, hostError := range map[string]error{"throttle": errThrottle, "host": fmt.Errorf("invoke: %w", errHost)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streams := newStreams("s")
				streams.write("s", 1, 2)
				var healed atomic.Bool
				b := newBench(t, Mapping{MaxRetries: 0, Bisect: true}, streams, func(context.Context, []int) (Response, error) {
					if !healed.Load() {
						return Response{}, hostError
					}
					return Response{}, nil
				})
				b.start()
				b.after(10 * time.Minute)
				healed.Store(true)
				b.after(6 * time.Second)
				for _, numbers := range b.numbers() {
					if !slices.Equal(numbers, []int{1, 2}) {
						t.Fatalf("invoked with %v", numbers)
					}
				}
				least, most := 120, 260 // back-off of up to 5 s
				if name == "throttle" {
					least, most = 3_000, 6_200 // of up to 200 ms
				}
				if n := len(b.calls); n < least || n > most {
					t.Errorf("%d tries in ten minutes", n)
				}
				if got := b.documents(); len(got) != 0 {
					t.Errorf("given up: %v", got)
				}
				if warned, over := b.log.count("WARN"), b.log.count("INFO"); warned != 1 || over != 1 {
					t.Errorf("logged %d times, and %d times that it is over", warned, over)
				}
				b.halt()
			})
		})
	}
}

func TestRecordAgeExceeded(t *testing.T) {
	t.Run("untried", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			streams := newStreams("s")
			streams.write("s", 1, 2)
			b := newBench(t, Mapping{MaxRetries: -1, MaxAge: time.Minute}, streams, nil)
			b.after(2 * time.Minute)
			streams.write("s", 3)
			b.start()
			b.expect([]int{3})
			got := b.documents()
			if len(got) != 1 || got[0].RequestContext.Condition != "RecordAgeExceeded" || got[0].RequestContext.ApproximateInvokeCount != 0 ||
				got[0].ResponseContext != nil || !slices.Equal(payloadNumbers(t, got[0].Payload), []int{1, 2}) {
				t.Errorf("given up: %+v", got)
			}
			b.halt()
		})
	})
	for name, response := range map[string]Response{"failing": failed, "throttled": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streams := newStreams("s")
				streams.write("s", 1)
				b := newBench(t, Mapping{MaxRetries: -1, MaxAge: time.Minute}, streams, func(_ context.Context, numbers []int) (Response, error) {
					if numbers[0] > 1 {
						return Response{}, nil
					}
					if name == "throttled" {
						return Response{}, errThrottle
					}
					return response, nil
				})
				b.start()
				b.after(50 * time.Second)
				streams.write("s", 2)
				if got := b.documents(); len(got) != 0 {
					t.Errorf("given up early: %+v", got)
				}
				b.after(20 * time.Second)
				got := b.documents()
				if len(got) != 1 || got[0].RequestContext.Condition != "RecordAgeExceeded" || !slices.Equal(payloadNumbers(t, got[0].Payload), []int{1}) {
					t.Fatalf("given up: %+v", got)
				}
				if (got[0].ResponseContext == nil) != (name == "throttled") || (got[0].RequestContext.ApproximateInvokeCount == 0) != (name == "throttled") {
					t.Errorf("given up: %+v", got)
				}
				calls := b.numbers()
				if last := calls[len(calls)-1]; !slices.Equal(last, []int{2}) {
					t.Errorf("last invoked with %v", last)
				}
				b.halt()
			})
		})
	}
}

func TestStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1)
		b := newBench(t, Mapping{}, streams, func(_ context.Context, numbers []int) (Response, error) {
			if numbers[0] == 1 {
				return failed, nil
			}
			return Response{}, nil
		})
		b.store.fail = errHost
		b.start()
		streams.write("s", 2)
		b.after(time.Hour)
		b.expect([]int{1}) // the shard waits
		b.store.mu.Lock()
		b.store.fail = nil
		b.store.mu.Unlock()
		b.after(6 * time.Second)
		b.expect([]int{1}, []int{2})
		if len(b.documents()) != 1 {
			t.Errorf("%d documents", len(b.documents()))
		}
		for _, key := range b.store.tries {
			if key != b.store.keys[0] {
				t.Errorf("tried under %s and %s", key, b.store.keys[0])
			}
		}
		if n := b.log.count("WARN cannot keep"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		b.halt()
	})
}

func TestWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams := newStreams("s")
		streams.write("s", 1, 2)
		b := newBench(t, Mapping{BatchSize: 1}, streams, func(_ context.Context, numbers []int) (Response, error) {
			if numbers[0] == 1 {
				return failed, nil
			}
			return Response{}, nil
		})
		b.Pump.store = nil
		b.start()
		b.expect([]int{1}, []int{2})
		if n := b.log.count("ERROR RECORDS ARE LOST"); n != 1 {
			t.Errorf("said %d times", n)
		}
		b.halt()
	})
}

// Whatever the function does, each record ends done or given up, first comes first, and nothing is given up while it
// may still be retried.
func TestNothingIsLostOrReordered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := scenario{
			mapping: Mapping{
				BatchSize:               rapid.IntRange(1, 12).Draw(rt, "batch size"),
				MaxRetries:              rapid.IntRange(0, 3).Draw(rt, "retries"),
				Bisect:                  rapid.Bool().Draw(rt, "bisect"),
				ReportBatchItemFailures: rapid.Bool().Draw(rt, "report"),
				Poll:                    10 * time.Second,
				Window:                  rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(rt, "window"),
			},
			total:    rapid.IntRange(1, 30).Draw(rt, "records"),
			outcomes: rapid.SliceOf(rapid.SampledFrom([]string{"ok", "fail", "throttle", "host", "nonsense"})).Draw(rt, "outcomes"),
			next:     1,
		}
		s.poison = rapid.SliceOfDistinct(rapid.IntRange(1, s.total), rapid.ID).Draw(rt, "poison")
		synctest.Test(t, s.run)
		if s.fault != "" {
			rt.Fatal(s.fault)
		}
		if s.next != s.total+1 {
			rt.Fatalf("%d of %d records are done or given up", s.next-1, s.total)
		}
	})
}

// scenario is a function that fails by the book: first as outcomes say, then whenever it meets poison.
type scenario struct {
	mapping  Mapping
	total    int
	poison   []int
	outcomes []string

	next  int // the first record that is neither done nor given up
	fault string
}

func (s *scenario) run(t *testing.T) {
	streams := newStreams("s")
	streams.write("s", span(1, s.total)...)
	b := newBench(t, s.mapping, streams, s.function)
	b.Pump.store = storeFunc(func(_ string, document []byte) {
		d := decodeDocument(t, document)
		numbers := payloadNumbers(t, d.Payload)
		switch {
		case d.Batch.BatchSize != len(numbers) || d.Batch.StartSequenceNumber != strconv.Itoa(numbers[0]) || numbers[0] != s.next:
			s.fault = fmt.Sprintf("given up out of order: %v, next is %d", numbers, s.next)
		case s.mapping.Bisect && len(numbers) > 1:
			s.fault = fmt.Sprintf("given up with its neighbours: %v", numbers)
		case d.RequestContext.ApproximateInvokeCount != s.mapping.MaxRetries+1:
			s.fault = fmt.Sprintf("given up after %d attempts", d.RequestContext.ApproximateInvokeCount)
		}
		s.next = numbers[len(numbers)-1] + 1
	})
	b.start()
	b.after(time.Hour)
	b.halt()
}

func (s *scenario) function(_ context.Context, numbers []int) (Response, error) {
	if numbers[0] != s.next {
		s.fault = fmt.Sprintf("invoked with %v, next is %d", numbers, s.next)
	}
	outcome := "ok"
	if len(s.outcomes) > 0 {
		outcome, s.outcomes = s.outcomes[0], s.outcomes[1:]
	}
	switch {
	case outcome == "throttle":
		return Response{}, errThrottle
	case outcome == "host":
		return Response{}, errHost
	case outcome == "nonsense" && s.mapping.ReportBatchItemFailures:
		return Response{Payload: []byte(`{"batchItemFailures":[{}]}`)}, nil
	case outcome != "ok":
		return failed, nil
	}
	bad := slices.IndexFunc(numbers, func(n int) bool { return slices.Contains(s.poison, n) })
	switch {
	case bad < 0:
		s.next = numbers[len(numbers)-1] + 1
		return Response{}, nil
	case !s.mapping.ReportBatchItemFailures:
		return failed, nil
	default:
		s.next = numbers[bad]
		return report(numbers[bad]), nil
	}
}
