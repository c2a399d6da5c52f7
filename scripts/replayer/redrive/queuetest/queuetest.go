// Package queuetest holds a [redrive.Queue] against its contract.
package queuetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// Harness is a queue under test: a new one, and nobody else uses it.
type Harness struct {
	redrive.Queue
	Uncounted bool // it does not count how often a message is received
	NoTrace   bool // it does not keep traces
	NoEmoji   bool // it refuses characters beyond U+FFFF, as fauxqs does and SQS does not
}

// hold is longer than a test: nothing shows again by itself.
const hold = 10 * time.Minute

// Run runs the suite. Each test gets a queue of its own, and runs in parallel with the others.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"an empty queue":         empty,
		"what is sent comes":     content,
		"no attributes":          plain,
		"received is hidden":     hidden,
		"hidden for no time":     shown,
		"hidden once more":       extended,
		"deleted is gone":        deleted,
		"delete twice":           deletedTwice,
		"a batch of ten":         batch,
		"no more than the limit": limited,
		"the same id each time":  identity,
		"depth":                  depth,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func send(t *testing.T, q redrive.Sink, entries ...redrive.Entry) {
	t.Helper()
	if failed, err := q.Send(t.Context(), entries); err != nil || len(failed) > 0 {
		t.Fatalf("%v, %v", failed, err)
	}
}

func receive(t *testing.T, q redrive.Queue, limit int) []redrive.Message {
	t.Helper()
	messages, err := q.Receive(t.Context(), limit, hold)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) > limit {
		t.Fatalf("%d messages, want %d at most", len(messages), limit)
	}
	return messages
}

// take receives n messages: none is no proof that there are none.
func take(t *testing.T, q redrive.Queue, n int) (all []redrive.Message) {
	t.Helper()
	for empty := 0; len(all) < n; {
		more := receive(t, q, min(n-len(all), redrive.MaxBatch))
		if all = append(all, more...); len(more) > 0 {
			empty = 0
		} else if empty++; empty == 5 {
			t.Fatalf("%d messages came, want %d", len(all), n)
		}
	}
	return all
}

// none holds that nothing is visible.
func none(t *testing.T, q redrive.Queue) {
	t.Helper()
	for range 2 {
		if came := receive(t, q, redrive.MaxBatch); len(came) > 0 {
			t.Fatalf("%q came", came[0].Body)
		}
	}
}

func wantDepth(t *testing.T, q redrive.Queue, visible, hidden int) {
	t.Helper()
	if v, h, err := q.Depth(t.Context()); err != nil || v != visible || h != hidden {
		t.Errorf("%d visible and %d hidden, %v, want %d and %d", v, h, err, visible, hidden)
	}
}

func numbered(n int) (entries []redrive.Entry) {
	for i := range n {
		entries = append(entries, redrive.Entry{ID: fmt.Sprintf("id-%d", i), Body: fmt.Sprintf("body-%d", i)})
	}
	return entries
}

func hide(t *testing.T, q redrive.Queue, d time.Duration, messages ...redrive.Message) {
	t.Helper()
	if failed, err := q.Hide(t.Context(), messages, d); err != nil || len(failed) > 0 {
		t.Fatalf("%v, %v", failed, err)
	}
}

func remove(t *testing.T, q redrive.Queue, messages ...redrive.Message) {
	t.Helper()
	if failed, err := q.Delete(t.Context(), messages); err != nil || len(failed) > 0 {
		t.Fatalf("%v, %v", failed, err)
	}
}

func empty(t *testing.T, h Harness) {
	none(t, h)
	wantDepth(t, h, 0, 0)
}

// content holds that bodies come byte for byte, whatever they look like, and attributes of each type.
func content(t *testing.T, h Harness) {
	attributes := map[string]redrive.Attribute{
		"string": redrive.Text("Zoë \"x\"\n"), "number": {Type: "Number", Value: []byte("300000000000000499659")}, "binary": {Type: "Binary", Value: []byte{0, 0xff, '\n', 0x80}},
		"custom": {Type: "String.iso", Value: []byte("x")}, "int": {Type: "Number.int", Value: []byte("007")}, "png": {Type: "Binary.png", Value: []byte("text")},
	}
	const trace = "Root=1-5e1b4151-5ac6c58f5b5dbd6b5b5dbd6b;Parent=53995c3f42cd8ad8;Sampled=1"
	want := map[string]bool{}
	sent := []string{
		"x", " x\t\n", "line\r\nline\n", `{"a":1}`, "{\n  \"b\": 1.0,\n  \"a\": 300000000000000499659, \"a\": null }\n", `{"a":1}{}`, `"text"`, `null`, `[1e400,"\u00eb<>&\ud83d\ude00"]`,
		`{"html":"<b>&amp;"}`, "ë\u2028\uFFFD", "\\u0000", strings.Repeat("long ", 20_000),
	}
	if !h.NoEmoji {
		sent = append(sent, "😀")
	}
	for i, body := range sent {
		want[body] = true
		send(t, h, redrive.Entry{ID: fmt.Sprint("content-", i), Body: body, Trace: trace, Attributes: attributes})
	}
	for _, m := range take(t, h, len(want)) {
		if !want[m.Body] {
			t.Errorf("%.60q came twice, or was not sent", m.Body)
		}
		delete(want, m.Body)
		if m.Trace != trace && !h.NoTrace {
			t.Errorf("trace %q", m.Trace)
		}
		if len(m.Attributes) != len(attributes) {
			t.Errorf("attributes %v", m.Attributes)
		}
		for name, a := range attributes {
			if got := m.Attributes[name]; got.Type != a.Type || !bytes.Equal(got.Value, a.Value) {
				t.Errorf("%s is %s %q", name, got.Type, got.Value)
			}
		}
		if m.ID == "" || m.SentAt.IsZero() {
			t.Errorf("id %q, sent at %v", m.ID, m.SentAt)
		}
	}
}

