package contracts

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads one JSON document from front to back, and holds it against a schema as it goes: the
// generated methods in zz_validate.go say which. It builds no tree.
//
// It may only err on one side. What it accepts is valid; what it does not accept, [judge] decides on.
// So it gives up at the first fault without saying which, and it gives up where a known member is
// repeated, although the last one would count.
//
// A reader of a value starts at the value's first byte and ends behind its last. Behind a failure there
// is nothing left to read, so that loops end by themselves.
type scanner struct {
	document []byte
	at       int // of the next byte
	depth    int // objects and arrays that are open
	failed   bool
	scratch  []byte // what texts with escapes stand for; only ever appended to
}

func (s *scanner) fail() {
	s.failed = true
	s.at = len(s.document)
}

func (s *scanner) check(ok bool) {
	if !ok {
		s.fail()
	}
}

// done reports whether the whole document was read, and all of it was right.
func (s *scanner) done() bool {
	s.peek()
	return !s.failed && s.at == len(s.document)
}

// peek skips space and returns the byte behind it, or 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.document) {
		c := s.document[s.at]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.at++
	}
	return 0
}

func (s *scanner) enter(bracket byte) {
	if s.peek() != bracket || s.depth >= MaxDepth {
		s.fail()
		return
	}
	s.depth++
	s.at++
}

func (s *scanner) leave() {
	s.depth--
	s.at++
}

// object enters an object and returns the name of its first member, or false where it has none. A name
// is valid for as long as the scanner is.
func (s *scanner) object() (name []byte, more bool) {
	s.enter('{')
	if s.peek() == '}' {
		s.leave()
		return nil, false
	}
	return s.name()
}

// member returns the name of the next member, or false behind the last one.
func (s *scanner) member() (name []byte, more bool) {
	switch s.peek() {
	case ',':
		s.at++
		s.peek()
		return s.name()
	case '}':
		s.leave()
	default:
		s.fail()
	}
	return nil, false
}

func (s *scanner) name() ([]byte, bool) {
	name := s.text()
	if s.peek() != ':' {
		s.fail()
		return nil, false
	}
	s.at++
	s.peek()
	return name, true
}

// array enters an array and reports whether it has an item.
func (s *scanner) array() bool {
	s.enter('[')
	if s.peek() == ']' {
		s.leave()
		return false
	}
	return !s.failed
}

// item reports whether another item follows.
func (s *scanner) item() bool {
	switch s.peek() {
	case ',':
		s.at++
		s.peek()
		return true
	case ']':
		s.leave()
	default:
		s.fail()
	}
	return false
}

// once marks a member as seen.
func (s *scanner) once(seen, member uint64) uint64 {
	if seen&member != 0 {
		s.fail()
	}
	return seen | member
}

// again goes back to a value that was read, and returns where to resume.
func (s *scanner) again(value int) int {
	at := s.at
	if !s.failed {
		s.at = value
	}
	return at
}

func (s *scanner) resume(at int) {
	if !s.failed {
		s.at = at
	}
}

// startsWith reports whether a value that was read starts with one of some bytes.
func (s *scanner) startsWith(value int, first string) bool {
	return strings.IndexByte(first, s.document[value]) >= 0
}

// raw copies the value from there to here; it is nil for null.
func (s *scanner) raw(from int) []byte {
	if s.failed || s.document[from] == 'n' {
		return nil
	}
	return bytes.Clone(s.document[from:s.at])
}

// skip reads a value that no schema describes.
func (s *scanner) skip() {
	switch s.peek() {
	case '{':
		for _, more := s.object(); more; _, more = s.member() {
			s.skip()
		}
	case '[':
		for more := s.array(); more; more = s.item() {
			s.skip()
		}
	case '"':
		s.text()
	case 'n':
		s.null()
	case 't', 'f':
		s.boolean()
	default:
		s.number()
	}
}

// skipOf skips a value that starts with one of some bytes.
func (s *scanner) skipOf(first string) {
	s.check(strings.IndexByte(first, s.peek()) >= 0)
	s.skip()
}

func (s *scanner) word(w string) bool {
	if len(s.document)-s.at < len(w) || string(s.document[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) null() { s.check(s.word("null")) }

func (s *scanner) boolean() bool {
	if s.word("true") {
		return true
	}
	s.check(s.word("false"))
	return false
}

// What a byte means inside a text.
const (
	plainByte = iota
	quoteByte
	escapeByte
	wideByte
	forbiddenByte
)

var textBytes = func() (meaning [256]uint8) {
	for c := range meaning {
		switch {
		case c == '"':
			meaning[c] = quoteByte
		case c == '\\':
			meaning[c] = escapeByte
		case c < ' ':
			meaning[c] = forbiddenByte
		case c >= utf8.RuneSelf:
			meaning[c] = wideByte
		}
	}
	return meaning
}()

// text reads a text and returns what it stands for: a part of the document, or of scratch.
func (s *scanner) text() []byte {
	if s.at >= len(s.document) || s.document[s.at] != '"' {
		s.fail()
		return nil
	}
	start := s.at + 1
	end := s.plain(start)
	if end < len(s.document) && s.document[end] == '"' {
		s.at = end + 1
		return s.document[start:end]
	}
	begin := len(s.scratch)
	for end < len(s.document) && s.document[end] == '\\' {
		s.scratch = append(s.scratch, s.document[start:end]...)
		start = end + s.unescape(s.document[end:])
		if start == end {
			break
		}
		end = s.plain(start)
		if end < len(s.document) && s.document[end] == '"' {
			s.scratch = append(s.scratch, s.document[start:end]...)
			s.at = end + 1
			return s.scratch[begin:len(s.scratch):len(s.scratch)]
		}
	}
	s.fail()
	return nil
}

// plain returns the place of the first byte, from i on, that ends a text, starts an escape, or must not
// be in a text.
func (s *scanner) plain(i int) int {
	for i < len(s.document) {
		switch textBytes[s.document[i]] {
		case plainByte:
			i++
		case wideByte:
			_, size := utf8.DecodeRune(s.document[i:])
			if size == 1 {
				return i // not UTF-8
			}
			i += size
		default:
			return i
		}
	}
	return i
}

const (
	shortEscapes  = `"\/bfnrt`
	shortMeanings = "\"\\/\b\f\n\r\t"
)

// unescape adds what the escape at the start of b stands for to scratch. It returns the length of the
// escape, or 0 where it is none.
func (s *scanner) unescape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if short := strings.IndexByte(shortEscapes, b[1]); short >= 0 {
		s.scratch = append(s.scratch, shortMeanings[short])
		return 2
	}
	r, ok := hexEscape(b)
	if !ok {
		return 0
	}
	size := 6
	if utf16.IsSurrogate(r) {
		// Half a pair stands for U+FFFD, as it does for encoding/json.
		low, ok := hexEscape(b[size:])
		if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
			size = 12
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return size
}

// hexEscape reads \uXXXX.
func hexEscape(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
