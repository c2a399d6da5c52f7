package bench

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
)

func TestFloorTellsWhatItGets(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":          "ok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}":        "ok",
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}": "internal",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n":          "transient",
		"": "transient",
	} {
		f := &Floor{
			Endpoint: "http://stub/prod", Pool: 1,
			Dial: func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					in := bufio.NewReader(theirs)
					for answer != "" {
						r, err := http.ReadRequest(in)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, r.Body)
						if r.Header.Get("X-Signed") == "" || r.URL.EscapedPath()[:20] != "/prod/@connections/A" {
							return
						}
						_, _ = io.WriteString(theirs, answer)
					}
				}()
				return ours, nil
			},
			Sign: func(r *http.Request, _ []byte) error {
				r.Header.Set("X-Signed", "yes")
				return nil
			},
		}
		w := Workload{Endpoint: "http://stub", Connections: 1, Updates: 2, Entities: 1, PerFrame: 1, Pool: 1}
		r, err := Measure(t.Context(), f, w)
		f.Close()
		f.Close()
		if err != nil || r.Verdicts[want] == 0 || len(r.Verdicts) != 1 {
			t.Errorf("%q: %v, %v; want %s", answer, r.Verdicts, err, want)
		}
	}
}

func TestFloorDoesNotRunUnsigned(t *testing.T) {
	t.Parallel()
	f := &Floor{Pool: 1, Sign: func(*http.Request, []byte) error { return fault.New("sign", fault.Denied, nil) }}
	w := Workload{Endpoint: "http://stub", Connections: 1, Updates: 1, Entities: 1, PerFrame: 1, Pool: 1}
	if _, err := Measure(t.Context(), f, w); err == nil {
		t.Error("a request that cannot be signed is no error")
	}
}
