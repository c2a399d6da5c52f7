package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// Floor is the least that a post can cost: each request is signed and written out before the clock
// starts, and then each connection of the pool takes one after the other, writes it and reads the answer.
type Floor struct {
	Endpoint string
	Pool     int
	Dial     func(ctx context.Context) (net.Conn, error)
	// Sign adds what authorises a request with this body.
	Sign func(r *http.Request, body []byte) error

	lines []*line
}

// line is a connection of the pool.
type line struct {
	net.Conn
	answers *bufio.Reader
}

// Run implements [Variant]. The connections stay open for the next run.
func (f *Floor) Run(ctx context.Context, j Job) error {
	requests, err := f.prepare(ctx, j)
	if err != nil {
		return err
	}
	if err := f.dial(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, f.Close)
	defer stop()
	j.Tally.Begin()
	var wg sync.WaitGroup
	var next atomic.Int64
	for _, l := range f.lines {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(len(requests)); n = next.Add(1) {
				start := time.Now()
				err := l.post(requests[n-1])
				j.Tally.Post(start, err)
				if err != nil && fault.KindOf(err) == fault.Transient {
					return // the connection is of no use any more
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// Close ends the connections. It may be called while Run posts, and again.
func (f *Floor) Close() {
	for _, l := range f.lines {
		_ = l.Close()
	}
}

// prepare writes out all requests.
func (f *Floor) prepare(ctx context.Context, j Job) ([][]byte, error) {
	var requests [][]byte
	for {
		updates, more := j.Feed.Next(ctx)
		if !more {
			return requests, ctx.Err()
		}
		for _, u := range updates {
			body := Frame(u)
			for _, id := range j.Connections {
				request, err := f.request(id, body)
				if err != nil {
					return nil, err
				}
				requests = append(requests, request)
			}
		}
	}
}

func (f *Floor) request(id string, body []byte) ([]byte, error) {
	target, err := url.Parse(f.Endpoint + "/@connections/" + strings.ReplaceAll(url.PathEscape(id), "=", "%3D"))
	if err != nil {
		return nil, err
	}
	r := &http.Request{
		Method: http.MethodPost, URL: target, Host: target.Host, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/octet-stream"}},
	}
	if err := f.Sign(r, body); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", target.EscapedPath(), r.Host, len(body))
	if err := r.Header.Write(&b); err != nil {
		return nil, err
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes(), nil
}

func (f *Floor) dial(ctx context.Context) error {
	for len(f.lines) < f.Pool {
		c, err := f.Dial(ctx)
		if err != nil {
			return err
		}
		f.lines = append(f.lines, &line{c, bufio.NewReaderSize(c, 4096)})
	}
	return nil
}

// post writes a request and reads its answer. An error of the connection is Transient.
func (l *line) post(request []byte) error {
	const op = "floor.post"
	if _, err := l.Write(request); err != nil {
		return fault.New(op, fault.Transient, err)
	}
	status, length := "", 0
	for {
		text, err := l.answers.ReadSlice('\n')
		if err != nil {
			return fault.New(op, fault.Transient, err)
		}
		if text = bytes.TrimRight(text, "\r\n"); len(text) == 0 {
			break
		}
		if digits, ok := bytes.CutPrefix(text, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(digits)); err != nil {
				return fault.New(op, fault.Transient, err)
			}
		} else if rest, ok := bytes.CutPrefix(text, []byte("HTTP/1.1 ")); ok && string(rest) != "200 OK" {
			status = string(rest)
		}
	}
	if _, err := l.answers.Discard(length); err != nil {
		return fault.New(op, fault.Transient, err)
	}
	if status != "" {
		return fault.Newf(op, fault.Internal, "status %s", status)
	}
	return nil
}
