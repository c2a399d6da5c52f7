package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// Others copy where they should move.
func TestAMoveIsNoCopy(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(25)
		want := bodies(r.source)
		result := r.must("run", nil)
		if result != (redrive.Result{Matched: 25, Sent: 25, Deleted: 25}) {
			t.Errorf("%+v", result)
		}
		r.visible(0)
		if got := bodies(r.target); !slices.Equal(got, want) {
			t.Errorf("target has %v", got)
		}
	})
}

// Others lose, or repeat, what was in a batch that failed in part.
func TestAPartOfABatchFails(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(20)
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			failed := map[int]redrive.Failure{}
			for i, e := range entries {
				if e.Body == "body-7" || e.Body == "body-12" {
					failed[i] = redrive.Failure{Code: "Planted", Sender: e.Body == "body-12"}
				}
			}
			return failed, nil
		}
		result := r.must("run", nil)
		if result != (redrive.Result{Matched: 20, Sent: 18, Deleted: 18, Left: 2, Failed: 2}) {
			t.Errorf("%+v", result)
		}
		r.visible(2)
		if got := bodies(r.source); !slices.Equal(got, []string{"body-12", "body-7"}) {
			t.Errorf("source has %v", got)
		}
		if n := strings.Count(r.lines("run"), `"failed"`) - 1; n != 4 { // three tries, and one; the result has the word, too
			t.Errorf("%d failures in the log", n)
		}
		r.target.OnSend = nil
		if result := r.must("run", nil); result.Deleted != 2 || result.Left != 0 {
			t.Errorf("resumed: %+v", result)
		}
		r.atTarget(20)
	})
}

func TestADeleteFails(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(12)
		r.source.OnDelete = func(messages []redrive.Message) (map[string]redrive.Failure, error) {
			for _, m := range messages {
				if m.Body == "body-3" {
					return map[string]redrive.Failure{m.ID: {Code: "Planted"}}, nil
				}
			}
			return nil, nil
		}
		result := r.must("run", nil)
		if result.Sent != 12 || result.Deleted != 11 || result.Left != 1 || !strings.Contains(result.Why, "resuming") {
			t.Errorf("%+v", result)
		}
		r.source.OnDelete = nil
		if result := r.must("run", nil); result.Sent != 0 || result.Deleted != 1 || result.Left != 0 {
			t.Errorf("resumed: %+v", result)
		}
		r.atTarget(12)
		r.visible(0)
	})
}

// Others drop attributes that are not of type String, or all of them.
func TestEveryAttributeIsKept(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		attributes := map[string]redrive.Attribute{
			"s": redrive.Text("Zoë"), "n": {Type: "Number", Value: []byte("42.5")}, "b": {Type: "Binary", Value: []byte{0, 255}},
			"custom": {Type: "String.iso", Value: []byte("x")}, "png": {Type: "Binary.png", Value: []byte{1}}, "int": {Type: "Number.int", Value: []byte("7")},
		}
		const trace = "Root=1-5e1b4151-5ac6c58f5b5dbd6b5b5dbd6b;Sampled=1"
		r.source.Put(redrive.Entry{Body: "b", Trace: trace, Attributes: attributes})
		r.must("run", nil)
		got := r.target.All()[0]
		if got.Trace != trace {
			t.Errorf("trace %q", got.Trace)
		}
		attributes[redrive.RunAttribute] = redrive.Text("run")
		attributes[redrive.CountAttribute] = redrive.Attribute{Type: "Number", Value: []byte("1")}
		if !reflect.DeepEqual(got.Attributes, attributes) {
			t.Errorf("attributes %v", got.Attributes)
		}
	})
}

