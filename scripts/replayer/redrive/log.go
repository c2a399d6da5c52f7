package redrive

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const extension = ".jsonl"

var runName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// NewRun returns the name of a new run: the time, and four random digits.
func NewRun(now time.Time) string {
	random := make([]byte, 2)
	_, _ = rand.Read(random)
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random)
}

// Outcome is what a line of the log says.
type Outcome string

// A message goes through Sending, Sent and Deleted. One that is Sending and nothing more was in flight when the
// run was killed: it may have been sent, and is sent again.
const (
	Began   Outcome = "began"   // the run, or its resumption
	Sending Outcome = "sending" // about to be sent
	Sent    Outcome = "sent"    // confirmed by the target
	Deleted Outcome = "deleted" // confirmed by the source
	Failed  Outcome = "failed"  // not confirmed by the target: it stays
	Kept    Outcome = "kept"    // it stays, for a reason of ours
	Ended   Outcome = "ended"   // the run, for this time
)

// maxLine is the longest line that is read, in bytes. The longest that is written has the filter in it.
const maxLine = 1 << 20

// Line is a line of the log. It holds no body: a message is known by its id and the SHA-256 of its body.
type Line struct {
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	ID      string    `json:"id,omitempty"`
	SHA256  string    `json:"sha256,omitempty"` // in hexadecimal digits
	Target  string    `json:"target,omitempty"`
	Why     string    `json:"why,omitempty"`
	Without []string  `json:"without,omitempty"` // attributes that had no room
	Count   int       `json:"count,omitempty"`   // how often it was replayed, this time included

	Run    string  `json:"run,omitempty"` // these of the run
	Source string  `json:"source,omitempty"`
	Filter string  `json:"filter,omitempty"`
	By     string  `json:"by,omitempty"`
	Result *Result `json:"result,omitempty"`
}

// Log is the file of a run: its audit, and what a resumption goes by. A line that says Sent or Deleted is on disk
// before the run goes on. It is used by one goroutine of one process. A nil Log keeps nothing.
type Log struct {
	file    *os.File
	begin   Line
	resumed bool
	phases  map[string]Outcome // of each message that was being sent, the furthest
}

// Open makes the log of a new run in the folder, or opens that of one that is there, to resume it. It fails while
// another process runs it.
func Open(folder, run string) (*Log, error) {
	if !runName.MatchString(run) {
		return nil, fmt.Errorf("%q is no name of a run: up to 64 letters, digits, dots, hyphens and underscores", run)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, run+extension), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{file: file, phases: map[string]Outcome{}}
	if err := l.load(run); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

func (l *Log) load(run string) error {
	if err := lock(l.file); err != nil {
		return fmt.Errorf("run %s is going on in another process: %w", run, err)
	}
	whole, err := lines(l.file, func(line Line) {
		if line.Outcome == Began && l.begin.Run == "" {
			l.begin = line
		}
		moved(l.phases, line)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l.file.Name(), err)
	}
	// A killed process may have written half a line: nothing hangs on it, since it was not on disk in whole.
	if err := l.file.Truncate(whole); err != nil {
		return err
	}
	if _, err := l.file.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	l.resumed = l.begin.Run != ""
	return syncFolder(filepath.Dir(l.file.Name()))
}

// lines reads the whole lines of a log, and returns how many bytes they have.
func lines(r io.Reader, each func(Line)) (whole int64, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		text, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return whole, nil
		case err != nil:
			return whole, fmt.Errorf("line %d: %w", n, err)
		}
		var line Line
		if err := json.Unmarshal(text, &line); err != nil {
			return whole, fmt.Errorf("line %d is not of a run: %w", n, err)
		}
		whole += int64(len(text))
		each(line)
	}
}

// Resumed reports whether the run had begun before.
func (l *Log) Resumed() bool { return l != nil && l.resumed }

// Begin is the first line of the run: its queues, filter, and who began it. It is empty if the run is new.
func (l *Log) Begin() Line { return l.begin }

// Path is where the log is.
func (l *Log) Path() string { return l.file.Name() }

// Close closes the log.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// phase is how far a message got, or empty.
func (l *Log) phase(id string) Outcome {
	if l == nil {
		return ""
	}
	return l.phases[id]
}

// sent is how many messages the run sent so far, and how many of them it did not delete.
func (l *Log) sent() (kept, all int) {
	if l == nil {
		return 0, 0
	}
	for _, phase := range l.phases {
		switch phase {
		case Sent:
			kept++
			all++
		case Deleted:
			all++
		}
	}
	return kept, all
}

// moved is how far a message got when a line was added.
func moved(phases map[string]Outcome, line Line) {
	switch before := phases[line.ID]; {
	case line.Outcome == Sent, line.Outcome == Deleted:
		phases[line.ID] = line.Outcome
	case line.Outcome == Sending && before == "":
		phases[line.ID] = Sending
	case line.Outcome == Failed && before == Sending:
		delete(phases, line.ID)
	}
}

// write appends lines, in one piece. Those that a resumption goes by are on disk when it returns.
func (l *Log) write(entries ...Line) error {
	if l == nil || len(entries) == 0 {
		return nil
	}
	var text []byte
	durable := false
	now := time.Now().UTC()
	for _, line := range entries {
		line.At = now
		one, err := json.Marshal(line)
		if err != nil {
			return err
		}
		text = append(append(text, one...), '\n')
		moved(l.phases, line)
		durable = durable || line.Outcome != Sending && line.Outcome != Kept
	}
	if _, err := l.file.Write(text); err != nil {
		return err
	}
	if durable {
		return l.file.Sync()
	}
	return nil
}

// Summary is a run in short.
type Summary struct {
	Run, Source, Target, Filter, By string
	Began, Last                     time.Time
	Sent, Deleted                   int
	Unsure                          int     // in flight when the run was killed
	Result                          *Result // of its latest end; nil if it was killed before
}

// History returns the runs of a folder, the latest first. A folder that is not there has none.
func History(folder string) ([]Summary, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, entry := range entries {
		run, ok := strings.CutSuffix(entry.Name(), extension)
		if !ok {
			continue
		}
		s, err := summary(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", run, err)
		}
		s.Run = run
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Summary) int { return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(a.Run, b.Run)) })
	return all, nil
}

func summary(path string) (Summary, error) {
	file, err := os.Open(path)
	if err != nil {
		return Summary{}, err
	}
	defer file.Close()
	var s Summary
	phases := map[string]Outcome{}
	_, err = lines(file, func(line Line) {
		s.Last = line.At
		switch line.Outcome {
		case Began:
			if s.Began.IsZero() {
				s.Began, s.Source, s.Target, s.Filter, s.By = line.At, line.Source, line.Target, line.Filter, line.By
			}
			s.Result = nil
		case Ended:
			s.Result = line.Result
		}
		moved(phases, line)
	})
	for _, phase := range phases {
		switch phase {
		case Sending:
			s.Unsure++
		case Deleted:
			s.Deleted++
			s.Sent++
		case Sent:
			s.Sent++
		}
	}
	return s, err
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
