package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

func TestClientCloses(t *testing.T) {
	for name, tc := range map[string]struct {
		leave  func(*websocket.Conn)
		code   int64
		reason string
	}{
		"vanishes":      {func(ws *websocket.Conn) { _ = ws.CloseNow() }, 1006, ""},
		"without code":  {func(ws *websocket.Conn) { _ = ws.Close(websocket.StatusNoStatusRcvd, "") }, 1005, "Client-side close frame status not set"},
		"tab closed":    {func(ws *websocket.Conn) { _ = ws.Close(websocket.StatusGoingAway, "") }, 1001, ""},
		"with a reason": {func(ws *websocket.Conn) { _ = ws.Close(4000, "why not") }, 4000, "why not"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, gateway.Config{Routes: allRoutes})
			ws, id := r.open()
			tc.leave(ws)
			r.disconnected(id, tc.code, tc.reason)
			if status := r.post(id, "x"); status != http.StatusGone {
				t.Fatalf("POST after close: %d", status)
			}
			if err := r.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.noEvent("disconnect")
		})
	}
}

func TestClientVanishesInMidFrame(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	conn, _ := r.upgradeConn("/prod", nil)
	id := r.event("connect").RequestContext.ConnectionID
	_, _ = conn.Write([]byte{0x81, 0xfe, 0x01}) // half a header
	_ = conn.Close()
	r.disconnected(id, 1006, "")
	r.noEvent("default")
}

func TestDisconnectDropped(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, Disconnect: gateway.Disconnect{Drop: true}})
	ws, _ := r.open()
	_ = ws.Close(websocket.StatusNormalClosure, "")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.noEvent("disconnect")
}

func TestDisconnectDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes, Disconnect: gateway.Disconnect{Delay: time.Minute}})
		ws, id := r.open()
		_ = ws.Close(websocket.StatusNormalClosure, "")
		<-time.After(59 * time.Second)
		synctest.Wait()
		r.noEvent("disconnect")
		if status := r.post(id, "x"); status != http.StatusGone {
			t.Fatal(status)
		}
		<-time.After(time.Second)
		r.disconnected(id, 1000, "")

		began := time.Now()
		ws, id = r.open()
		_ = ws.Close(websocket.StatusNormalClosure, "")
		synctest.Wait()
		if err := r.Close(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		r.disconnected(id, 1000, "")
	})
}

func TestDisconnectFailureIsNotRetried(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	r.host.set("disconnect", fails)
	ws, id := r.open()
	_ = ws.Close(websocket.StatusNormalClosure, "")
	r.disconnected(id, 1000, "")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.noEvent("disconnect")
}

func TestCloseEndsEverything(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	clients := map[string]*websocket.Conn{}
	for range 10 {
		ws, id := r.open()
		clients[id] = ws
	}
	var closers sync.WaitGroup
	for range 4 { // again and concurrently
		closers.Go(func() {
			if err := r.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	for _, ws := range clients {
		r.closedWith(ws, 1001, "Going away")
	}
	closers.Wait()
	for range 10 {
		rc := r.event("disconnect").RequestContext
		if clients[rc.ConnectionID] == nil || rc.DisconnectStatusCode != 1001 {
			t.Fatalf("%+v", rc)
		}
		delete(clients, rc.ConnectionID)
	}
	r.noEvent("disconnect")
	if resp := r.upgrade("/prod", nil); resp.StatusCode != http.StatusServiceUnavailable || r.Open() != 0 {
		t.Fatalf("%d, %d open", resp.StatusCode, r.Open())
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCloseDoesNotWaitForAStuckReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{CloseWait: 2 * time.Second}})
		conn, _ := r.upgradeConn("/prod", nil)
		id := r.event("connect").RequestContext.ConnectionID
		for range 3 {
			r.post(id, "never read")
		}
		synctest.Wait()
		began := time.Now()
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Fatalf("took %v", took)
		}
		r.disconnected(id, 1001, "Going away")
		_ = conn.Close()
	})
}

func TestCloseDuringConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		release := make(chan struct{})
		r.host.set("connect", func(context.Context, string, []byte) ([]byte, string, error) {
			<-release
			return []byte(`{"statusCode":200}`), "", nil
		})
		closed := make(chan error)
		go func() {
			r.event("connect")
			time.AfterFunc(time.Second, func() { close(release) })
			closed <- r.Close(context.Background())
		}()
		ws, _, err := websocket.Dial(t.Context(), r.base, &websocket.DialOptions{HTTPClient: r.http})
		if err != nil {
			t.Fatal(err)
		}
		r.closedWith(ws, 1001, "Going away")
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		if rc := r.event("disconnect").RequestContext; rc.DisconnectStatusCode != 1001 {
			t.Fatalf("%+v", rc)
		}
	})
}

func TestCloseOutOfTimeCancelsFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		cause := make(chan error, 1)
		r.host.set("default", func(ctx context.Context, _ string, _ []byte) ([]byte, string, error) {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return nil, "", ctx.Err()
		})
		ws, _ := r.open()
		r.send(ws, "x")
		r.event("default")
		go func() { _, _, _ = ws.Read(context.Background()) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := <-cause; !errors.Is(err, gateway.ErrClosed) {
			t.Fatal(err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseGivesUpOnAFunctionThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		release := make(chan struct{})
		r.host.set("disconnect", func(context.Context, string, []byte) ([]byte, string, error) {
			<-release
			return []byte(`{"statusCode":200}`), "", nil
		})
		ws, _ := r.open()
		_ = ws.Close(websocket.StatusNormalClosure, "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Close(ctx); err == nil || !strings.Contains(err.Error(), "did not return") {
			t.Fatal(err)
		}
		close(release)
	})
}

func TestThreeHundredConnections(t *testing.T) {
	const clients = 300
	r := start(t, gateway.Config{Routes: allRoutes})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var dialing sync.WaitGroup
	sockets := make([]*websocket.Conn, clients)
	for i := range clients {
		dialing.Go(func() {
			ws, _, err := websocket.Dial(ctx, r.base+"?n="+strconv.Itoa(i), &websocket.DialOptions{HTTPClient: r.http})
			if err != nil {
				t.Error(err)
				return
			}
			sockets[i] = ws
		})
	}
	dialing.Wait()
	if t.Failed() || r.Open() != clients {
		t.Fatalf("%d open", r.Open())
	}
	var posting sync.WaitGroup
	for range clients {
		ev := r.event("connect")
		n := ev.QueryStringParameters["n"]
		posting.Go(func() {
			for k := range 5 {
				resp, err := r.request(http.MethodPost, "/prod/@connections/"+ev.RequestContext.ConnectionID, n+"/"+strconv.Itoa(k))
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("POST: %d", resp.StatusCode)
				}
			}
		})
	}
	for i, ws := range sockets {
		posting.Go(func() {
			for k := range 5 {
				_, got, err := ws.Read(ctx)
				if want := strconv.Itoa(i) + "/" + strconv.Itoa(k); err != nil || string(got) != want {
					t.Errorf("client %d got %q %v, want %q", i, got, err, want)
					return
				}
			}
			_ = ws.Close(websocket.StatusNormalClosure, "")
		})
	}
	posting.Wait()
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for range clients {
		r.event("disconnect")
	}
	r.noEvent("disconnect")
}