func TestNoRoomForTheMarks(t *testing.T) {
	for name, tc := range map[string]struct {
		own     int
		reason  bool
		body    int
		want    []string // of the marks
		without string
	}{
		"room":             {own: 8, want: []string{redrive.CountAttribute, redrive.RunAttribute}},
		"one":              {own: 9, want: []string{redrive.CountAttribute}, without: `"without":["x-replay-run"]`},
		"none":             {own: 10, without: `"without":["x-replay-count","x-replay-run"]`},
		"the reason goes":  {own: 8, reason: true, want: []string{redrive.CountAttribute, redrive.RunAttribute}, without: `"without":["dead_letter_reason"]`},
		"the reason first": {own: 9, reason: true, want: []string{redrive.CountAttribute}, without: `"without":["dead_letter_reason","x-replay-run"]`},
		"bytes":            {own: 1, body: redrive.MaxBytes - 10, without: `"without":["x-replay-count","x-replay-run"]`},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				e := redrive.Entry{Body: strings.Repeat("b", max(1, tc.body)), Attributes: map[string]redrive.Attribute{}}
				for i := range tc.own {
					e.Attributes[fmt.Sprintf("a%d", i)] = redrive.Text("v")
				}
				if tc.reason {
					e.Attributes["dead_letter_reason"] = redrive.Text("because")
				}
				r.source.Put(e)
				if result := r.must("run", nil); result.Deleted != 1 {
					t.Fatalf("%+v", result)
				}
				got := r.target.All()[0]
				marks := []string{}
				own := 0
				for name := range got.Attributes {
					switch {
					case strings.HasPrefix(name, "x-"):
						marks = append(marks, name)
					case name != "dead_letter_reason":
						own++
					}
				}
				slices.Sort(marks)
				if own != tc.own || !slices.Equal(marks, append([]string{}, tc.want...)) {
					t.Errorf("own attributes %d, marks %v", own, marks)
				}
				if log := r.lines("run"); !strings.Contains(log, tc.without) || tc.without == "" && strings.Contains(log, "without") {
					t.Errorf("the log does not tell: %s", log)
				}
			})
		})
	}
}

func TestABatchIsSplitByBytes(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		for range 10 {
			r.source.Put(redrive.Entry{Body: strings.Repeat("b", 300<<10)})
		}
		calls := 0
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) { calls++; return nil, nil }
		if result := r.must("run", nil); result.Deleted != 10 || calls != 4 { // of three, three, three and one
			t.Errorf("%+v in %d calls", result, calls)
		}
	})
}

// What makes SQS refuse the whole batch must not hold up the others.
func TestAPoisonedBatch(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(15)
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			for _, e := range entries {
				if e.Body == "body-4" {
					return nil, fmt.Errorf("planted: %w", redrive.ErrRefused)
				}
			}
			return nil, nil
		}
		if result := r.must("run", nil); result.Deleted != 14 || result.Failed != 1 || result.Left != 1 {
			t.Errorf("%+v", result)
		}
		r.atTarget(14)
		r.visible(1)
	})
}

func TestDeniedEndsTheRun(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(15)
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) {
			return nil, fmt.Errorf("planted: %w", redrive.ErrDenied)
		}
		if result, err := r.do(t.Context(), "run", nil); !errors.Is(err, redrive.ErrDenied) || result.Left == 0 || result.Sent != 0 {
			t.Errorf("%+v, %v", result, err)
		}
		r.visible(15)
	})
}

// Others repeat what they have seen.
func TestADeliveryComesTwice(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(30)
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) {
			for _, m := range r.source.All() {
				r.source.Show(m.ID)
			}
			return nil, nil
		}
		if result := r.must("run", nil); result != (redrive.Result{Matched: 30, Sent: 30, Deleted: 30}) {
			t.Errorf("%+v", result)
		}
		r.atTarget(30)
	})
}

// What this run sent and is dead again would go round for ever.
func TestWhatComesBackIsLeft(t *testing.T) {
	for name, attributes := range map[string]int{"with marks": 0, "without room for them": 10} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				e := redrive.Entry{Body: "poison", Attributes: map[string]redrive.Attribute{}}
				for i := range attributes {
					e.Attributes[fmt.Sprint("a", i)] = redrive.Text("v")
				}
				r.source.Put(e)
				r.target.OnSent = func(entries []redrive.Entry) error {
					for _, e := range entries {
						r.source.Put(e)
					}
					return nil
				}
				if result := r.must("run", nil); result.Sent != 1 || result.Left != 1 {
					t.Errorf("%+v", result)
				}
				r.visible(1)
			})
		})
	}
}

