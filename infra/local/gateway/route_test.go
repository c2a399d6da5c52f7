package gateway_test

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

func TestForbiddenWithoutDefault(t *testing.T) {
	routes := maps.Clone(allRoutes)
	delete(routes, "$default")
	r := start(t, gateway.Config{Routes: routes})
	ws, id := r.open()
	for _, text := range []string{`{"action":"other"}`, `plain`, ``, `{"action":"$connect"}`, `{"action":"$disconnect"}`, `{"action":""}`} {
		r.send(ws, text)
		got := r.read(ws)
		requestID := got[len(got)-18 : len(got)-2]
		if got != failure("Forbidden", id, requestID) || !idForm.MatchString(requestID) {
			t.Fatalf("%s answered %s", text, got)
		}
	}
	r.send(ws, `{"action":"sync"}`) // the connection is still open
	r.event("sync")
	r.noEvent("connect")
	r.noEvent("disconnect")
}

func TestInternalServerErrorFrame(t *testing.T) {
	for name, f := range map[string]gateway.InvokerFunc{
		"function error": fails, "throttled": throttled, "malformed": replies(`null`),
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, gateway.Config{Routes: allRoutes})
			r.host.set("default", f)
			ws, id := r.open()
			r.send(ws, "x")
			requestID := r.event("default").RequestContext.RequestID
			if got := r.read(ws); got != failure("Internal server error", id, requestID) {
				t.Fatal(got)
			}
			r.send(ws, `{"action":"sync"}`)
			r.event("sync")
		})
	}
}

func TestMessageTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		r.host.set("default", hangs)
		ws, id := r.open()
		began := time.Now()
		r.send(ws, "x")
		requestID := r.event("default").RequestContext.RequestID
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, got, err := ws.Read(ctx)
		if err != nil || string(got) != failure("Internal server error", id, requestID) || time.Since(began) != 29*time.Second {
			t.Fatalf("%s %v after %v", got, err, time.Since(began))
		}
	})
}

func TestStatusOfAMessageRouteChangesNothing(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	r.host.set("default", replies(`{"statusCode":500,"body":"not sent"}`))
	ws, id := r.open()
	r.send(ws, "x")
	r.event("default")
	r.post(id, "next")
	if got := r.read(ws); got != "next" {
		t.Fatal(got)
	}
}

func TestRouting(t *testing.T) {
	for name, tc := range map[string]struct {
		selection string
		text      string
		route     string
	}{
		"not JSON":         {"", `hello`, "$default"},
		"empty":            {"", ``, "$default"},
		"no such member":   {"", `{"type":"sync"}`, "$default"},
		"unknown key":      {"", `{"action":"other"}`, "$default"},
		"another case":     {"", `{"Action":"sync"}`, "$default"},
		"not a scalar":     {"", `{"action":["sync"]}`, "$default"},
		"null":             {"", `{"action":null}`, "$default"},
		"array":            {"", `["sync"]`, "$default"},
		"event's name":     {"", `{"action":"$disconnect"}`, "$default"},
		"two documents":    {"", `{"action":"sync"} {}`, "$default"},
		"match":            {"", `{"action":"sync"}`, "sync"},
		"braced":           {"${request.body.action}", `{"action":"sync"}`, "sync"},
		"nested":           {"$request.body.a.b", `{"a":{"b":"sync"}}`, "sync"},
		"nested, no path":  {"$request.body.a.b", `{"a":"sync"}`, "$default"},
		"number":           {"", `{"action": 7 }`, "7"},
		"boolean":          {"", `{"action":true}`, "true"},
		"last of the same": {"", `{"action":"other","action":"sync"}`, "sync"},
	} {
		t.Run(name, func(t *testing.T) {
			routes := map[string]string{"$connect": "connect", "$disconnect": "disconnect", "$default": "m", "sync": "m", "7": "m", "true": "m"}
			r := start(t, gateway.Config{Routes: routes, RouteSelection: tc.selection})
			ws, _ := r.open()
			r.send(ws, tc.text)
			ev := r.event("m")
			if ev.RequestContext.RouteKey != tc.route || ev.Body != tc.text {
				t.Fatalf("route %q body %q", ev.RequestContext.RouteKey, ev.Body)
			}
		})
	}
}

func TestMessagesRunConcurrentlyUpToABound(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{MessagesInFlight: 2}})
	release := make(chan struct{})
	r.host.set("default", func(context.Context, string, []byte) ([]byte, string, error) {
		<-release
		return []byte(`{"statusCode":200}`), "", nil
	})
	ws, id := r.open()
	var inFlight []events.APIGatewayWebsocketProxyRequest
	for range 2 {
		r.send(ws, "x")
		inFlight = append(inFlight, r.event("default"))
	}
	r.send(ws, "one too many")
	got := r.read(ws)
	if got != failure("Too Many Requests", id, got[len(got)-18:len(got)-2]) {
		t.Fatal(got)
	}
	if a, b := inFlight[0].RequestContext, inFlight[1].RequestContext; a.MessageID == b.MessageID || a.RequestID == b.RequestID {
		t.Fatal("ids repeat")
	}
	close(release)
}

// The gateway's own frames wait in the same bounded queue; a reader that takes nothing goes without them.
func TestFailureFramesOfASlowReaderAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: map[string]string{"$connect": "connect"}, Limits: gateway.Limits{SendFrames: 2}})
		ws, _ := r.open()
		for range 10 {
			r.send(ws, "x")
			synctest.Wait() // until its answer waits, or is dropped
		}
		for range 3 { // one being written, two queued
			r.read(ws)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, got, err := ws.Read(ctx); err == nil {
			t.Fatalf("a fourth: %s", got)
		}
	})
}
