package gateway

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// bare is a net.Conn that can only be read.
type bare struct {
	net.Conn
	io.Reader
}

func (b bare) Read(p []byte) (int, error) { return b.Reader.Read(p) }

func framesOf(r io.Reader, limit uint64) *frameConn {
	return &frameConn{Conn: bare{}, in: bufio.NewReaderSize(r, 16), limit: limit}
}

// frame encodes one frame; the length takes the form that wide asks for, minimal or not.
func frame(opcode byte, payload []byte, wide int, masked bool) []byte {
	var b []byte
	switch {
	case wide == 8 || len(payload) > 0xffff:
		b = binary.BigEndian.AppendUint64([]byte{opcode, 127}, uint64(len(payload)))
	case wide == 2 || len(payload) > 125:
		b = binary.BigEndian.AppendUint16([]byte{opcode, 126}, uint16(len(payload)))
	default:
		b = []byte{opcode, byte(len(payload))}
	}
	if masked {
		b[1] |= 0x80
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, payload...)
}

// readInPieces reads until an error, in pieces of at most size bytes.
func readInPieces(f *frameConn, size int) ([]byte, error) {
	var all []byte
	p := make([]byte, size)
	for {
		n, err := f.Read(p)
		all = append(all, p[:n]...)
		if err != nil {
			return all, err
		}
	}
}

// However the bytes arrive and are read: frames pass unchanged up to the first data frame over the limit; there one read
// fails; after it only control frames pass.
func TestFrameLimit(t *testing.T) {
	const limit = 300
	rapid.Check(t, func(t *rapid.T) {
		var in, before, after []byte
		refused := false
		for range rapid.IntRange(0, 12).Draw(t, "frames") {
			opcode := rapid.SampledFrom([]byte{0x81, 0x01, 0x80, 0x00, 0x82, 0x88, 0x89, 0x8a}).Draw(t, "opcode")
			control := opcode&0x08 != 0
			most := 2 * limit
			if control {
				most = 125
			}
			payload := rapid.SliceOfN(rapid.Byte(), 0, most).Draw(t, "payload")
			wide := rapid.SampledFrom([]int{0, 2, 8}).Draw(t, "wide")
			b := frame(opcode, payload, wide, rapid.Bool().Draw(t, "masked"))
			in = append(in, b...)
			refused = refused || !control && len(payload) > limit
			switch {
			case !refused:
				before = append(before, b...)
			case control:
				after = append(after, b...)
			}
		}
		var r io.Reader = bytes.NewReader(in)
		if rapid.Bool().Draw(t, "byte by byte") {
			r = iotest.OneByteReader(r)
		}
		f := framesOf(r, limit)
		size := rapid.IntRange(1, 64).Draw(t, "read size")
		got, err := readInPieces(f, size)
		if !bytes.Equal(got, before) {
			t.Fatalf("before: got %x, want %x", got, before)
		}
		if !refused {
			if err != io.EOF {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, errFrameTooBig) {
			t.Fatal(err)
		}
		if got, err = readInPieces(f, size); !bytes.Equal(got, after) || err != io.EOF {
			t.Fatalf("after: got %x %v, want %x", got, err, after)
		}
	})
}

func TestFrameHeaderCutShort(t *testing.T) {
	whole := frame(0x81, make([]byte, 200), 0, true)
	for n := 1; n < 8; n++ {
		if got, err := readInPieces(framesOf(bytes.NewReader(whole[:n]), 300), 64); len(got) > 0 || err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %x %v", n, got, err)
		}
	}
}

func TestFrameLengthBeyondInt64(t *testing.T) {
	f := framesOf(bytes.NewReader([]byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), 300)
	if _, err := f.Read(make([]byte, 64)); !errors.Is(err, errFrameTooBig) {
		t.Fatal(err)
	}
}
