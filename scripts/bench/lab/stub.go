package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/scripts/bench/stub"
)

// announcement is the line in which a stub says where it is.
type announcement struct {
	Endpoint    string `json:"endpoint"`
	Control     string `json:"control"`
	Certificate string `json:"certificate"`
}

// ServeStub is the stub's process: it announces itself on out and serves until in or ctx ends.
func ServeStub(ctx context.Context, in io.Reader, out io.Writer, plainHTTP bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var certificate *tls.Certificate
	a := announcement{Endpoint: "http://"}
	if !plainHTTP {
		made, pem, err := stub.Certificate()
		if err != nil {
			return err
		}
		certificate, a.Certificate, a.Endpoint = &made, string(pem), "https://"
	}
	posts, err := stub.Listen(certificate)
	if err != nil {
		return err
	}
	defer posts.Close()
	control, err := stub.Listen(nil)
	if err != nil {
		return err
	}
	defer control.Close()
	a.Endpoint += posts.Addr().String() + "/prod"
	a.Control = "http://" + control.Addr().String()
	if err := json.NewEncoder(out).Encode(a); err != nil {
		return err
	}

	server := stub.New()
	door := &http.Server{Handler: server.Control()}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	context.AfterFunc(ctx, func() { _ = door.Close() })
	var both errgroup.Group
	both.Go(func() error { return server.Serve(ctx, posts) })
	both.Go(func() error {
		defer cancel()
		if err := door.Serve(control); ctx.Err() == nil {
			return err
		}
		return nil
	})
	return both.Wait()
}
