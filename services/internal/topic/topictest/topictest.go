// Package topictest is the conformance suite of the topic port. Every adapter runs it.
package topictest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/topic"
)

// Harness is a topic under test with one subscriber.
type Harness struct {
	Topic topic.Topic
	// Delivered returns what the subscriber has received since the start, once it has at least n
	// messages, in any order.
	Delivered func(ctx context.Context, n int) ([]topic.Message, error)
}

// Run puts the topics that newHarness makes through the suite.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"AMessageThatIsTooLargeLeavesItsNeighbours", tooLarge},
		{"AMessageThatIsRefusedLeavesItsNeighbours", refused},
		{"EndedContext", ended},
		{"Nothing", nothing},
		{"BodyAndAttributesArriveAsTheyAre", arrive},
		{"MoreMessagesThanOneCallTakes", many},
		{"MoreBytesThanOneCallTakes", large},
		{"ConcurrentPublishers", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t))
		})
	}
}

// Message returns a small message that shows n.
func Message(n int) topic.Message {
	return topic.Message{
		Body:       fmt.Sprintf(`{"n":%d}`, n),
		Attributes: map[string]string{"type": "METRIC_UPDATE", "version": "1", "n": fmt.Sprint(n)},
	}
}

func tooLarge(t *testing.T, h Harness) {
	messages := []topic.Message{Message(0), Message(1), Message(2)}
	messages[1].Body += strings.Repeat(" ", topic.MaxBytes-messages[1].Size()+1)
	errs := h.Topic.Publish(t.Context(), messages)
	if len(errs) != 3 || errs[0] != nil || errs[2] != nil || fault.KindOf(errs[1]) != fault.TooLarge {
		t.Fatalf("errors %v, want kind too_large for the second alone", errs)
	}
	want(t, h, messages[0], messages[2])
}

func refused(t *testing.T, h Harness) {
	messages := []topic.Message{Message(0), {Body: "", Attributes: map[string]string{"n": "1"}}, Message(2)}
	errs := h.Topic.Publish(t.Context(), messages)
	if len(errs) != 3 || errs[0] != nil || errs[2] != nil || fault.KindOf(errs[1]) != fault.Invalid || errs[1] == nil {
		t.Fatalf("errors %v, want kind invalid for the second alone", errs)
	}
	want(t, h, messages[0], messages[2])
}

func ended(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := h.Topic.Publish(ctx, messages(12))
	if len(errs) != 12 {
		t.Fatalf("%d errors for 12 messages", len(errs))
	}
	for _, err := range errs {
		if err == nil || fault.KindOf(err) != fault.Transient {
			t.Errorf("%v, want kind transient", err)
		}
	}
}

func nothing(t *testing.T, h Harness) {
	if errs := h.Topic.Publish(t.Context(), nil); len(errs) != 0 {
		t.Errorf("errors %v for no message", errs)
	}
}

func arrive(t *testing.T, h Harness) {
	m := topic.Message{
		Body:       `{"text":"<&> \" \\ \n München 東京 👩‍🏫 \u0000\ufffe"}`,
		Attributes: map[string]string{"type": "METRIC_UPDATE", "version": "1", "entity_type": "student", "tenant": "acme.eu-1_x"},
	}
	publish(t, h, m)
	want(t, h, m)
}

func many(t *testing.T, h Harness) {
	all := messages(37)
	publish(t, h, all...)
	want(t, h, all...)
}

func large(t *testing.T, h Harness) {
	all := messages(8)
	for i := range all {
		all[i].Body += strings.Repeat(" ", topic.MaxBytes/3)
	}
	all[7].Body += strings.Repeat(" ", topic.MaxBytes-all[7].Size())
	publish(t, h, all...)
	want(t, h, all...)
}

func concurrent(t *testing.T, h Harness) {
	all := messages(60)
	var group sync.WaitGroup
	for part := range slices.Chunk(all, 15) {
		group.Go(func() { publish(t, h, part...) })
	}
	group.Wait()
	want(t, h, all...)
}

func messages(n int) []topic.Message {
	all := make([]topic.Message, n)
	for i := range all {
		all[i] = Message(i)
	}
	return all
}

func publish(t *testing.T, h Harness, all ...topic.Message) {
	t.Helper()
	errs := h.Topic.Publish(t.Context(), all)
	if len(errs) != len(all) {
		t.Errorf("%d errors for %d messages", len(errs), len(all))
	}
	for i, err := range errs {
		if err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

func want(t *testing.T, h Harness, all ...topic.Message) {
	t.Helper()
	got, err := h.Delivered(t.Context(), len(all))
	if err != nil {
		t.Fatal(err)
	}
	byBody := func(a, b topic.Message) int { return strings.Compare(a.Body, b.Body) }
	got, all = slices.Clone(got), slices.Clone(all)
	slices.SortFunc(got, byBody)
	slices.SortFunc(all, byBody)
	if !slices.EqualFunc(got, all, func(a, b topic.Message) bool {
		return a.Body == b.Body && maps.Equal(a.Attributes, b.Attributes)
	}) {
		t.Errorf("delivered %d messages, want %d\n got %.500q\nwant %.500q", len(got), len(all), got, all)
	}
}
