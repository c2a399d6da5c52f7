package queue_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

func TestWithReasonKeepsTheLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 4, 9, 10, 12} {
		attributes := map[string]queue.Attribute{}
		for i := range n {
			attributes[fmt.Sprintf("a%02d", i)] = queue.Text("v")
		}
		got := queue.WithReason(attributes, "because")
		if len(attributes) != n {
			t.Error("the message's own attributes have changed")
		}
		if want := min(n+1, 10); n <= 10 && len(got) != want {
			t.Errorf("%d attributes become %d, want %d", n, len(got), want)
		}
		reason := got[queue.ReasonAttribute].Value
		if !strings.HasSuffix(reason, "because") {
			t.Errorf("reason %q", reason)
		}
		if n == 10 && !strings.Contains(reason, "a09") {
			t.Errorf("reason %q does not tell what was left out", reason)
		}
	}
}

func TestWithReasonReplacesAnEarlierReason(t *testing.T) {
	t.Parallel()
	once := queue.WithReason(nil, "first")
	if got := queue.WithReason(once, "second"); len(got) != 1 || got[queue.ReasonAttribute].Value != "second" {
		t.Errorf("%v", got)
	}
}

func FuzzReasonIsSendable(f *testing.F) {
	f.Add("")
	f.Add("a\x00b\xffc\uFFFE")
	f.Add(strings.Repeat("ü", 600))
	f.Fuzz(func(t *testing.T, reason string) {
		got := queue.WithReason(nil, reason)[queue.ReasonAttribute].Value
		if got == "" || len(got) > 512 || !utf8.ValidString(got) {
			t.Errorf("%q becomes %q", reason, got)
		}
		for _, r := range got {
			if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
				t.Errorf("%q holds %U", got, r)
			}
		}
	})
}

func TestBatchErrorHasTheKindOfItsFirstFailure(t *testing.T) {
	t.Parallel()
	err := &queue.BatchError{Op: "queue.Delete", Failed: []queue.Failure{
		{Err: fault.New("queue.Delete", fault.Throttled, nil)},
		{Err: fault.New("queue.Delete", fault.Denied, nil)},
	}}
	if got := fault.KindOf(err); got != fault.Throttled {
		t.Errorf("kind %v", got)
	}
}
