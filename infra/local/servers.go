package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/local/process"
)

const (
	// A port that was free may be taken when the server binds it: try another.
	startTries   = 3
	startTimeout = 20 * time.Second
)

// server is a third-party server that we start on loopback.
type server struct {
	name string
	spec func(port string) (process.Spec, error)
}

func dynoxide(tree install.Tree) server {
	return server{"dynoxide", func(port string) (process.Spec, error) {
		path, err := tree.Dynoxide()
		return process.Spec{Path: path, Args: []string{"serve", "--host", "127.0.0.1", "--port", port}}, err
	}}
}

func fauxqs(ctx context.Context, tree install.Tree) server {
	return server{"fauxqs", func(port string) (process.Spec, error) {
		node, err := tree.Node(ctx)
		return process.Spec{Path: node, Args: []string{filepath.Join(tree.Root, "infra", "local", "fauxqs.mjs"), port}}, err
	}}
}

// serve starts the server and returns its URL once it accepts connections.
func (s *Stack) serve(ctx context.Context, srv server) (string, error) {
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			return "", err
		}
		spec, err := srv.spec(strconv.Itoa(port))
		if err != nil {
			return "", err
		}
		spec.Name, spec.Env, spec.Dir = srv.name, hostEnv(), s.dir
		p, err := process.Start(spec, s.logs.lines(srv.name), s.log)
		if err != nil {
			return "", err
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = accepts(ctx, address, p); err == nil {
			s.own(p)
			return "http://" + address, nil
		}
		p.Stop(ctx)
		if try == startTries || ctx.Err() != nil {
			return "", fmt.Errorf("%s does not start: %w; see %s", srv.name, err, s.logs.path(srv.name))
		}
	}
}

func accepts(ctx context.Context, address string, p *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return p.Err()
		case <-ctx.Done():
			return fmt.Errorf("not listening on %s: %w", address, ctx.Err())
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// listen binds a loopback port; 0 takes a free one.
func listen(what string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the %s cannot listen on port %d, because something else does: choose another with --%s-port, or leave it out to take a free one", what, port, what)
	case err != nil && port != 0:
		return nil, fmt.Errorf("the %s cannot listen: %w; choose another port with --%s-port, or leave it out to take a free one", what, err, what)
	case err != nil:
		return nil, fmt.Errorf("the %s cannot listen: %w", what, err)
	}
	return l, nil
}
