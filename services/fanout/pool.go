package fanout

import (
	"context"
	"time"
)

// pool bounds the posts in flight, in all windows together, and the connections that wait for
// their next try. Waiting does not take a poster from others, as long as few wait.
type pool struct {
	posters chan struct{}
	parked  chan struct{}
}

func newPool(posters, parked int) *pool {
	return &pool{posters: make(chan struct{}, posters), parked: make(chan struct{}, parked)}
}

// place is one poster, held by one goroutine at a time.
type place struct {
	pool *pool
	held bool
}

// enter waits for a poster.
func (p *pool) enter(ctx context.Context) (*place, bool) {
	if !take(ctx, p.posters) {
		return nil, false
	}
	return &place{pool: p, held: true}, true
}

// pause waits for d. It gives the poster to others meanwhile, unless too many do that. It reports
// whether ctx let it, and has its poster then.
func (p *place) pause(ctx context.Context, d time.Duration) bool {
	select {
	case p.pool.parked <- struct{}{}:
	default:
		return sleep(ctx, d)
	}
	p.leave()
	defer func() { <-p.pool.parked }()
	p.held = sleep(ctx, d) && take(ctx, p.pool.posters)
	return p.held
}

// leave gives the poster back, if it is held.
func (p *place) leave() {
	if p.held {
		p.held = false
		<-p.pool.posters
	}
}
