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
	"maps"
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

// A message goes through Sending, Sent (or Quarantined, or Archived) and Deleted. One that is Sending and nothing more
// was in flight when the run was killed: it may have been sent, and is sent again.
const (
	Began       Outcome = "began"       // the run, or its resumption
	Sending     Outcome = "sending"     // about to be sent, or the first of several that are sent for it
	Sent        Outcome = "sent"        // confirmed by the target, all that is sent for it
	Quarantined Outcome = "quarantined" // confirmed by the quarantine
	Archived    Outcome = "archived"    // confirmed by the archive
	Deleted     Outcome = "deleted"     // confirmed by the source
	Failed      Outcome = "failed"      // not confirmed by the target, or not all of it: it stays
	Kept        Outcome = "kept"        // it stays, for a reason of ours
	Ended       Outcome = "ended"       // the run, for this time
)

// gone reports that a message is where it was to go, and has only to be deleted.
func (o Outcome) gone() bool { return o == Sent || o == Quarantined || o == Archived }

// maxLine is the longest line that is read, in bytes. The longest that is written has the filter in it.
const maxLine = 1 << 20

// Line is a line of the log. It holds no body: a message is known by its id and the SHA-256 of its body.
type Line struct {
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	ID      string    `json:"id,omitempty"`
	SHA256  string    `json:"sha256,omitempty"` // in hexadecimal digits; of the body that goes to the target, the first if there are several, or of that at rest
	Target  string    `json:"target,omitempty"`
	Why     string    `json:"why,omitempty"`
	Without []string  `json:"without,omitempty"` // attributes that had no room
	Count   int       `json:"count,omitempty"`   // how often it was replayed, this time included

	Run    string  `json:"run,omitempty"`  // these of the run
	Hold   float64 `json:"hold,omitempty"` // in seconds
	Source string  `json:"source,omitempty"`
	Filter string  `json:"filter,omitempty"`
	By     string  `json:"by,omitempty"`
	Result *Result `json:"result,omitempty"`
}

// Log is the file of a run: its audit, and what a resumption goes by. A line that says what happened is on disk
// before the run goes on. It is used by one goroutine of one process. A nil Log keeps nothing.
type Log struct {
	file     file
	whole    int64 // bytes of whole lines
	broken   error // why nothing more can be written
	begin    Line
	hold     time.Duration // the longest of the run and its resumptions
	resumed  bool
	phases   map[string]Outcome // of each message that was being sent, the furthest
	unmarked map[string]bool    // digests of what was sent without its run, for want of room
}

