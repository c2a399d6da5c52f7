package lambdahost

import (
	"bytes"
	"sync"
)

// maxLine bounds what is held of a line that does not end.
const maxLine = 256 << 10

// lines is a writer that passes on whole lines.
type lines struct {
	emit func(string)

	mu   sync.Mutex
	held []byte
}

// Write never fails: a function must not die of its log.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := len(p)
	for len(p) > 0 {
		part, rest, whole := bytes.Cut(p, []byte{'\n'})
		if room := maxLine - len(l.held); len(part) > room {
			l.held = append(l.held, part[:room]...)
			p = p[room:]
			whole = true
		} else {
			l.held = append(l.held, part...)
			p = rest
		}
		if whole {
			l.pass()
		}
	}
	return size, nil
}

// flush passes on a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) > 0 {
		l.pass()
	}
}

func (l *lines) pass() {
	l.emit(string(bytes.TrimSuffix(l.held, []byte{'\r'})))
	l.held = l.held[:0]
}
