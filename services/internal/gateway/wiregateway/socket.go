package wiregateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
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
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	used    time.Time
	reused  bool // it has carried a post before
	heard   bool // something of the present answer has come
}

// answer is what matters of a response.
type answer struct {
	status int
	date   time.Time // of a refusal; else zero
	keep   bool      // the socket can be used again
}

func newSocket(conn net.Conn) *socket {
	return &socket{conn: conn, in: bufio.NewReaderSize(conn, 4096)}
}

func (s *socket) close() { _ = s.conn.Close() }

// interrupt ends what waits on the socket. Another goroutine may call it.
func (s *socket) interrupt() { _ = s.conn.SetDeadline(time.Unix(1, 0)) }

// stale reports whether a post failed because the service had closed an idle socket.
func (s *socket) stale(err error) bool {
	return s.reused && !s.heard && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errAnswer)
}

// exchange writes the request and reads the answer.
func (s *socket) exchange() (answer, error) {
	s.heard = false
	if _, err := s.conn.Write(s.request); err != nil {
		return answer{}, err
	}
	return s.read()
}

// read reads one answer. It passes over those that announce another (1xx).
func (s *socket) read() (answer, error) {
	for range 8 {
		a, length, err := s.head()
		if err != nil {
			return answer{}, err
		}
		if a.status >= 200 {
			return s.body(a, length)
		}
	}
	return answer{}, errAnswer
}

// head reads the status line and the headers that matter. The length of the body is negative where it is
// not told in one number.
func (s *socket) head() (a answer, length int, err error) {
	line, err := s.line()
	if err != nil {
		return a, 0, err
	}
	s.heard = true
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return a, 0, errAnswer
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil || a.status < 100 {
		return a, 0, errAnswer
	}
	a.keep = line[7] == '1'
	length = -1
	for read := len(line); ; read += len(line) + 2 {
		if line, err = s.line(); err != nil {
			return a, 0, err
		}
		if len(line) == 0 {
			return a, length, nil
		}
		if read > maxHeader {
			return a, 0, errAnswer
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return a, 0, errAnswer
		}
		value = bytes.TrimSpace(value)
		switch {
		case equal(name, "content-length"):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return a, 0, errAnswer
			}
		case equal(name, "connection"):
			a.keep = a.keep && !equal(value, "close")
		case equal(name, "transfer-encoding"):
			a.keep = false // its end is not worth the reading
		case equal(name, "date") && a.status == http.StatusForbidden:
			a.date, _ = http.ParseTime(string(value))
		}
	}
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

// body reads the body away, if that saves the socket.
func (s *socket) body(a answer, length int) (answer, error) {
	switch {
	case a.status == http.StatusNoContent || a.status == http.StatusNotModified:
		return a, nil
	case length < 0 || length > maxBody:
		a.keep = false
	}
	if !a.keep {
		return a, nil
	}
	if _, err := s.in.Discard(length); err != nil {
		a.keep = false // the status is known all the same
	}
	if s.in.Buffered() > 0 {
		a.keep = false // somebody speaks who was not asked
	}
	return a, nil
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
