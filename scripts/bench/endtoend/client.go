package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/contracts"
)

const (
	// dials is how many clients connect at a time; each takes a call of a function.
	dials       = 16
	dialTimeout = 30 * time.Second
)

// client listens to one WebSocket and records what it is sent.
type client struct {
	conn   *websocket.Conn
	frames *reader
	ended  chan struct{}
	err    error // why it ended; valid then

	mu      sync.Mutex
	record  *record
	resyncs int
}

// audience is all clients. It is not safe for concurrent use.
type audience struct {
	url     string
	frames  *reader // of all
	clients []*client
}

// grow has as many clients listen as are asked for, until ctx ends or they are dismissed. Those whose
// connection ended are replaced.
func (a *audience) grow(ctx context.Context, size int) error {
	var open []*client
	for _, c := range a.clients {
		if !c.isEnded() {
			open = append(open, c)
		}
	}
	fresh := make([]*client, max(size-len(open), 0))
	group, dialing := errgroup.WithContext(ctx)
	group.SetLimit(dials)
	for i := range fresh {
		group.Go(func() error {
			dialing, cancel := context.WithTimeout(dialing, dialTimeout)
			defer cancel()
			conn, _, err := websocket.Dial(dialing, a.url, nil)
			if err != nil {
				return fmt.Errorf("client %d of %d cannot connect: %w", len(open)+i+1, size, err)
			}
			fresh[i] = &client{conn: conn, frames: a.frames, ended: make(chan struct{})}
			go fresh[i].listen(ctx)
			return nil
		})
	}
	err := group.Wait()
	a.clients = open
	for _, c := range fresh {
		if c != nil { // it did connect
			a.clients = append(a.clients, c)
		}
	}
	return err
}

// dismiss ends all connections.
func (a *audience) dismiss() {
	for _, c := range a.clients {
		_ = c.conn.CloseNow()
		<-c.ended
	}
}

// watch begins to record a run.
func (a *audience) watch(run *journal) {
	for _, c := range a.clients {
		c.mu.Lock()
		c.record, c.resyncs = newRecord(run), 0
		c.mu.Unlock()
	}
}

// settle waits until all who are still connected show all final writes, or time is up.
func (a *audience) settle(ctx context.Context, finals []int, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, c := range a.clients {
		for !c.isEnded() && !c.complete(finals) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// report ends the recording of a run and says what it came to.
func (a *audience) report(run *journal) result {
	records := make([]*record, len(a.clients))
	lost, resyncs := 0, 0
	for i, c := range a.clients {
		c.mu.Lock()
		records[i], c.record = c.record, nil
		resyncs += c.resyncs
		c.mu.Unlock()
		if c.isEnded() {
			lost++
		}
	}
	r := run.evaluate(records)
	r.Lost, r.Resyncs = lost, resyncs
	return r
}

// problem is why a connection ended, if one did.
func (a *audience) problem() error {
	for _, c := range a.clients {
		if c.isEnded() {
			return c.err
		}
	}
	return nil
}

func (c *client) listen(ctx context.Context) {
	defer close(c.ended)
	for {
		_, frame, err := c.conn.Read(ctx)
		now := time.Now() // before anything is made of it
		if err == nil {
			err = c.take(frame, now)
		}
		if err != nil {
			c.err = err
			_ = c.conn.CloseNow()
			return
		}
	}
}

func (c *client) take(text []byte, now time.Time) error {
	f, err := c.frames.read(text)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case f.kind == contracts.ResyncFrameV1Type:
		c.resyncs++
	case f.kind == contracts.MetricUpdateFrameV1Type && c.record != nil:
		c.record.take(f.updates, len(text), now)
	}
	return nil
}

func (c *client) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *client) complete(finals []int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record.complete(finals)
}
