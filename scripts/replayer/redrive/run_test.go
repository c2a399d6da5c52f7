package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/memqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a source, a target, and a folder for the logs.
type rig struct {
	t      *testing.T
	source *memqueue.Queue
	target *memqueue.Queue
	folder string
}

// virtually runs the test on a virtual clock.
func virtually(t *testing.T, test func(*testing.T, *rig)) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		test(t, &rig{t: t, source: &memqueue.Queue{}, target: &memqueue.Queue{}, folder: folder})
	})
}

func (r *rig) put(n int) {
	for i := range n {
		r.source.Put(redrive.Entry{Body: fmt.Sprintf("body-%d", i)})
	}
}

// do runs, or resumes, run.
func (r *rig) do(ctx context.Context, run string, change func(*redrive.Plan)) (redrive.Result, error) {
	r.t.Helper()
	log, err := redrive.Open(r.folder, run)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	p := redrive.Plan{
		Run: run, Source: r.source, Target: r.target, SourceName: "dlq", TargetName: "queue", Rate: 1000, Log: log,
	}
	if change != nil {
		change(&p)
	}
	return redrive.Do(ctx, p)
}

func (r *rig) must(run string, change func(*redrive.Plan)) redrive.Result {
	r.t.Helper()
	result, err := r.do(r.t.Context(), run, change)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

func (r *rig) lines(run string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.folder, run+".jsonl"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func bodies(q *memqueue.Queue) []string {
	var all []string
	for _, m := range q.All() {
		all = append(all, m.Body)
	}
	slices.Sort(all)
	return all
}

func (r *rig) visible(want int) {
	r.t.Helper()
	visible, hidden, _ := r.source.Depth(r.t.Context())
	if visible != want || hidden != 0 {
		r.t.Errorf("%d messages visible and %d hidden, want %d visible", visible, hidden, want)
	}
}

func (r *rig) atTarget(want int) {
	r.t.Helper()
	if got := r.target.All(); len(got) != want {
		r.t.Errorf("%d messages at the target, want %d", len(got), want)
	}
}

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

// No second has more than a tenth too much, wherever it begins.
func TestRateCap(t *testing.T) {
	for _, rate := range []float64{1, 7, 50, 120, 500} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				n := int(rate * 5)
				r.put(n)
				var times []time.Time
				r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
					for range entries {
						times = append(times, time.Now())
					}
					if len(times)%3 == 0 {
						time.Sleep(time.Second / 2) // a slow answer is not made up for
					}
					return nil, nil
				}
				if result := r.must("run", func(p *redrive.Plan) { p.Rate = rate }); result.Deleted != n {
					t.Fatalf("%+v", result)
				}
				for i, first := range times {
					count := 0
					for _, at := range times[i:] {
						if at.Sub(first) < time.Second {
							count++
						}
					}
					if float64(count) > rate*1.1 {
						t.Fatalf("%d messages in a second", count)
					}
				}
			})
		})
	}
}

func TestFullRateIsReached(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(500)
		begin := time.Now()
		r.must("run", func(p *redrive.Plan) { p.Rate = 50 })
		if took := time.Since(begin); took > 13*time.Second { // ten, and two to see that the queue is empty
			t.Errorf("took %v", took)
		}
	})
}

func TestBreakerStopsAnOutage(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(500)
		calls := 0
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) { calls++; return nil, errors.New("planted") }
		begin := time.Now()
		var pauses []string
		result := r.must("run", func(p *redrive.Plan) {
			p.Progress = func(p redrive.Progress) {
				if p.Pause != "" {
					pauses = append(pauses, p.Pause)
				}
			}
		})
		if took := time.Since(begin); calls != 4 || took < 70*time.Second || took > 80*time.Second || len(pauses) != 3 {
			t.Errorf("%d calls in %v, %v", calls, took, pauses)
		}
		if !strings.Contains(result.Why, "failed") || result.Sent != 0 {
			t.Errorf("%+v", result)
		}
		r.visible(500)
	})
}

func TestBreakerWaitsForAnOutageToEnd(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(300)
		begin := time.Now()
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) {
			if d := time.Since(begin); d < 15*time.Second {
				return nil, errors.New("planted")
			}
			return nil, nil
		}
		if result := r.must("run", nil); result.Deleted != 300 || result.Why != "" {
			t.Errorf("%+v", result)
		}
		r.atTarget(300)
	})
}

