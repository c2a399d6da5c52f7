package wiregateway

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// plug is a connection that is only closed.
type plug struct {
	net.Conn
	closed bool
}

func (p *plug) Close() error { p.closed = true; return nil }

// dials makes plugs, each after a while, and counts them.
type dials struct {
	takes  time.Duration
	fail   error
	mu     sync.Mutex
	n      int
	atOnce int
	most   int
}

func (d *dials) dial(ctx context.Context) (net.Conn, error) {
	d.mu.Lock()
	d.n++
	d.atOnce++
	d.most = max(d.most, d.atOnce)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.atOnce--
		d.mu.Unlock()
	}()
	select {
	case <-time.After(d.takes):
		return &plug{}, d.fail
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble runs f with a pool of 20 on virtual time.
func bubble(t *testing.T, d *dials, f func(*pool)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		p := newPool(20, time.Minute, d.dial)
		defer p.close()
		defer p.close()
		f(p)
	})
}

// takeNow takes a socket within a second.
func (p *pool) takeNow(ctx context.Context) (*socket, error) {
	now := time.Now()
	return p.take(ctx, now, now.Add(time.Second))
}

func TestDialsTakeTurns(t *testing.T) {
	t.Parallel()
	d := &dials{takes: 10 * time.Millisecond}
	bubble(t, d, func(p *pool) {
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				s, err := p.takeNow(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(100 * time.Millisecond)
				p.put(s)
			})
		}
		all.Wait()
		synctest.Wait()
		if d.most != maxDials || d.n != 20 || p.open != 20 || len(p.idle) != 20 {
			t.Errorf("%d dials, %d at once, %d sockets of which %d idle", d.n, d.most, p.open, len(p.idle))
		}
	})
}

// Who waits for a dial takes the socket that is put back meanwhile; the dialed one is kept for others.
func TestASocketThatIsPutBackIsTakenFirst(t *testing.T) {
	t.Parallel()
	d := &dials{takes: time.Millisecond}
	bubble(t, d, func(p *pool) {
		first, err := p.takeNow(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d.takes = 500 * time.Millisecond
		var second *socket
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			second, _ = p.takeNow(context.Background())
		}()
		synctest.Wait()
		p.put(first)
		<-taken
		if second != first {
			t.Error("the dial was waited for")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(p.idle) != 1 || p.open != 2 {
			t.Errorf("%d idle of %d", len(p.idle), p.open)
		}
		if _, err := p.takeNow(context.Background()); err != nil || d.n != 2 {
			t.Errorf("%v, %d dials: what was dialed for nobody was not kept", err, d.n)
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	d := &dials{takes: time.Hour}
	bubble(t, d, func(p *pool) {
		if _, err := p.takeNow(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("late: %v", err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New("called off"))
		if _, err := p.takeNow(ctx); err == nil || err.Error() != "called off" {
			t.Errorf("called off: %v", err)
		}
		if len(p.waiting) != 0 {
			t.Errorf("%d still wait", len(p.waiting))
		}
	})
}

// An outage reaches everybody who waits, one dial each, and leaves room for later ones.
func TestFailedDials(t *testing.T) {
	t.Parallel()
	d := &dials{takes: time.Millisecond, fail: errors.New("refused")}
	bubble(t, d, func(p *pool) {
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if _, err := p.takeNow(context.Background()); err == nil || err.Error() != "refused" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if d.n != 30 || p.open != 0 || p.dialing != 0 {
			t.Errorf("%d dials, %d open, %d being dialed", d.n, p.open, p.dialing)
		}
		d.fail = nil
		if _, err := p.takeNow(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestSocketsAreNotTrustedForEver(t *testing.T) {
	t.Parallel()
	d := &dials{}
	bubble(t, d, func(p *pool) {
		s, err := p.takeNow(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		s.used = time.Now()
		p.put(s)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		again, err := p.takeNow(context.Background())
		synctest.Wait()
		if err != nil || again == s || !s.conn.(*plug).closed || p.open != 1 {
			t.Errorf("%v, %d open", err, p.open)
		}
	})
}

func TestNothingIsTakenOfAClosedPool(t *testing.T) {
	t.Parallel()
	d := &dials{takes: time.Hour}
	bubble(t, d, func(p *pool) {
		waits := make(chan error)
		go func() {
			_, err := p.takeNow(context.Background())
			waits <- err
		}()
		synctest.Wait()
		p.close()
		if err := <-waits; err == nil {
			t.Error("a dial outlived the pool")
		}
		if _, err := p.takeNow(context.Background()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}
