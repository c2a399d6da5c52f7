// Package queuetest is the conformance suite of the queue port. Every adapter runs it.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// Visibility and MaxReceives are what a harness must set for its queue. The first is long enough
// for a busy machine to act on a message before it appears again.
const (
	Visibility  = 2 * time.Second
	MaxReceives = 2
)

// wait is longer than any message stays hidden.
const wait = 10 * time.Second

// Harness is an empty queue under test.
type Harness struct {
	Queue queue.Queue
	// Send puts a message into the queue.
	Send func(body string, attributes map[string]queue.Attribute)
	// Dead takes n messages from the dead-letter queue, and waits for them if need be.
	Dead func(n int) []queue.Message
	// FailEntry makes Delete and Return fail for messages with that body, until called with "".
	FailEntry func(body string)
}

// Run puts the queues that newHarness makes through the suite.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"HalfFailedDelete", halfFailedDelete},
		{"HalfFailedReturn", halfFailedReturn},
		{"WithoutDeleteItComesBack", comesBack},
		{"TooManyDeliveries", tooMany},
		{"DeadLetter", deadLetter},
		{"DeadLetterWithAllAttributesTaken", deadLetterFull},
		{"Return", returned},
		{"ExtendKeepsHidden", extended},
		{"ExtendBeyondTheLimit", extendedTooFar},
		{"DeleteManyAndTwice", deleteMany},
		{"NothingToDo", nothing},
		{"NoMessage", noMessage},
		{"WaitsForTheFirst", waits},
		{"EndedContext", ended},
		{"FormOfAMessage", form},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t))
		})
	}
}

func halfFailedDelete(t *testing.T, h Harness) {
	send(h, 12)
	messages := receive(t, h, 12)
	h.FailEntry("body-7")
	failedOnly(t, h.Queue.Delete(t.Context(), messages), "body-7")
	h.FailEntry("")
	again := receive(t, h, 1)
	if again[0].Body != "body-7" {
		t.Errorf("%s came back", again[0].Body)
	}
	remove(t, h, again)
}

func halfFailedReturn(t *testing.T, h Harness) {
	send(h, 3)
	messages := receive(t, h, 3)
	h.FailEntry("body-1")
	failedOnly(t, h.Queue.Return(t.Context(), messages), "body-1")
	h.FailEntry("")
	remove(t, h, messages)
}

func failedOnly(t *testing.T, err error, body string) {
	t.Helper()
	batch, ok := errors.AsType[*queue.BatchError](err)
	if !ok || len(batch.Failed) != 1 || batch.Failed[0].Message.Body != body {
		t.Fatalf("%v, want a failure of %s alone", err, body)
	}
	if !fault.KindOf(batch.Failed[0].Err).Temporary() || !fault.KindOf(err).Temporary() {
		t.Errorf("kind %v", fault.KindOf(err))
	}
}

func comesBack(t *testing.T, h Harness) {
	h.Send("again", nil)
	first := receive(t, h, 1)[0]
	if early, err := h.Queue.Receive(t.Context(), queue.MaxBatch, 0); err != nil || len(early) != 0 {
		t.Fatalf("a hidden message was received: %v, %v", early, err)
	}
	second := receive(t, h, 1)[0]
	if first.ID != second.ID || first.ReceiveCount != 1 || second.ReceiveCount != 2 {
		t.Errorf("deliveries %v and %v", first, second)
	}
	remove(t, h, []queue.Message{second})
}

func tooMany(t *testing.T, h Harness) {
	attributes := map[string]queue.Attribute{"tenant": queue.Text("acme")}
	h.Send("poison", attributes)
	for range MaxReceives {
		receive(t, h, 1)
	}
	for {
		messages, err := h.Queue.Receive(t.Context(), 1, 2*Visibility)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			break
		}
		t.Fatalf("delivered %d times", messages[0].ReceiveCount)
	}
	dead := h.Dead(1)[0]
	if dead.Body != "poison" || dead.Attributes["tenant"] != attributes["tenant"] {
		t.Errorf("dead letter %v", dead)
	}
}

func deadLetter(t *testing.T, h Harness) {
	attributes := map[string]queue.Attribute{
		"tenant": queue.Text("acme"),
		"n":      {Type: "Number", Value: "42"},
		"b":      {Type: "Binary", Value: "\x00\xff"},
	}
	h.Send("broken", attributes)
	message := receive(t, h, 1)[0]
	if err := h.Queue.DeadLetter(t.Context(), message, "line 1\x00: not JSON"); err != nil {
		t.Fatal(err)
	}
	dead := h.Dead(1)[0]
	if dead.Body != "broken" || len(dead.Attributes) != 4 {
		t.Errorf("dead letter %v", dead)
	}
	for name, want := range attributes {
		if got := dead.Attributes[name]; got != want {
			t.Errorf("attribute %s: %v, want %v", name, got, want)
		}
	}
	if got := dead.Attributes[queue.ReasonAttribute].Value; got != "line 1?: not JSON" {
		t.Errorf("reason %q", got)
	}
	stays(t, h)
}

func deadLetterFull(t *testing.T, h Harness) {
	attributes := map[string]queue.Attribute{}
	for i := range queue.MaxAttributes {
		attributes[fmt.Sprintf("a%d", i)] = queue.Text("v")
	}
	h.Send("broken", attributes)
	if err := h.Queue.DeadLetter(t.Context(), receive(t, h, 1)[0], "because"); err != nil {
		t.Fatal(err)
	}
	dead := h.Dead(1)[0]
	if len(dead.Attributes) != queue.MaxAttributes || !strings.HasSuffix(dead.Attributes[queue.ReasonAttribute].Value, "because") {
		t.Errorf("attributes %v", dead.Attributes)
	}
}

