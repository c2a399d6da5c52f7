package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
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
		fates := rapid.SliceOfN(rapid.SampledFrom([]string{
			"itself", "itself", "unwrapped", "quarantined", "archived", "several-0", "several-1", "several-12", "several-25", "skipped", "kept",
		}), 1, 40).Draw(rt, "fates")
		faults := rapid.SliceOfN(rapid.IntRange(0, 12), 30, 30).Draw(rt, "faults")
		kill := rapid.IntRange(0, 30).Draw(rt, "kill at call")
		rate := float64(rapid.IntRange(5, 200).Draw(rt, "rate"))
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = lossless(t, folder, run, fates, faults, kill, rate) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// stands are the bodies that are sent for a message, which begins with its fate, and the queue that they belong to.
func (r *rig) stands(body string) (bodies []string, to *memqueue.Queue) {
	fate, _, _ := strings.Cut(body, "/")
	if n, ok := strings.CutPrefix(fate, "several-"); ok {
		most, _ := strconv.Atoi(n)
		for i := range most {
			bodies = append(bodies, fmt.Sprint(body, "/", i))
		}
		return bodies, r.target
	}
	switch fate {
	case "itself":
		return []string{body}, r.target
	case "unwrapped":
		return []string{"un/" + body}, r.target
	case "quarantined":
		return []string{"form of " + body}, r.quarantine
	case "archived":
		return []string{body}, r.archive
	}
	return nil, nil
}

func lossless(t *testing.T, folder, run string, fates []string, faults []int, kill int, rate float64) string {
	r := &rig{t: t, source: &memqueue.Queue{}, target: &memqueue.Queue{}, quarantine: &memqueue.Queue{}, archive: &memqueue.Queue{}, folder: folder}
	for i, fate := range fates {
		r.source.Put(redrive.Entry{Body: fmt.Sprintf("%s/%d", fate, i)})
	}
	all := bodies(r.source)
	calls, well := 0, false
	unsure := map[string]bool{} // may be in both, and be sent twice
	var mu sync.Mutex           // rows are read while messages are hidden
	next := func() int {
		mu.Lock()
		defer mu.Unlock()
		calls++
		if calls == kill && !well {
			panic(killed{})
		}
		if well || calls > len(faults) {
			return 12
		}
		return faults[calls-1]
	}
	onSend := func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
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
	onSent := func(entries []redrive.Entry) error {
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
	for _, q := range []*memqueue.Queue{r.target, r.quarantine, r.archive} {
		q.OnSend, q.OnSent = onSend, onSent
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
	r.source.OnHide = func(messages []redrive.Message, _ time.Duration) (map[string]redrive.Failure, error) {
		switch next() {
		case 7:
			return nil, errors.New("planted")
		case 8:
			return map[string]redrive.Failure{messages[0].ID: {Code: "Planted"}}, nil
		}
		return nil, nil
	}
	decide := func(_ context.Context, m redrive.Message) (redrive.Decision, error) {
		fate, _, _ := strings.Cut(m.Body, "/")
		switch fate {
		case "skipped":
			return redrive.Decision{}, nil
		case "kept":
			return redrive.Decision{Fate: redrive.Keep, Why: "of the test"}, nil
		case "quarantined":
			return redrive.Decision{Fate: redrive.Quarantine, Why: "of the test"}, nil
		case "archived":
			return redrive.Decision{Fate: redrive.Archive, Why: "of the test"}, nil
		case "unwrapped":
			m.Body = "un/" + m.Body
			return redrive.Decision{Fate: redrive.Replay, Message: &m}, nil
		case "itself":
			return redrive.Decision{Fate: redrive.Replay}, nil
		}
		return redrive.Decision{Fate: redrive.Replay, Messages: func(yield func(redrive.Message, error) bool) {
			stands, _ := r.stands(m.Body)
			for _, body := range stands {
				if next() == 9 {
					yield(redrive.Message{}, errors.New("planted"))
					return
				}
				if !yield(redrive.Message{Body: body}, nil) {
					return
				}
			}
		}}, nil
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
		result, err = r.do(t.Context(), run, func(p *redrive.Plan) {
			p.Rate, p.Hold, p.Decide, p.Quarantine, p.Archive = rate, 30*time.Second, decide, r.quarantine, r.archive
			p.Quarantined = func(m redrive.Message, why string) (redrive.Entry, error) {
				return redrive.Entry{Body: "form of " + m.Body}, nil
			}
		})
		return result, false, err
	}
	placed := func(when string, both func(string) bool) string {
		counts := map[*memqueue.Queue]map[string]int{}
		for _, q := range []*memqueue.Queue{r.source, r.target, r.quarantine, r.archive} {
			counts[q] = map[string]int{}
			for _, body := range bodies(q) {
				counts[q][body]++
			}
		}
		for _, body := range all {
			in := counts[r.source][body]
			stands, to := r.stands(body)
			for _, b := range stands {
				out := counts[to][b]
				switch {
				case in+out == 0:
					return when + ": " + b + " is lost"
				case len(stands) > 1: // may have begun anew, and be there in part
				case out > 1 && !unsure[b]:
					return fmt.Sprintf("%s: %s was sent %d times", when, b, out)
				case in > 0 && out > 0 && !both(b):
					return when + ": " + b + " is in both"
				}
				delete(counts[to], b)
			}
			if stands == nil && in == 0 && !strings.HasPrefix(body, "several-0/") {
				return when + ": " + body + " was moved"
			}
		}
		for _, q := range []*memqueue.Queue{r.target, r.quarantine, r.archive} {
			if len(counts[q]) > 0 {
				return fmt.Sprintf("%s: %v do not belong where they are", when, counts[q])
			}
		}
		return ""
	}
	result, dead, _ := once()
	undeleted := dead || strings.Contains(result.Why, "could not be deleted")
	if wrong := placed("first", func(body string) bool { return unsure[body] || undeleted }); wrong != "" {
		return wrong
	}
	if wrong := adds(result, fates); wrong != "" && !dead {
		return wrong
	}
	well = true
	for range 2 { // the second finds what a failed Hide left hidden
		if result, _, err := once(); err != nil {
			return fmt.Sprintf("%+v, %v", result, err)
		}
	}
	for _, body := range bodies(r.source) {
		if !strings.HasPrefix(body, "skipped/") && !strings.HasPrefix(body, "kept/") {
			return "left in the source: " + body
		}
	}
	return placed("at the end", func(string) bool { return false })
}

// adds says where the numbers of a run contradict each other, or what there was.
func adds(r redrive.Result, fates []string) string {
	of := func(prefixes ...string) (n int) {
		for _, fate := range fates {
			for _, prefix := range prefixes {
				if strings.HasPrefix(fate, prefix) {
					n++
				}
			}
		}
		return n
	}
	switch {
	case r.Matched > of("itself", "unwrapped", "several"), r.Skipped > of("skipped"), r.Quarantined > of("quarantined"), r.Archived > of("archived"),
		r.Sent > r.Matched, r.Deleted > r.Sent+r.Quarantined+r.Archived, r.Failed > r.Left, r.Left+r.Deleted+r.Skipped > len(fates),
		r.Why == "" && r.Left+r.Deleted+r.Skipped != len(fates):
		return fmt.Sprintf("%+v of %v", r, fates)
	}
	return ""
}