// file is what a log needs of an [os.File].
type file interface {
	io.WriteSeeker
	io.Closer
	Name() string
	Truncate(size int64) error
	Sync() error
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
	l := &Log{file: file, phases: map[string]Outcome{}, unmarked: map[string]bool{}}
	if err := l.load(file, run); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

func (l *Log) load(file *os.File, run string) (err error) {
	if err := Lock(file); err != nil {
		return fmt.Errorf("run %s is going on in another process: %w", run, err)
	}
	if l.whole, err = lines(file, l.note); err != nil {
		return fmt.Errorf("%s: %w", file.Name(), err)
	}
	// A killed process may have written half a line: nothing hangs on it, since it was not on disk in whole.
	if err := l.cut(); err != nil {
		return err
	}
	l.resumed = l.begin.Run != ""
	return syncFolder(filepath.Dir(l.file.Name()))
}

// cut leaves whole lines, and goes to their end.
func (l *Log) cut() error {
	_, err := l.file.Seek(l.whole, io.SeekStart)
	return errors.Join(l.file.Truncate(l.whole), err)
}

// note takes from a line what the run goes by.
func (l *Log) note(line Line) {
	if line.Outcome == Began && l.begin.Run == "" {
		l.begin = line
	}
	if line.Outcome == Began {
		l.hold = max(l.hold, time.Duration(line.Hold*float64(time.Second)))
	}
	if line.Outcome == Sent && slices.Contains(line.Without, RunAttribute) {
		l.unmarked[line.SHA256] = true
	}
	moved(l.phases, line)
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

// Begin is the first line of the run: its queues, filter, and who began it. It is empty until the run has begun.
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

// longestHold is how long what a killed run held may be hidden.
func (l *Log) longestHold() time.Duration {
	if l == nil {
		return 0
	}
	return l.hold
}

// phase is how far a message got, or empty.
func (l *Log) phase(id string) Outcome {
	if l == nil {
		return ""
	}
	return l.phases[id]
}

// sent is how many messages the run sent, quarantined or archived so far, and how many of them it did not delete.
func (l *Log) sent() (kept, all int) {
	if l == nil {
		return 0, 0
	}
	for _, phase := range l.phases {
		switch {
		case phase.gone():
			kept++
			all++
		case phase == Deleted:
			all++
		}
	}
	return kept, all
}

// unmarkedBodies are digests of what the run sent without its name.
func (l *Log) unmarkedBodies() map[string]bool {
	if l == nil {
		return map[string]bool{}
	}
	return maps.Clone(l.unmarked)
}

// moved is how far a message got when a line was added.
func moved(phases map[string]Outcome, line Line) {
	switch before := phases[line.ID]; {
	case line.Outcome.gone(), line.Outcome == Deleted:
		phases[line.ID] = line.Outcome
	case line.Outcome == Sending && before == "":
		phases[line.ID] = Sending
	case line.Outcome == Failed && before == Sending:
		delete(phases, line.ID)
	}
}

// write appends lines, in one piece or not at all. Those that a resumption goes by are on disk when it returns. What
// happened is noted in any case.
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
		l.note(line)
		durable = durable || line.Outcome != Sending && line.Outcome != Kept
	}
	if l.broken != nil {
		return l.broken
	}
	if _, err := l.file.Write(text); err != nil { // a disk may be full in the middle of a line
		if wrong := l.cut(); wrong != nil {
			l.broken = fmt.Errorf("the log ends in half a line: %w", errors.Join(err, wrong))
			return l.broken
		}
		return err
	}
	l.whole += int64(len(text))
	if durable {
		l.broken = l.file.Sync() // what one failed to bring to disk, the next does not either, and does not say so
	}
	return l.broken
}

// Summary is a run in short.
type Summary struct {
	Run, Source, Target, Filter, By string
	Began, Last                     time.Time
	Sent, Quarantined, Archived     int
	Deleted                         int
	Unsure                          int     // in flight when the run was killed
	Result                          *Result // of its latest end; nil if it was killed before
	Problem                         string  // why the rest of the log cannot be read, or empty
}

// History returns the runs of a folder, the latest first, and of one whose log is broken what can be read. A folder that
// is not there has none.
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
		if s.Run = run; err != nil {
			s.Problem = err.Error()
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Summary) int { return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(a.Run, b.Run)) })
	return all, nil
}

// Audit visits all that a run did, in order, as far as its log can be read. The error of a run that is not there is
// [fs.ErrNotExist].
func Audit(folder, run string, visit func(Line)) error {
	if !runName.MatchString(run) {
		return fmt.Errorf("%q is no name of a run: %w", run, fs.ErrNotExist)
	}
	file, err := os.Open(filepath.Join(folder, run+extension))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = lines(file, visit)
	return err
}

func summary(path string) (Summary, error) {
	file, err := os.Open(path)
	if err != nil {
		return Summary{}, err
	}
	defer file.Close()
	var s Summary
	phases, went := map[string]Outcome{}, map[string]Outcome{}
	_, err = lines(file, func(line Line) {
		s.Last = line.At
		if line.Outcome.gone() {
			went[line.ID] = line.Outcome
		}
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
		}
	}
	for _, where := range went {
		switch where {
		case Sent:
			s.Sent++
		case Quarantined:
			s.Quarantined++
		case Archived:
			s.Archived++
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