func returned(t *testing.T, h Harness) {
	send(h, 2)
	messages := receive(t, h, 2)
	if err := h.Queue.Return(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	again := receiveWithin(t, h, 2, Visibility/2)
	for _, m := range again {
		if m.ReceiveCount != 2 {
			t.Errorf("delivery %d", m.ReceiveCount)
		}
	}
	remove(t, h, again)
}

func deleteMany(t *testing.T, h Harness) {
	send(h, 25)
	messages := receive(t, h, 25)
	remove(t, h, messages)
	remove(t, h, messages[:11])
	stays(t, h)
}

func nothing(t *testing.T, h Harness) {
	if err := h.Queue.Delete(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := h.Queue.Return(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func noMessage(t *testing.T, h Harness) {
	if messages, err := h.Queue.Receive(t.Context(), queue.MaxBatch, 0); err != nil || len(messages) != 0 {
		t.Errorf("%v, %v", messages, err)
	}
}

func waits(t *testing.T, h Harness) {
	got := make(chan []queue.Message, 1)
	go func() {
		messages, err := h.Queue.Receive(t.Context(), queue.MaxBatch, wait)
		if err != nil {
			t.Error(err)
		}
		got <- messages
	}()
	h.Send("late", nil)
	if messages := <-got; len(messages) != 1 || messages[0].Body != "late" {
		t.Errorf("%v", messages)
	}
}

func ended(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := h.Queue.Receive(ctx, queue.MaxBatch, queue.MaxWait)
		done <- err
	}()
	cancel()
	if err := <-done; err == nil || fault.KindOf(err) != fault.Transient {
		t.Errorf("%v, want kind transient", err)
	}
}

func form(t *testing.T, h Harness) {
	before := time.Now().Add(-time.Second)
	body := "{\"name\":\"Zoë\"}\n"
	attributes := map[string]queue.Attribute{"type": queue.Text("METRIC_UPDATE"), "version": queue.Text("1")}
	h.Send(body, attributes)
	m := receive(t, h, 1)[0]
	if m.Body != body || m.ID == "" || m.Receipt == "" || m.ReceiveCount != 1 {
		t.Errorf("message %v", m)
	}
	if m.SentAt.Before(before) || m.SentAt.After(time.Now().Add(time.Second)) {
		t.Errorf("sent at %v", m.SentAt)
	}
	if len(m.Attributes) != 2 || m.Attributes["type"] != attributes["type"] || m.Attributes["version"] != attributes["version"] {
		t.Errorf("attributes %v", m.Attributes)
	}
	remove(t, h, []queue.Message{m})
}

func send(h Harness, n int) {
	for i := range n {
		h.Send(fmt.Sprintf("body-%d", i), nil)
	}
}

// receive takes n messages.
func receive(t *testing.T, h Harness, n int) []queue.Message {
	t.Helper()
	return receiveWithin(t, h, n, wait)
}

func receiveWithin(t *testing.T, h Harness, n int, wait time.Duration) []queue.Message {
	t.Helper()
	var all []queue.Message
	for len(all) < n {
		messages, err := h.Queue.Receive(t.Context(), min(queue.MaxBatch, n-len(all)), wait)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			t.Fatalf("%d of %d messages", len(all), n)
		}
		all = append(all, messages...)
	}
	return all
}

func remove(t *testing.T, h Harness, messages []queue.Message) {
	t.Helper()
	if err := h.Queue.Delete(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

// stays checks that the queue is empty and that nothing comes back.
func stays(t *testing.T, h Harness) {
	t.Helper()
	messages, err := h.Queue.Receive(t.Context(), queue.MaxBatch, Visibility+time.Second)
	if err != nil || len(messages) != 0 {
		t.Errorf("came back: %v, %v", messages, err)
	}
}

// extended: a message that is extended stays hidden for longer than its visibility timeout, and a
// second one, which is not, does not.
func extended(t *testing.T, h Harness) {
	for n := range 12 { // more than one call takes
		h.Send(fmt.Sprint("kept ", n), nil)
	}
	var held []queue.Message
	for len(held) < 12 {
		more, err := h.Queue.Receive(t.Context(), queue.MaxBatch, wait)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, more...)
		if err := h.Queue.Extend(t.Context(), more, 5*Visibility); err != nil {
			t.Fatal(err)
		}
	}
	h.Send("other", nil)
	for range 2 { // the second time after its visibility timeout
		got, err := h.Queue.Receive(t.Context(), queue.MaxBatch, wait)
		if err != nil || len(got) != 1 || got[0].Body != "other" {
			t.Fatalf("received %d messages, %v", len(got), err)
		}
	}
	if err := h.Queue.Delete(t.Context(), held); err != nil {
		t.Error(err)
	}
}

func extendedTooFar(t *testing.T, h Harness) {
	for _, visibility := range []time.Duration{-time.Second, queue.MaxVisibility + time.Second} {
		if err := h.Queue.Extend(t.Context(), nil, visibility); fault.KindOf(err) != fault.Invalid || err == nil {
			t.Errorf("%v: %v, want kind invalid", visibility, err)
		}
	}
}
