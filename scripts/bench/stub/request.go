package stub

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxBody is the most that API Gateway takes, and one byte, so that more is noticed.
const maxBody = 128<<10 + 1

// request is one request. All of it is valid until the next one is read.
type request struct {
	method, target, id, body []byte
	header                   []byte // the header lines as they came
}

type requestReader struct {
	in     *bufio.Reader
	line   []byte
	header []byte
	body   []byte
}

func newRequestReader(r io.Reader) *requestReader {
	// Plain designs open a connection for each post: a reader must be small.
	return &requestReader{in: bufio.NewReaderSize(r, 4<<10)}
}

var (
	contentLength = []byte("content-length:")
	connections   = []byte("/@connections/")
)

// next reads a request to its end.
func (r *requestReader) next() (request, error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return request{}, err
	}
	r.line = append(r.line[:0], line...)
	method, rest, _ := bytes.Cut(r.line, []byte(" "))
	target, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return request{}, errRequest
	}
	length := 0
	r.header = r.header[:0]
	for {
		line, err := r.in.ReadSlice('\n')
		if err != nil {
			return request{}, err
		}
		if len(line) <= len("\r\n") {
			break
		}
		r.header = append(r.header, line...)
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil || length < 0 || length > maxBody {
				return request{}, errRequest
			}
		}
	}
	if cap(r.body) < length {
		r.body = make([]byte, length)
	}
	r.body = r.body[:length]
	if _, err := io.ReadFull(r.in, r.body); err != nil {
		return request{}, err
	}
	_, id, _ := bytes.Cut(target, connections)
	return request{method: method, target: target, id: id, body: r.body, header: r.header}, nil
}

// answers are what each status looks like on the wire, after the date.
var answers = map[int]string{
	http.StatusOK:                  answer("", ""),
	http.StatusGone:                answer("GoneException", ""),
	http.StatusForbidden:           answer("ForbiddenException", `{"message":"Forbidden"}`),
	http.StatusTooManyRequests:     answer("LimitExceededException", `{"message":"Too Many Requests"}`),
	http.StatusInternalServerError: answer("InternalServerError", `{"message":"Internal server error"}`),
}

func answer(kind, body string) string {
	if kind != "" {
		kind = "x-amzn-ErrorType: " + kind + "\r\n"
	}
	return fmt.Sprintf("\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n"+
		"x-amzn-RequestId: 8b5f1a52-6c1a-4e2a-9a54-2f6f5d1f0c11\r\nx-amz-apigw-id: TrUwpGzUIAMEVdg=\r\n%s\r\n%s", len(body), kind, body)
}

// appendAnswer writes an answer. Its date is right: the SDK signs by it if it thinks its own clock
// is wrong.
func appendAnswer(b []byte, status int, now time.Time) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(b, "\r\nDate: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	return append(b, answers[status]...)
}
