package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/memqueue"
)

// Others copy where they should move.
func TestAMoveIsNoCopy(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(25)
		want := bodies(r.source)
		result := r.must("run", nil)
		if result != (redrive.Result{Matched: 25, Sent: 25, Entries: 25, Deleted: 25}) {
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
		if result != (redrive.Result{Matched: 20, Sent: 18, Entries: 18, Deleted: 18, Left: 2, Failed: 2}) {
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
		id := r.source.Put(redrive.Entry{Body: "b", Trace: trace, Attributes: attributes})
		r.must("run", nil)
		got := r.target.All()[0]
		if got.Trace != trace {
			t.Errorf("trace %q", got.Trace)
		}
		attributes[redrive.RunAttribute] = redrive.Text("run")
		attributes[redrive.CountAttribute] = redrive.Attribute{Type: "Number", Value: []byte("1")}
		attributes[redrive.OfAttribute] = redrive.Text(id)
		if !reflect.DeepEqual(got.Attributes, attributes) {
			t.Errorf("attributes %v", got.Attributes)
		}
	})
}

func TestNoRoomForTheMarks(t *testing.T) {
	for name, tc := range map[string]struct {
		own     int
		before  []string // marks of an earlier replay
		body    int
		want    []string // of the marks
		without string
	}{
		"room":   {own: 7, want: []string{redrive.CountAttribute, redrive.OfAttribute, redrive.RunAttribute}},
		"two":    {own: 8, want: []string{redrive.CountAttribute, redrive.RunAttribute}, without: `"without":["x-replay-of"]`},
		"one":    {own: 9, want: []string{redrive.CountAttribute}, without: `"without":["x-replay-run","x-replay-of"]`},
		"none":   {own: 10, without: `"without":["x-replay-count","x-replay-run","x-replay-of"]`},
		"bytes":  {own: 1, body: redrive.MaxBytes - 10, without: `"without":["x-replay-count","x-replay-run","x-replay-of"]`},
		"before": {own: 7, before: []string{redrive.CountAttribute, redrive.RunAttribute, redrive.OfAttribute}, want: []string{redrive.CountAttribute, redrive.OfAttribute, redrive.RunAttribute}},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				e := redrive.Entry{Body: strings.Repeat("b", max(1, tc.body)), Attributes: map[string]redrive.Attribute{}}
				for i := range tc.own {
					e.Attributes[fmt.Sprintf("a%d", i)] = redrive.Text("v")
				}
				for _, name := range tc.before {
					e.Attributes[name] = redrive.Text("1")
				}
				r.source.Put(e)
				if result := r.must("run", nil); result.Deleted != 1 {
					t.Fatalf("%+v", result)
				}
				got := r.target.All()[0]
				marks := []string{}
				own := 0
				for name := range got.Attributes {
					if strings.HasPrefix(name, "x-") {
						marks = append(marks, name)
					} else {
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
		if result := r.must("run", nil); result != (redrive.Result{Matched: 30, Sent: 30, Entries: 30, Deleted: 30}) {
			t.Errorf("%+v", result)
		}
		r.atTarget(30)
	})
}

// lossy loses the answer to a receive, and asks again, as an SDK does.
type lossy struct {
	*memqueue.Queue
	lost bool
}

func (q *lossy) Receive(ctx context.Context, limit int, hold time.Duration) ([]redrive.Message, error) {
	if !q.lost {
		q.lost = true
		if _, err := q.Queue.Receive(ctx, limit, hold); err != nil {
			return nil, err
		}
	}
	return q.Queue.Receive(ctx, limit, hold)
}

func TestALostAnswerIsWaitedFor(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(30)
		began := time.Now()
		result := r.must("run", func(p *redrive.Plan) { p.Source = &lossy{Queue: r.source} })
		if result != (redrive.Result{Matched: 30, Sent: 30, Entries: 30, Deleted: 30}) {
			t.Errorf("%+v", result)
		}
		if took := time.Since(began); took > redrive.DefaultHold+10*time.Second {
			t.Errorf("it took %s", took)
		}
		r.atTarget(30)
	})
}

// What somebody else holds for longer is said to be there.
func TestWhatIsNotSeenIsSaid(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(3)
		if _, err := r.source.Receive(t.Context(), 1, time.Hour); err != nil {
			t.Fatal(err)
		}
		result := r.must("run", nil)
		if result.Sent != 2 || !strings.Contains(result.Why, "1 messages were not seen") {
			t.Errorf("%+v", result)
		}
	})
}

