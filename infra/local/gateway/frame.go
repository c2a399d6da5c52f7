package gateway

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
)

var errFrameTooBig = errors.New("frame exceeds the frame limit")

// frameConn enforces the frame limit, which a reader of whole messages cannot see. It reads the frame headers
// (RFC 6455 §5.2) of what a client sends and hands every frame on unchanged, up to the first data frame over the limit. There one Read
// fails with errFrameTooBig. Reads after it skip data frames and hand on control frames only, so that the closing
// handshake still works.
type frameConn struct {
	net.Conn
	in    *bufio.Reader // of Conn
	limit uint64

	header  [14]byte
	head    []byte // the part of header that is not handed on yet
	left    uint64 // payload bytes of the current frame that are not read yet
	skip    bool   // the current frame is not handed on
	refused bool
}

// Read is called by one goroutine at a time.
func (f *frameConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case len(f.head) > 0:
			n := copy(p, f.head)
			f.head = f.head[n:]
			return n, nil
		case f.left > 0:
			n, err := f.in.Read(p[:min(uint64(len(p)), f.left)])
			f.left -= uint64(n)
			if !f.skip || err != nil {
				return n, err
			}
		default:
			if err := f.next(); err != nil {
				return 0, err
			}
		}
	}
}

// next reads the next frame's header.
func (f *frameConn) next() error {
	h := f.header[:2]
	if _, err := io.ReadFull(f.in, h); err != nil {
		return err
	}
	size, wide := uint64(h[1]&0x7f), 0
	switch size {
	case 126:
		wide = 2
	case 127:
		wide = 8
	}
	if h[1]&0x80 != 0 {
		h = f.header[:2+wide+4] // and the masking key
	} else {
		h = f.header[:2+wide]
	}
	if _, err := io.ReadFull(f.in, h[2:]); err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF // the header has begun
		}
		return err
	}
	switch wide {
	case 2:
		size = uint64(binary.BigEndian.Uint16(h[2:]))
	case 8:
		size = binary.BigEndian.Uint64(h[2:])
	}

	control := h[0]&0x08 != 0
	f.left = size
	if !control && size > f.limit && !f.refused {
		f.refused, f.skip = true, true
		return errFrameTooBig
	}
	f.skip = f.refused && !control
	if !f.skip {
		f.head = h
	}
	return nil
}

// upgrader is a ResponseWriter whose hijacked connection is a frameConn.
type upgrader struct {
	http.ResponseWriter
	maxFrame, socketBuffer int
	sock                   *frameConn // set by Hijack
}

func (u *upgrader) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok && u.socketBuffer > 0 {
		_ = tcp.SetWriteBuffer(u.socketBuffer) // a refusal leaves the kernel's choice, which works too
	}
	// The server's own reader is bound to the request that it parsed; keep only what it had read ahead.
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	rw.Reader.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), conn))
	u.sock = &frameConn{Conn: conn, in: rw.Reader, limit: uint64(u.maxFrame)}
	return u.sock, bufio.NewReadWriter(bufio.NewReader(u.sock), rw.Writer), nil
}
