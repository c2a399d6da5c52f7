// Package memgateway is a WebSocket gateway in memory, for tests: connections that record their
// frames, and posts that fail or hang as the test says.
package memgateway

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
)

// Gateway is a [gateway.Gateway] and a [gateway.Closer]. The zero value has no connections, and is ready.
type Gateway struct {
	mu          sync.Mutex
	connections map[string]*connection
	posts       map[string]int
}

type connection struct {
	open   bool
	frames [][]byte
	script []error
	held   chan struct{}
}

var (
	_ gateway.Gateway = (*Gateway)(nil)
	_ gateway.Closer  = (*Gateway)(nil)
)

// Open lets posts to id succeed.
func (g *Gateway) Open(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at(id).open = true
}

// Close makes posts to id fail with kind Gone.
func (g *Gateway) Close(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at(id).open = false
}

// Script sets the results of the next posts to id, or of ends of it, one each; nil lets a call go its way.
func (g *Gateway) Script(id string, results ...error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at(id).script = append(g.at(id).script, results...)
}

// Hold makes posts to id wait for release, or for the end of their time or of their context.
func (g *Gateway) Hold(id string) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	held := make(chan struct{})
	g.at(id).held = held
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.at(id).held = nil
		close(held)
	})
}

// Frames returns the frames that id was sent, in order.
func (g *Gateway) Frames(id string) [][]byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.at(id).frames)
}

// Posts returns how many posts to id were begun.
func (g *Gateway) Posts(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.posts[id]
}

// Post records the text of f.
func (g *Gateway) Post(ctx context.Context, id string, f *gateway.Frame, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	const op = "gateway.Post"
	g.mu.Lock()
	c := g.at(id)
	if g.posts == nil {
		g.posts = map[string]int{}
	}
	g.posts[id]++
	held := c.held
	g.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return fault.New(op, fault.Transient, context.Cause(ctx))
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if len(c.script) > 0 {
		result := c.script[0]
		c.script = c.script[1:]
		if result != nil {
			return result
		}
	}
	switch {
	case id == "" || !c.open:
		return fault.New(op, fault.Gone, nil)
	case len(f.Text()) > gateway.MaxFrame:
		return fault.New(op, fault.TooLarge, nil)
	}
	c.frames = append(c.frames, bytes.Clone(f.Text()))
	return nil
}

// Disconnect closes id.
func (g *Gateway) Disconnect(ctx context.Context, id string, _ time.Duration) error {
	if ctx.Err() != nil {
		return fault.New("gateway.Disconnect", fault.Transient, context.Cause(ctx))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.at(id)
	if len(c.script) > 0 {
		result := c.script[0]
		c.script = c.script[1:]
		if result != nil && fault.KindOf(result) != fault.Gone {
			return result
		}
	}
	c.open = false
	return nil
}

func (g *Gateway) at(id string) *connection {
	if g.connections == nil {
		g.connections = map[string]*connection{}
	}
	c := g.connections[id]
	if c == nil {
		c = &connection{}
		g.connections[id] = c
	}
	return c
}