// A resumed run waits for what the killed one hid, for as long as that hid it.
func TestAResumedRunWaitsForTheLongerHold(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(20)
		r.target.OnSent = func([]redrive.Entry) error { panic(killed{}) }
		func() {
			defer func() { _ = recover() }()
			_, _ = r.do(t.Context(), "run", func(p *redrive.Plan) { p.Hold = 30 * time.Minute })
		}()
		r.target.OnSent = nil
		result := r.must("run", nil)
		if result.Left != 0 || result.Why != "" || len(r.source.All()) != 0 {
			t.Errorf("%+v, %d rest", result, len(r.source.All()))
		}
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
		if result := r.must("run", nil); result != (redrive.Result{Matched: 3, Sent: 3, Entries: 3, Deleted: 3, Left: 2, Failed: 2}) {
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
			p.Decide = func(_ context.Context, m redrive.Message) (redrive.Decision, error) {
				if m.Body == "broken" {
					return redrive.Decision{Fate: redrive.Keep, Why: "no envelope"}, nil
				}
				if !strings.HasSuffix(m.Body, "8") {
					return redrive.Decision{}, nil
				}
				m.Body = "un" + m.Body
				return redrive.Decision{Fate: redrive.Replay, Message: &m}, nil
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
		if result := r.must("run", even); result != (redrive.Result{Matched: 1, Sent: 1, Entries: 1, Deleted: 1, Skipped: 36, Failed: 1, Left: 1}) {
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
				p.Decide = func(_ context.Context, m redrive.Message) (redrive.Decision, error) {
					if strings.HasSuffix(m.Body, "0") {
						return redrive.Decision{Fate: redrive.Replay}, nil
					}
					return redrive.Decision{}, nil
				}
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
			n, more, err := redrive.Look(t.Context(), r.source, most, func(m redrive.Message) { seen[m.ID] = true })
			if err != nil || n != want || len(seen) != want || more != (want < 35) {
				t.Errorf("%d, %v, %v", n, more, err)
			}
			r.visible(35)
		}
		ctx, cancel := context.WithCancel(t.Context())
		n, more, err := redrive.Look(ctx, r.source, 100, func(redrive.Message) { cancel() })
		if err != nil || n != 10 || !more {
			t.Errorf("interrupted: %d, %v, %v", n, more, err)
		}
		r.visible(35)
	})
}

func TestDeniedDeleteEndsTheRun(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(100)
		calls := 0
		r.source.OnDelete = func([]redrive.Message) (map[string]redrive.Failure, error) {
			calls++
			return nil, fmt.Errorf("planted: %w", redrive.ErrDenied)
		}
		result, err := r.do(t.Context(), "run", nil)
		if !errors.Is(err, redrive.ErrDenied) || result.Sent != 10 || result.Deleted != 0 || result.Left != 10 || calls != 4 {
			t.Errorf("%+v, %v after %d calls", result, err, calls)
		}
		r.atTarget(10)
		if got := r.source.All(); len(got) != 100 {
			t.Errorf("%d in the source", len(got))
		}
		if _, hidden, _ := r.source.Depth(t.Context()); hidden != 10 {
			t.Errorf("%d hidden, want those that were sent", hidden)
		}
		r.source.OnDelete = nil
		r.must("run", nil)
		r.atTarget(100)
		r.visible(0)
	})
}

// A source that deletes nothing is an outage as well.
func TestBreakerStopsWhenNothingIsDeleted(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(500)
		calls := 0
		r.source.OnDelete = func([]redrive.Message) (map[string]redrive.Failure, error) {
			calls++
			return nil, errors.New("planted: no connection")
		}
		result := r.must("run", nil)
		if !strings.Contains(result.Why, "failed") || result.Sent > 50 || result.Left != result.Sent || calls > result.Sent/10+3 {
			t.Errorf("%+v after %d calls", result, calls)
		}
	})
}

func TestWhyNothingCouldBeDeleted(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(5)
		r.source.OnDelete = func(messages []redrive.Message) (map[string]redrive.Failure, error) {
			failed := map[string]redrive.Failure{}
			for _, m := range messages {
				failed[m.ID] = redrive.Failure{Code: "ReceiptHandleIsInvalid"}
			}
			return failed, nil
		}
		if result := r.must("run", nil); !strings.Contains(result.Why, "ReceiptHandleIsInvalid") || result.Left != 5 {
			t.Errorf("%+v", result)
		}
	})
}

