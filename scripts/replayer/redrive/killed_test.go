package redrive_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/memqueue"
)

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