func TestBreakerStopsWhenTheQueueGrows(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(2000)
		stop := make(chan struct{})
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					r.source.Put(redrive.Entry{Body: fmt.Sprint("new-", i)})
				}
			}
		}()
		result := r.must("run", func(p *redrive.Plan) { p.Rate = 20 })
		close(stop)
		if !strings.Contains(result.Why, "grew") {
			t.Errorf("%+v", result)
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

// killed is how a test ends a run in the middle of a call, as kill -9 would: nothing after it happens.
type killed struct{}

// Whatever fails, and wherever a run is killed once: each message is in the source, or in the target, or, if it
// was in flight or its confirmation was lost, in both; and when all is well again the run ends what it began.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cases := 0
	rapid.Check(t, func(rt *rapid.T) {
		cases++
		run := fmt.Sprint("run-", cases)
		n := rapid.IntRange(1, 40).Draw(rt, "messages")
		faults := rapid.SliceOfN(rapid.IntRange(0, 9), 30, 30).Draw(rt, "faults")
		kill := rapid.IntRange(0, 30).Draw(rt, "kill at call")
		rate := float64(rapid.IntRange(5, 200).Draw(rt, "rate"))
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = lossless(t, folder, run, n, faults, kill, rate) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

func lossless(t *testing.T, folder, run string, n int, faults []int, kill int, rate float64) string {
	r := &rig{t: t, source: &memqueue.Queue{}, target: &memqueue.Queue{}, folder: folder}
	r.put(n)
	all := bodies(r.source)
	calls, well := 0, false
	unsure := map[string]bool{} // may be in both, and be sent twice
	next := func() int {
		calls++
		if calls == kill && !well {
			panic(killed{})
		}
		if well || calls > len(faults) {
			return 9
		}
		return faults[calls-1]
	}
	r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
		switch next() {
		case 0:
			return nil, errors.New("planted: no connection")
		case 1:
			return map[int]redrive.Failure{0: {Code: "Planted"}}, nil
		case 2:
			return map[int]redrive.Failure{len(entries) - 1: {Code: "Planted", Sender: true}}, nil
		case 3:
			return nil, fmt.Errorf("planted: %w", redrive.ErrRefused)
		}
		return nil, nil
	}
	r.target.OnSent = func(entries []redrive.Entry) error {
		// They are there, and nobody knows: the run is killed here, or the answer is lost.
		lost := func() {
			for _, e := range entries {
				unsure[e.Body] = true
			}
		}
		if calls+1 == kill && !well {
			lost()
		}
		if next() == 4 {
			lost()
			return errors.New("planted: the answer is lost")
		}
		return nil
	}
	r.source.OnDelete = func(messages []redrive.Message) (map[string]redrive.Failure, error) {
		switch next() {
		case 5:
			return nil, errors.New("planted: no connection")
		case 6:
			return map[string]redrive.Failure{messages[0].ID: {Code: "Planted"}}, nil
		}
		return nil, nil
	}
	r.source.OnHide = func([]redrive.Message, time.Duration) error {
		if next() == 7 {
			return errors.New("planted")
		}
		return nil
	}
	// once runs in a way that can be killed.
	once := func() (result redrive.Result, dead bool, err error) {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(killed); !ok {
					panic(p)
				}
				dead = true
			}
		}()
		result, err = r.do(t.Context(), run, func(p *redrive.Plan) { p.Rate, p.Hold = rate, 30*time.Second })
		return result, false, err
	}
	placed := func(when string, both func(string) bool) string {
		source, target := bodies(r.source), bodies(r.target)
		for _, body := range all {
			in, out := count(source, body), count(target, body)
			switch {
			case in+out == 0:
				return when + ": " + body + " is lost"
			case out > 1 && !unsure[body]:
				return fmt.Sprintf("%s: %s was sent %d times", when, body, out)
			case in > 0 && out > 0 && !both(body):
				return when + ": " + body + " is in both"
			}
		}
		return ""
	}
	result, dead, _ := once()
	undeleted := dead || result.Sent != result.Deleted
	if wrong := placed("first", func(body string) bool { return unsure[body] || undeleted }); wrong != "" {
		return wrong
	}
	well = true
	for range 2 { // the second finds what a failed Hide left hidden
		if result, _, err := once(); err != nil {
			return fmt.Sprintf("%+v, %v", result, err)
		}
	}
	if left := bodies(r.source); len(left) > 0 {
		return fmt.Sprintf("left in the source: %v", left)
	}
	return placed("at the end", func(string) bool { return false })
}

func count(all []string, body string) int {
	n := 0
	for _, b := range all {
		if b == body {
			n++
		}
	}
	return n
}