// A run that ended with an error is not done, and one that had not begun cannot be resumed.
func TestAnErrorIsInTheLog(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(5)
		r.source.OnDepth = func() error { return fmt.Errorf("planted: %w", redrive.ErrDenied) }
		result, err := r.do(t.Context(), "run", nil)
		if !errors.Is(err, redrive.ErrDenied) || !strings.Contains(result.Why, "planted") {
			t.Errorf("%+v, %v", result, err)
		}
		all, err := redrive.History(r.folder)
		if err != nil || len(all) != 1 || all[0].Result == nil || !strings.Contains(all[0].Result.Why, "planted") || all[0].Source != "dlq" {
			t.Errorf("%+v, %v", all, err)
		}
		r.source.OnDepth = nil
		if result := r.must("run", nil); result.Deleted != 5 {
			t.Errorf("resumed: %+v", result)
		}
	})
}

// A message that was deleted, and that the queue shows once more, is not one of those that are still to be deleted.
func TestADeletedOneShowsAgain(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(2)
		gone, sent := r.source.All()[0], r.source.All()[1]
		log := `{"outcome":"began","run":"run","source":"dlq","target":"queue"}` + "\n"
		for _, line := range []string{`"sent","id":"` + gone.ID, `"sent","id":"` + sent.ID, `"deleted","id":"` + gone.ID} {
			log += `{"outcome":` + line + `"}` + "\n"
		}
		if err := os.WriteFile(filepath.Join(r.folder, "run.jsonl"), []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		both, _ := r.source.Receive(t.Context(), 10, 1500*time.Millisecond)
		i := slices.IndexFunc(both, func(m redrive.Message) bool { return m.ID == gone.ID })
		_, _ = r.source.Hide(t.Context(), both[i:i+1], 0)
		if result := r.must("run", func(p *redrive.Plan) { p.Limit = 2 }); result.Deleted != 2 || result.Sent != 0 {
			t.Errorf("%+v", result)
		}
		r.visible(0)
	})
}

// What a run sent without its name is known after a resumption, too.
func TestUnmarkedIsKnownAfterAResumption(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		e := redrive.Entry{Body: "poison", Attributes: map[string]redrive.Attribute{}}
		for i := range redrive.MaxAttributes {
			e.Attributes[fmt.Sprint("a", i)] = redrive.Text("v")
		}
		r.source.Put(e)
		r.must("run", nil)
		r.source.Put(e)
		if result := r.must("run", nil); result.Sent != 0 || result.Left != 1 || result.Failed != 1 {
			t.Errorf("%+v", result)
		}
		if log := r.lines("run"); !strings.Contains(log, "came back") {
			t.Error(log)
		}
	})
}

// Others are who held messages before this run: what it held itself is not elsewhere.
func TestElsewhere(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(10)
		if _, err := r.source.Receive(t.Context(), 4, time.Hour); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if result := r.must("dry", func(p *redrive.Plan) { p.DryRun = true }); result.Matched != 6 || result.Elsewhere != 4 {
			t.Errorf("dry: %+v", result)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("a dry run waited for %s", took)
		}
		if result := r.must("run", nil); result.Sent != 6 || result.Elsewhere != 4 {
			t.Errorf("%+v", result)
		}
	})
}

// A dry run of a long queue says how far it is, and one that finds nothing but what came back stands still.
func TestReceivesAreToldOf(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(200)
		told := 0
		r.must("dry", func(p *redrive.Plan) { p.DryRun, p.Log, p.Progress = true, nil, func(redrive.Progress) { told++ } })
		if told < 20 {
			t.Errorf("told %d times", told)
		}
		for _, m := range r.source.All() {
			r.source.Put(redrive.Entry{Body: m.Body, Attributes: map[string]redrive.Attribute{redrive.RunAttribute: redrive.Text("run")}})
			_, _ = r.source.Delete(t.Context(), []redrive.Message{m})
		}
		if result := r.must("run", nil); !strings.Contains(result.Why, "came back") || result.Left > 100 {
			t.Errorf("%+v", result)
		}
	})
}

func TestPlansThatAreRefused(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		for name, change := range map[string]func(*redrive.Plan){
			"NaN":       func(p *redrive.Plan) { p.Rate = math.NaN() },
			"rate":      func(p *redrive.Plan) { p.Rate = -1 },
			"limit":     func(p *redrive.Plan) { p.Limit = -1 },
			"hold":      func(p *redrive.Plan) { p.Hold = -1 },
			"name":      func(p *redrive.Plan) { p.Run = "a/b" },
			"no source": func(p *redrive.Plan) { p.Source = nil },
			"no target": func(p *redrive.Plan) { p.Target = nil },
			"no log":    func(p *redrive.Plan) { p.Log = nil },
		} {
			if result, err := r.do(t.Context(), "run", change); err == nil {
				t.Errorf("%s: %+v", name, result)
			}
		}
	})
}
