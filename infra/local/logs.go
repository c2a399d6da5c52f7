package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxLog bounds a log file; the one before it is kept, so a log takes at most twice as much.
const maxLog = 16 << 20

// logs is a folder with a file for each process and function. A run begins its own files anew and
// leaves alone what else is in the folder, which may be the user's.
type logs struct {
	dir  string
	tell func(name, line string) // sees every line; nil for nobody

	mu     sync.Mutex
	files  map[string]*logFile
	closed bool
}

type logFile struct {
	f    *os.File
	size int
}

func newLogs(dir string, tell func(name, line string)) (*logs, error) {
	return &logs{dir: dir, tell: tell, files: map[string]*logFile{}}, os.MkdirAll(dir, 0o755)
}

func (l *logs) path(name string) string { return filepath.Join(l.dir, name+".log") }

// lines writes to name's file, which it begins: a part that has nothing to say leaves an empty one.
func (l *logs) lines(name string) func(string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open(name)
	return func(line string) { l.write(name, line) }
}

// write appends a line to name's file. A full disk must not stop the system, so errors are left
// to the next look at the file.
func (l *logs) write(name, line string) {
	if l.tell != nil {
		l.tell(name, line)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if file := l.open(name); file != nil {
		n, _ := fmt.Fprintln(file.f, strings.TrimRight(line, "\r\n"))
		file.size += n
	}
}

// open returns name's file, a new one at first and in place of one that is full; nil where there
// is none. The caller holds mu.
func (l *logs) open(name string) *logFile {
	file, begun := l.files[name]
	switch {
	case l.closed:
		return nil
	case !begun:
		_ = os.Remove(l.path(name) + ".1") // of an earlier run
	case file.size <= maxLog:
		return file
	default:
		_ = file.f.Close()
		_ = os.Rename(l.path(name), l.path(name)+".1")
	}
	f, err := os.OpenFile(l.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o644)
	if err != nil {
		return nil
	}
	l.files[name] = &logFile{f: f}
	return l.files[name]
}

// Write makes logs a place for the stack's own structured log.
func (l *logs) Write(b []byte) (int, error) {
	l.write("stack", string(b))
	return len(b), nil
}

// close ends all files. What is written after it only reaches tell.
func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, file := range l.files {
		_ = file.f.Close()
	}
}
