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

// logs is a folder with a file for each process and function.
type logs struct {
	dir  string
	tell func(name, line string) // sees every line; nil for nobody

	mu    sync.Mutex
	files map[string]*logFile
}

type logFile struct {
	f    *os.File
	size int
}

func newLogs(dir string, tell func(name, line string)) (*logs, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	return &logs{dir: dir, tell: tell, files: map[string]*logFile{}}, os.MkdirAll(dir, 0o755)
}

func (l *logs) path(name string) string { return filepath.Join(l.dir, name+".log") }

func (l *logs) lines(name string) func(string) {
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
	file := l.files[name]
	if file != nil && file.size > maxLog {
		_ = file.f.Close()
		_ = os.Rename(l.path(name), l.path(name)+".1")
		file = nil
	}
	if file == nil {
		f, err := os.OpenFile(l.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return
		}
		file = &logFile{f: f}
		l.files[name] = file
	}
	n, _ := fmt.Fprintln(file.f, strings.TrimRight(line, "\r\n"))
	file.size += n
}

// Write makes logs a place for the stack's own structured log.
func (l *logs) Write(b []byte) (int, error) {
	l.write("stack", string(b))
	return len(b), nil
}

func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, file := range l.files {
		_ = file.f.Close()
		delete(l.files, name)
	}
}
