package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

func TestTooMuchClosesWith1009(t *testing.T) {
	for name, tc := range map[string]struct {
		frames []int // payload sizes of one message
		ok     bool
	}{
		"the largest frame":         {[]int{32768}, true},
		"a frame too large":         {[]int{32769}, false},
		"a later frame too large":   {[]int{10, 40000}, false},
		"a frame of a megabyte":     {[]int{1 << 20}, false},
		"the largest message":       {[]int{32768, 32768, 32768, 32768}, true},
		"one byte more":             {[]int{32768, 32768, 32768, 32768, 1}, false},
		"a message of two megabyte": {slices32K(64), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{CloseWait: patience}})
			ws, id := r.open()
			size, ctx := 0, t.Context()
			// An error is the close that we expect: it may come before everything is written.
			w, err := ws.Writer(ctx, websocket.MessageText)
			for _, n := range tc.frames {
				size += n
				if err == nil {
					_, err = w.Write([]byte(strings.Repeat("x", n)))
				}
			}
			if err == nil {
				err = w.Close()
			}
			if tc.ok {
				if ev := r.event("default"); err != nil || len(ev.Body) != size {
					t.Fatalf("%v, body of %d", err, len(ev.Body))
				}
				return
			}
			r.closedWith(ws, 1009, "")
			r.disconnected(id, 1009, "")
			r.noEvent("default")
		})
	}
}

func slices32K(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = 32768
	}
	return s
}

func TestMessagesBeforeAnOversizedFrameAreDelivered(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	ws, id := r.open()
	r.send(ws, "first")
	_ = ws.Write(t.Context(), websocket.MessageText, make([]byte, 32769))
	if got := r.event("default").Body; got != "first" {
		t.Fatal(got)
	}
	r.closedWith(ws, 1009, "")
	r.disconnected(id, 1009, "")
}

func TestWhatIsNotTextCloses(t *testing.T) {
	for name, tc := range map[string]struct {
		kind websocket.MessageType
		code int
	}{
		"binary":    {websocket.MessageBinary, 1003},
		"not UTF-8": {websocket.MessageText, 1007},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, gateway.Config{Routes: allRoutes})
			ws, id := r.open()
			if err := ws.Write(t.Context(), tc.kind, []byte{0xff, 0xfe}); err != nil {
				t.Fatal(err)
			}
			r.closedWith(ws, tc.code, "")
			r.disconnected(id, int64(tc.code), "")
			r.noEvent("default")
		})
	}
}

// closesAfter reads until the server closes with 1001 and checks how long after began that was.
func (r *rig) closesAfter(ws *websocket.Conn, id string, began time.Time, want time.Duration) {
	r.t.Helper()
	r.closedWith(ws, 1001, "Going away")
	if took := time.Since(began); took != want {
		r.t.Fatalf("closed after %v, want %v", took, want)
	}
	r.disconnected(id, 1001, "Going away")
	if status := r.post(id, "x"); status != http.StatusGone {
		r.t.Fatalf("POST after close: %d", status)
	}
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		began := time.Now()
		ws, id := r.open()
		r.closesAfter(ws, id, began, 10*time.Minute)
	})
}

func TestMessagesInEitherDirectionKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		began := time.Now()
		ws, id := r.open()
		<-time.After(9 * time.Minute)
		r.send(ws, "x")
		<-time.After(9 * time.Minute)
		r.post(id, "x")
		r.read(ws)
		r.closesAfter(ws, id, began, 28*time.Minute)
	})
}

func TestPing(t *testing.T) {
	for name, tc := range map[string]struct {
		keepsAlive bool
		closed     time.Duration
	}{
		"does not keep alive":        {false, 10 * time.Minute},
		"keeps alive, if so assumed": {true, 19 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startPiped(t, gateway.Config{Routes: allRoutes, Assumed: gateway.Assumed{PingKeepsAlive: tc.keepsAlive}})
				began := time.Now()
				ws, id := r.open()
				ponged := make(chan error)
				time.AfterFunc(9*time.Minute, func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					ponged <- ws.Ping(ctx)
				})
				done := make(chan struct{})
				go func() { defer close(done); r.closesAfter(ws, id, began, tc.closed) }()
				if err := <-ponged; err != nil {
					t.Error(err)
				}
				<-done
				r.noEvent("default")
			})
		})
	}
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		began := time.Now()
		ws, id := r.open()
		go func() {
			for time.Since(began) < 115*time.Minute {
				<-time.After(5 * time.Minute)
				_, _ = r.request(http.MethodPost, "/prod/@connections/"+id, "keep")
			}
		}()
		r.closesAfter(ws, id, began, 2*time.Hour)
	})
}

func TestNegativeLimitsAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{
			Idle: -1, Lifetime: -1, ConnectsPerSecond: -1, ConnectBurst: 1, RequestsPerSecond: -1, RequestBurst: 1}})
		r.open()
		ws, id := r.open()
		<-time.After(48 * time.Hour)
		for range 3 {
			if status := r.post(id, "x"); status != http.StatusOK {
				t.Fatal(status)
			}
			r.read(ws)
		}
	})
}

func TestPushMayBeFramed(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, Assumed: gateway.Assumed{PushFrame: 1000}})
	ws, id := r.open()
	text := strings.Repeat("0123456789", 777)
	r.post(id, text)
	if got := r.read(ws); got != text {
		t.Fatalf("got %d bytes", len(got))
	}
}