func TestThreeReplaysAreEnough(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		for n := range 5 {
			r.source.Put(redrive.Entry{Body: fmt.Sprint(n), Attributes: map[string]redrive.Attribute{
				redrive.CountAttribute: {Type: "Number", Value: []byte(fmt.Sprint(n))}, redrive.RunAttribute: redrive.Text("earlier"),
			}})
		}
		if result := r.must("run", nil); result.Sent != 3 || result.Left != 2 || result.Matched != 5 {
			t.Errorf("%+v", result)
		}
		if got := bodies(r.source); !slices.Equal(got, []string{"3", "4"}) {
			t.Errorf("left %v", got)
		}
		if log := r.lines("run"); !strings.Contains(log, "was replayed 3 times") {
			t.Error(log)
		}
	})
}

func TestFilterLimitAndDryRun(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(40)
		r.source.Put(redrive.Entry{Body: "broken"})
		even := func(p *redrive.Plan) {
			p.Match = func(m redrive.Message) (bool, error) {
				return strings.HasSuffix(m.Body, "8"), nil
			}
			p.Unwrap = func(m redrive.Message) (redrive.Message, error) {
				if m.Body == "broken" {
					return redrive.Message{}, errors.New("no envelope")
				}
				m.Body = "un" + m.Body
				return m, nil
			}
		}
		dry := func(p *redrive.Plan) { even(p); p.DryRun, p.Log, p.Target = true, nil, nil }
		if result := r.must("dry", dry); result != (redrive.Result{Matched: 4, Left: 5, Skipped: 36, Failed: 1}) {
			t.Errorf("%+v", result)
		}
		r.visible(41)
		r.atTarget(0)
		if result := r.must("three", func(p *redrive.Plan) { even(p); p.Limit = 3 }); result.Matched != 3 || result.Deleted != 3 {
			t.Errorf("%+v", result)
		}
		r.visible(38)
		if result := r.must("three", func(p *redrive.Plan) { even(p); p.Limit = 3 }); result.Matched != 0 {
			t.Errorf("a limit is for all of the run: %+v", result)
		}
		if result := r.must("run", even); result != (redrive.Result{Matched: 1, Sent: 1, Deleted: 1, Skipped: 36, Failed: 1, Left: 1}) {
			t.Errorf("%+v", result)
		}
		r.visible(37)
		for _, body := range bodies(r.target) {
			if !strings.HasPrefix(body, "unbody-") {
				t.Errorf("sent %s", body)
			}
		}
	})
}

func TestInterruptFinishesTheBatch(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(100)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			if len(r.target.All()) >= 30 {
				cancel()
			}
			return nil, nil
		}
		result, err := r.do(ctx, "run", nil)
		if err != nil || result.Why != "interrupted" || result.Sent != 40 || result.Deleted != 40 {
			t.Errorf("%+v, %v", result, err)
		}
		r.visible(60)
		r.target.OnSend = nil
		r.must("run", nil)
		r.atTarget(100)
		r.visible(0)
	})
}

// A slow run keeps what it holds: nobody else receives it.
func TestHeldMessagesStayHidden(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(200)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.must("run", func(p *redrive.Plan) {
				p.Rate, p.Hold = 0.5, 20*time.Second
				p.Match = func(m redrive.Message) (bool, error) { return strings.HasSuffix(m.Body, "0"), nil }
			})
		}()
		for open := true; open; {
			select {
			case <-done:
				open = false
			case <-time.After(time.Second):
			}
		}
		for _, m := range r.source.All() {
			if m.ReceiveCount != 1 {
				t.Fatalf("message received %d times", m.ReceiveCount)
			}
		}
		r.atTarget(20)
	})
}

func TestLookShowsAndReturns(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(35)
		for most, want := range map[int]int{100: 35, 12: 12} {
			seen := map[string]bool{}
			n, more, err := redrive.Look(t.Context(), r.source, most, 0, func(m redrive.Message) { seen[m.ID] = true })
			if err != nil || n != want || len(seen) != want || more != (want < 35) {
				t.Errorf("%d, %v, %v", n, more, err)
			}
			r.visible(35)
		}
		ctx, cancel := context.WithCancel(t.Context())
		n, more, err := redrive.Look(ctx, r.source, 100, 0, func(redrive.Message) { cancel() })
		if err != nil || n != 10 || !more {
			t.Errorf("interrupted: %d, %v, %v", n, more, err)
		}
		r.visible(35)
	})
}
