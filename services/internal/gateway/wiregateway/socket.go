package wiregateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strconv"
	"sync"
	"time"
)

// maxHeader bounds the head of an answer, and maxBody the body that is read to keep the socket.
const (
	maxHeader = 16 << 10
	maxBody   = 64 << 10
)

// errAnswer is why a socket is given up whose answer is no HTTP/1.
var errAnswer = errors.New("the answer is malformed")

// socket is one kept-alive connection, used by one goroutine at a time.
type socket struct {
	conn   net.Conn
	in     *bufio.Reader
	used   time.Time // when its last post was called, or when it was dialed
	reused bool      // it has carried a post before
	heard  bool      // something of the present answer has come

	unwatch func() bool

	mu       sync.Mutex
	owner    <-chan struct{} // of the context whose end interrupts it
	deadline time.Time       // that is set; zero if it was interrupted
}

// answer is what matters of a response.
type answer struct {
	status int
	date   time.Time // of a refusal; else zero
	keep   bool      // the socket can be used again

	length  int  // of the body; negative where it is not told
	chunked bool // the body comes in chunks instead
}

func newSocket(conn net.Conn) *socket {
	return &socket{conn: conn, in: bufio.NewReaderSize(conn, 4096), used: time.Now()}
}

func (s *socket) close() {
	if s.unwatch != nil {
		s.unwatch()
	}
	_ = s.conn.Close()
}

// use prepares the socket for an exchange, which ends at the deadline, or by so much slack later, or with ctx.
// Posts of one sender have one context, so the socket goes on being watched for the next.
func (s *socket) use(ctx context.Context, deadline time.Time, slack time.Duration) error {
	if err := s.own(ctx.Done(), deadline, slack); err != nil {
		return err
	}
	if s.unwatch == nil {
		ended := ctx.Done()
		s.unwatch = context.AfterFunc(ctx, func() { s.interrupt(ended) })
	}
	// If it ends from here on, the interruption comes behind the deadline above.
	return ctx.Err()
}

// own gives the socket to another context, if need be, and sets the deadline. One that is a little later lasts for the
// posts that soon follow: to set a timer costs as much as a small system call.
func (s *socket) own(ended <-chan struct{}, deadline time.Time, slack time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended != s.owner {
		if s.unwatch != nil {
			s.unwatch()
			s.unwatch = nil
		}
		s.owner = ended
	}
	if late := s.deadline.Sub(deadline); late >= 0 && late <= slack {
		return nil
	}
	s.deadline = deadline.Add(slack)
	return s.conn.SetDeadline(s.deadline)
}

// interrupt ends what waits on the socket, if it still belongs to that context. Another goroutine calls it.
func (s *socket) interrupt(ended <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == ended {
		s.deadline = time.Time{}
		_ = s.conn.SetDeadline(time.Unix(1, 0))
	}
}

// stale reports whether a post failed because the service had closed an idle socket.
func (s *socket) stale(err error) bool {
	return s.reused && !s.heard && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errAnswer)
}

// write writes a request.
func (s *socket) write(request []byte) error {
	s.heard = false
	_, err := s.conn.Write(request)
	return err
}

// read reads one answer. It passes over those that announce another (1xx).
func (s *socket) read() (answer, error) {
	for range 8 {
		a, err := s.head()
		if err != nil {
			return answer{}, err
		}
		if a.status >= 200 {
			a.keep = a.keep && s.skip(a) && s.in.Buffered() == 0 // else somebody speaks who was not asked
			return a, nil
		}
	}
	return answer{}, errAnswer
}

// head reads the status line and the headers that matter.
func (s *socket) head() (answer, error) {
	a := answer{length: -1}
	line, err := s.line()
	if err != nil {
		return a, err
	}
	s.heard = true
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return a, errAnswer
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil || a.status < 100 {
		return a, errAnswer
	}
	a.keep = line[7] == '1'
	for read := len(line); read <= maxHeader; read += len(line) + 2 {
		if line, err = s.line(); err != nil {
			return a, err
		}
		if len(line) == 0 {
			if a.chunked && a.length >= 0 {
				return a, errAnswer
			}
			return a, nil
		}
		if err := a.header(line); err != nil {
			return a, err
		}
	}
	return a, errAnswer
}

// header notes what a header says. One that makes it unclear where the answer ends makes it malformed
// (RFC 9112, section 6.3).
func (a *answer) header(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return errAnswer
	}
	value = bytes.TrimSpace(value)
	switch {
	case equal(name, "content-length"):
		length, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil || a.length >= 0 && a.length != int(length) {
			return errAnswer
		}
		a.length = int(length)
	case equal(name, "transfer-encoding"):
		if a.chunked || !equal(value, "chunked") {
			return errAnswer
		}
		a.chunked = true
	case equal(name, "connection"):
		a.keep = a.keep && !equal(value, "close")
	case equal(name, "date") && a.status == http.StatusForbidden:
		a.date, _ = http.ParseTime(string(value))
	}
	return nil
}

// line reads a line without its end.
func (s *socket) line() ([]byte, error) {
	line, err := s.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errAnswer
	case errors.Is(err, io.EOF) && len(line) > 0:
		s.heard = true
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// skip reads the body away, and reports whether it came to its end.
func (s *socket) skip(a answer) bool {
	switch {
	case a.status == http.StatusNoContent || a.status == http.StatusNotModified:
		return true
	case a.chunked:
		return s.skipChunks()
	case a.length < 0 || a.length > maxBody:
		return false
	}
	_, err := s.in.Discard(a.length)
	return err == nil
}

// skipChunks reads chunks and trailers.
func (s *socket) skipChunks() bool {
	n, err := io.Copy(io.Discard, io.LimitReader(httputil.NewChunkedReader(s.in), maxBody+1))
	for read := 0; err == nil && n <= maxBody && read <= maxHeader; {
		var line []byte
		if line, err = s.line(); err == nil && len(line) == 0 {
			return true
		}
		read += len(line) + 2
	}
	return false
}

// equal compares a token with one in lower case.
func equal(token []byte, lower string) bool {
	if len(token) != len(lower) {
		return false
	}
	for i, c := range token {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
