// Package gatewaytest is the conformance suite of the gateway port. Every adapter runs it.
package gatewaytest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
)

// Harness is a gateway under test, without connections.
type Harness struct {
	Gateway gateway.Gateway
	Open    func(id string)
	Close   func(id string)
	Frames  func(id string) [][]byte
	// Fail makes the next post to id fail as the service would in that case.
	Fail func(id string, kind fault.Kind)
	// Hang makes the next post to id wait for its end, and tells when it waits.
	Hang func(id string) (waiting <-chan struct{})
}

// id has all the characters that API Gateway uses in its ids.
const id = "Jx-TaE0_GjQFvSw="

// limit is how long a post may take that is not to time out.
const limit = 10 * time.Second

// RunCloser puts the gateways that newHarness makes through the suite of those that close connections. The
// gateway of a harness must be a [gateway.Closer].
func RunCloser(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness, gateway.Closer)
	}{
		{"DisconnectThatFailsHasAKind", disconnectFails},
		{"DisconnectOfWhatHasGone", disconnectGone},
		{"DisconnectCloses", disconnectCloses},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			c.test(t, h, h.Gateway.(gateway.Closer))
		})
	}
}

func disconnectFails(t *testing.T, h Harness, closer gateway.Closer) {
	h.Open(id)
	for _, kind := range []fault.Kind{fault.Throttled, fault.Denied, fault.Transient} {
		h.Fail(id, kind)
		err := closer.Disconnect(t.Context(), id, limit)
		want(t, err, kind)
		if err != nil && strings.Contains(err.Error(), id[:len(id)-1]) {
			t.Errorf("%v: the error tells %v", kind, err)
		}
	}
	post(t, h, "{}") // it is still open
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, closer.Disconnect(ctx, id, limit), fault.Transient)
}

func disconnectGone(t *testing.T, h Harness, closer gateway.Closer) {
	if err := closer.Disconnect(t.Context(), id, limit); err != nil {
		t.Errorf("never opened: %v", err)
	}
	h.Open(id)
	h.Fail(id, fault.Gone)
	if err := closer.Disconnect(t.Context(), id, limit); err != nil {
		t.Errorf("gone meanwhile: %v", err)
	}
}

func disconnectCloses(t *testing.T, h Harness, closer gateway.Closer) {
	h.Open(id)
	post(t, h, "{}")
	for range 2 {
		if err := closer.Disconnect(t.Context(), id, limit); err != nil {
			t.Error(err)
		}
		want(t, h.Gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit), fault.Gone)
	}
	frames(t, h, "{}")
}

// Run puts the gateways that newHarness makes through the suite.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"UnknownIsGone", unknown},
		{"ClosedIsGone", closed},
		{"EachFailureHasItsKind", kinds},
		{"FailuresAreNotRetried", once},
		{"ErrorsHideTheConnection", hidden},
		{"TooLarge", tooLarge},
		{"TimeoutIsTransient", timeout},
		{"EndedContextIsTransient", ended},
		{"FrameArrivesAsItIs", verbatim},
		{"OneFrameToManyConnections", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t))
		})
	}
}

func unknown(t *testing.T, h Harness) {
	want(t, h.Gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit), fault.Gone)
}

func closed(t *testing.T, h Harness) {
	h.Open(id)
	post(t, h, "{}")
	h.Close(id)
	want(t, h.Gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit), fault.Gone)
	frames(t, h, "{}")
}

func kinds(t *testing.T, h Harness) {
	h.Open(id)
	for _, kind := range []fault.Kind{fault.Gone, fault.Throttled, fault.TooLarge, fault.Denied, fault.Transient} {
		h.Fail(id, kind)
		want(t, h.Gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit), kind)
	}
	frames(t, h)
	post(t, h, "{}")
}

func once(t *testing.T, h Harness) {
	h.Open(id)
	for _, kind := range []fault.Kind{fault.Throttled, fault.Transient} {
		h.Fail(id, kind)
		want(t, h.Gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit), kind)
		frames(t, h)
	}
}

func hidden(t *testing.T, h Harness) {
	h.Open(id)
	for _, kind := range []fault.Kind{fault.Gone, fault.Throttled, fault.TooLarge, fault.Denied, fault.Transient} {
		h.Fail(id, kind)
		err := h.Gateway.Post(t.Context(), id, gateway.NewFrame([]byte(`{"n":"canary"}`)), limit)
		if err == nil || strings.Contains(err.Error(), id[:len(id)-1]) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v: the error tells %v", kind, err)
		}
	}
}

func tooLarge(t *testing.T, h Harness) {
	h.Open(id)
	post(t, h, strings.Repeat("x", gateway.MaxFrame))
	want(t, h.Gateway.Post(t.Context(), id, gateway.NewFrame(bytes.Repeat([]byte("x"), gateway.MaxFrame+1)), limit), fault.TooLarge)
}

func timeout(t *testing.T, h Harness) {
	h.Open(id)
	h.Hang(id)
	want(t, h.Gateway.Post(context.Background(), id, gateway.NewFrame([]byte("{}")), 20*time.Millisecond), fault.Transient)
	frames(t, h)
}

func ended(t *testing.T, h Harness) {
	h.Open(id)
	waiting := h.Hang(id)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-waiting
		cancel()
	}()
	want(t, h.Gateway.Post(ctx, id, gateway.NewFrame([]byte("{}")), limit), fault.Transient)
	want(t, h.Gateway.Post(ctx, id, gateway.NewFrame([]byte("{}")), limit), fault.Transient)
	post(t, h, "{}") // by another sender
	frames(t, h, "{}")
}

func verbatim(t *testing.T, h Harness) {
	h.Open(id)
	body := `{"name":"Zoë <&> \u2028 😀"}` + "\n"
	post(t, h, body)
	post(t, h, "{}")
	frames(t, h, body, "{}")
}

func concurrent(t *testing.T, h Harness) {
	frame := gateway.NewFrame([]byte(`{"n":1}`))
	var wg sync.WaitGroup
	for n := range 20 {
		id := fmt.Sprintf("c-%02d_=", n)
		h.Open(id)
		wg.Go(func() {
			if err := h.Gateway.Post(t.Context(), id, frame, limit); err != nil {
				t.Error(err)
			}
			if got := h.Frames(id); len(got) != 1 || string(got[0]) != `{"n":1}` {
				t.Errorf("%s has %q", id, got)
			}
		})
	}
	wg.Wait()
}

func post(t *testing.T, h Harness, frame string) {
	t.Helper()
	if err := h.Gateway.Post(t.Context(), id, gateway.NewFrame([]byte(frame)), limit); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Errorf("%v, want kind %v", err, kind)
	}
}

func frames(t *testing.T, h Harness, want ...string) {
	t.Helper()
	var got []string
	for _, f := range h.Frames(id) {
		got = append(got, string(f))
	}
	if !slices.Equal(got, want) {
		t.Errorf("frames %q, want %q", got, want)
	}
}
