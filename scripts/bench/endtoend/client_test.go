package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
)

// gateway is a server that closes one of its connections each time something is sent to kick.
func gateway(t *testing.T) (url string, kick chan<- struct{}) {
	t.Helper()
	kicks := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		select {
		case <-kicks:
		case <-conn.CloseRead(context.Background()).Done(): // the client is gone
		}
		_ = conn.CloseNow()
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http"), kicks
}

func TestClientsRecordFrames(t *testing.T) {
	t.Parallel()
	j := newJournal([]string{"student_1"}, 11, 1, time.Now())
	c := &client{record: newRecord(j), frames: newReader()}
	for _, frame := range [][]byte{
		example(t, contracts.KindMetricUpdateFrameV1, "full"), example(t, contracts.KindResyncFrameV1, "minimal"),
	} {
		if err := c.take(frame, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if c.record.frames != 1 || c.record.updates != 1 || c.resyncs != 1 || !c.complete(j.finals()) {
		t.Errorf("%+v, %d resyncs", c.record, c.resyncs)
	}
	if err := c.take([]byte("no frame"), time.Now()); err == nil {
		t.Error("what is no frame is no error")
	}
}

func TestAudienceReplacesWhoIsLost(t *testing.T) {
	t.Parallel()
	url, kick := gateway(t)
	a := audience{url: url, frames: newReader()}
	defer func() { a.dismiss() }()
	if err := a.grow(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	run := newJournal([]string{"a"}, 1, 1, time.Now())
	a.watch(run)
	kick <- struct{}{}
	select {
	case <-a.clients[0].ended:
	case <-a.clients[1].ended:
	}
	a.settle(t.Context(), []int{0}, time.Nanosecond) // nobody will show it
	if r := a.report(run); r.Clients != 2 || r.Lost != 1 || r.Complete != 0 || r.NotShown != 2 || a.problem() == nil {
		t.Errorf("%+v, %v", r, a.problem())
	}
	if err := a.grow(t.Context(), 3); err != nil || len(a.clients) != 3 || a.problem() != nil {
		t.Errorf("%v, %d clients, %v", err, len(a.clients), a.problem())
	}
}

func TestAudienceSaysWhoCannotConnect(t *testing.T) {
	t.Parallel()
	a := audience{url: "ws://127.0.0.1:9/prod"}
	defer a.dismiss()
	if err := a.grow(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "of 3 cannot connect") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.grow(ctx, 1); err == nil {
		t.Error("clients connect after the end")
	}
}