func plain(t *testing.T, h Harness) {
	send(t, h, redrive.Entry{ID: "nil", Body: "nil"}, redrive.Entry{ID: "none", Body: "none", Attributes: map[string]redrive.Attribute{}})
	for _, m := range take(t, h, 2) {
		if len(m.Attributes) != 0 || m.Trace != "" {
			t.Errorf("%s has %v, %q", m.Body, m.Attributes, m.Trace)
		}
	}
}

func hidden(t *testing.T, h Harness) {
	send(t, h, numbered(3)...)
	take(t, h, 3)
	none(t, h)
}

func shown(t *testing.T, h Harness) {
	send(t, h, numbered(3)...)
	held := take(t, h, 3)
	hide(t, h, 0, held[1])
	if m := take(t, h, 1)[0]; m.Body != held[1].Body {
		t.Errorf("%s came, want %s", m.Body, held[1].Body)
	}
	none(t, h)
}

func extended(t *testing.T, h Harness) {
	send(t, h, numbered(3)...)
	hide(t, h, hold, take(t, h, 3)...)
	none(t, h)
	wantDepth(t, h, 0, 3)
}

func deleted(t *testing.T, h Harness) {
	send(t, h, numbered(3)...)
	held := take(t, h, 3)
	remove(t, h, held[0], held[2])
	wantDepth(t, h, 0, 1)
	hide(t, h, 0, held[1])
	if m := take(t, h, 1)[0]; m.Body != held[1].Body {
		t.Errorf("%s came, want %s", m.Body, held[1].Body)
	}
}

func deletedTwice(t *testing.T, h Harness) {
	send(t, h, numbered(2)...)
	held := take(t, h, 2)
	remove(t, h, held[0])
	remove(t, h, held...)
	remove(t, h, held...)
	wantDepth(t, h, 0, 0)
}

func batch(t *testing.T, h Harness) {
	send(t, h, numbered(redrive.MaxBatch)...)
	held := take(t, h, redrive.MaxBatch)
	bodies, ids := map[string]bool{}, map[string]bool{}
	for _, m := range held {
		bodies[m.Body], ids[m.ID] = true, true
	}
	if len(bodies) != redrive.MaxBatch || len(ids) != redrive.MaxBatch {
		t.Errorf("%d bodies and %d ids", len(bodies), len(ids))
	}
	hide(t, h, 0, held...)
	held = take(t, h, redrive.MaxBatch)
	remove(t, h, held...)
	none(t, h)
}

func limited(t *testing.T, h Harness) {
	send(t, h, numbered(5)...)
	if took := take(t, h, 2); len(took) != 2 {
		t.Errorf("%d came", len(took))
	}
	wantDepth(t, h, 3, 2)
}

func identity(t *testing.T, h Harness) {
	send(t, h, numbered(2)...)
	ids, counts := map[string]string{}, map[string]int{}
	for range 3 {
		held := take(t, h, 2)
		for _, m := range held {
			if before, ok := ids[m.Body]; ok && before != m.ID {
				t.Errorf("%s was %s, is %s", m.Body, before, m.ID)
			}
			if m.ReceiveCount < 1 || m.ReceiveCount <= counts[m.Body] && !h.Uncounted {
				t.Errorf("%s was received %d times, after %d", m.Body, m.ReceiveCount, counts[m.Body])
			}
			ids[m.Body], counts[m.Body] = m.ID, m.ReceiveCount
		}
		hide(t, h, 0, held...)
	}
	if ids["body-0"] == ids["body-1"] {
		t.Errorf("both are %s", ids["body-0"])
	}
}

func depth(t *testing.T, h Harness) {
	send(t, h, numbered(5)...)
	wantDepth(t, h, 5, 0)
	held := take(t, h, 2)
	wantDepth(t, h, 3, 2)
	hide(t, h, 0, held[0])
	wantDepth(t, h, 4, 1)
	remove(t, h, held[1])
	wantDepth(t, h, 4, 0)
}
