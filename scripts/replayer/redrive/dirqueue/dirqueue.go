// Package dirqueue is a folder as a queue: one file of JSON a message, for people to read, edit and keep. The folder
// of an export is the source of the import that follows, and a run's archive is one too.
//
// A file is named after its message: <id>.json, or, where an id is no plain name in small letters,
// a part of it and a hash of the whole. What was read and deleted lies in done/ below. A file begins with
//
//	id           the message's; the name of the file follows from it
//	from, to     the queue where it rested, and the one where it belongs, if that is known
//	cause        why it was dead-lettered
//	sent_at      when it entered its first queue, or else when it was written here
//	sha256       of body, trace and attributes, as they were written: who edits these leaves it
//
// and then has what is sent, and what an editor may change:
//
//	trace        AWSTraceHeader
//	attributes   by name: {"type": "String", "value": "..."}; or "base64" instead of "value"
//	body         the body, if it is a JSON object or array; its spaces and line breaks do not count
//	text         the body, if it is another text
//	base64       the body, if it is neither
//
// An unedited file comes back byte for byte: "original" has the text of a JSON body that was not compact. It counts only
// as long as it says the same as "body". "system" has what the queue said of the message.
package dirqueue

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
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
	"sync"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const (
	// MaxFile is the longest file that is read or written, in bytes: a message of [redrive.MaxBytes] in base64 has two
	// thirds of it.
	MaxFile = 2 << 20

	done      = "done"
	extension = ".json"
	// page is how many names are kept in memory at a time; so often is a large folder listed for so many files.
	page = 1000
)

// About is what is known of a message besides what is sent.
type About struct {
	From, To string            // names of queues
	Cause    string            // why it was dead-lettered
	SentAt   time.Time         // when it entered its first queue; for who does not know it, when it is written
	System   map[string]string // attributes that SQS itself gave it
	Edited   bool              // body, trace or attributes are not what was written; not for who writes
}

// Queue is a folder as a [redrive.Queue]. Several goroutines may use it, and one process at a time: what is
// hidden is hidden from this Queue only, and shows again when the process ends.
type Queue struct {
	folder string
	root   *os.Root
	about  func(redrive.Entry) About

	mu         sync.Mutex
	deliveries map[string]*delivery // by name of the file
	broken     map[string]error     // by name of the file
	names      []string             // to be received next, in order
	last       string               // the last that was listed
}

// delivery is a message that was received and not deleted.
type delivery struct {
	About
	count int
	until time.Time
}

var _ redrive.Queue = (*Queue)(nil)

// Create returns the queue in a folder, which it makes if it is not there, for its owner only. about says what is
// known of an entry that is sent; nil for nothing.
func Create(folder string, about func(redrive.Entry) About) (*Queue, error) {
	if err := create(filepath.Clean(folder)); err != nil {
		return nil, err
	}
	q, err := Open(folder)
	if err != nil {
		return nil, err
	}
	if about != nil {
		q.about = about
	}
	return q, nil
}

// create makes a folder, and those above it, and has on disk that they are there.
func create(folder string) error {
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(folder)
	if above != folder {
		if err := create(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	opened, err := os.Open(above)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// Open returns the queue in a folder, which must exist.
func Open(folder string) (*Queue, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	return &Queue{
		folder: folder, root: root, about: func(redrive.Entry) About { return About{} },
		deliveries: map[string]*delivery{}, broken: map[string]error{},
	}, nil
}

// Close closes the folder.
func (q *Queue) Close() error { return q.root.Close() }

// Send writes each entry into a file, and has it on disk when it returns. One id is one file: an entry without an id gets
// a new one, and another entry of the same id takes the place of the first. But what was written before with the same
// content stays as it is, and what somebody edited is never overwritten: then the entry fails.
func (q *Queue) Send(ctx context.Context, entries []redrive.Entry) (map[int]redrive.Failure, error) {
	if len(entries) < 1 || len(entries) > redrive.MaxBatch {
		return nil, fmt.Errorf("%d entries: %w", len(entries), redrive.ErrRefused)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	failed := map[int]redrive.Failure{}
	for i, e := range entries {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		why, err := q.put(e)
		if err != nil {
			return nil, classify("write", err)
		}
		if why != "" {
			failed[i] = redrive.Failure{Code: why, Sender: true}
		}
	}
	return failed, classify("write", syncFolder(q.root, "."))
}

// put writes an entry, or says why it cannot be one.
func (q *Queue) put(e redrive.Entry) (why string, err error) {
	e.ID = cmp.Or(e.ID, strings.ToLower(rand.Text()))
	name := fileName(e.ID)
	about := q.about(e)
	if about.SentAt.IsZero() {
		about.SentAt = time.Now()
	}
	data, digest, err := encode(e, about)
	if err != nil {
		return err.Error(), nil
	}
	before, err := q.read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errBroken):
		return "there is a file of this id, which cannot be read: " + name, nil
	case err != nil:
		return "", err
	case before.digest == digest:
		return "", nil
	case before.Edited:
		return "there is an edited file of this id: " + name, nil
	}
	return "", q.write(name, data)
}

// write has the data on disk before the file has its name. What a killed process left is overwritten the next time.
func (q *Queue) write(name string, data []byte) error {
	unnamed := "." + name + ".new"
	file, err := q.root.OpenFile(unnamed, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return q.root.Rename(unnamed, name)
}

// Receive reads up to limit files, in the order of their names, and begins anew after the last. It does not wait.
// One that cannot be read is left where it is, and [Queue.Broken] tells of it. The ReceiveCount is that of this Queue.
func (q *Queue) Receive(ctx context.Context, limit int, hold time.Duration) ([]redrive.Message, error) {
	if limit < 1 || limit > redrive.MaxBatch {
		return nil, fmt.Errorf("limit %d: %w", limit, redrive.ErrRefused)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var messages []redrive.Message
	fromFirst := q.last == "" && len(q.names) == 0
	for len(messages) < limit {
		if ctx.Err() != nil && len(messages) == 0 {
			return nil, context.Cause(ctx)
		}
		if len(q.names) == 0 {
			if err := q.list(); err != nil {
				return nil, classify("list", err)
			}
		}
		if len(q.names) == 0 { // that was the last
			q.last = ""
			if fromFirst || len(messages) > 0 {
				break
			}
			fromFirst = true
			continue
		}
		name := q.names[0]
		d := q.deliveries[name]
		if d != nil && d.until.After(time.Now()) {
			q.names = q.names[1:]
			continue
		}
		l, err := q.read(name)
		missing, broken := errors.Is(err, fs.ErrNotExist), errors.Is(err, errBroken)
		if err != nil && !missing && !broken {
			if len(messages) > 0 { // these first; the error comes again
				break
			}
			return nil, classify("read", err)
		}
		q.names = q.names[1:]
		delete(q.broken, name)
		switch {
		case missing: // since it was listed
			delete(q.deliveries, name)
			continue
		case broken:
			q.broken[name] = fmt.Errorf("%s: %w", filepath.Join(q.folder, name), err)
			continue
		}
		if d == nil {
			d = &delivery{}
			q.deliveries[name] = d
		}
		d.About = l.About
		d.count++
		d.until = time.Now().Add(hold)
		l.ReceiveCount, l.Receipt = d.count, name
		messages = append(messages, l.Message)
	}
	return messages, nil
}

// list takes the next names after the last.
func (q *Queue) list() error {
	err := q.each(func(name string) {
		if name <= q.last || len(q.names) == page && name >= q.names[page-1] {
			return
		}
		i, _ := slices.BinarySearch(q.names, name)
		q.names = slices.Insert(q.names, i, name)
		if len(q.names) > page {
			q.names = q.names[:page]
		}
	})
	if len(q.names) > 0 {
		q.last = q.names[len(q.names)-1]
	}
	return err
}

// each visits the names of all messages, in any order.
func (q *Queue) each(visit func(name string)) error {
	folder, err := q.root.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close()
	for {
		entries, err := folder.ReadDir(page)
		for _, entry := range entries {
			if name := entry.Name(); strings.HasSuffix(name, extension) && !strings.HasPrefix(name, ".") && !entry.IsDir() {
				visit(name)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// errBroken marks a file that is there, and is no message.
var errBroken = errors.New("not a message")

// read reads a file. Its error is one of the folder, or [errBroken].
func (q *Queue) read(name string) (letter, error) {
	info, err := q.root.Lstat(name)
	switch {
	case err != nil:
		return letter{}, err
	case !info.Mode().IsRegular(): // a pipe would keep us for ever
		return letter{}, fmt.Errorf("%w: no regular file", errBroken)
	case info.Size() > MaxFile:
		return letter{}, fmt.Errorf("%w: it has %d bytes, and %d are the most", errBroken, info.Size(), MaxFile)
	}
	data, err := q.root.ReadFile(name)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return letter{}, fmt.Errorf("%w: %w", errBroken, err)
		}
		return letter{}, err
	}
	l, err := decode(data)
	if err == nil && fileName(l.ID) != name {
		err = fmt.Errorf("its id says that it is %s", fileName(l.ID))
	}
	if err != nil {
		return letter{}, fmt.Errorf("%w: %w", errBroken, err)
	}
	return l, nil
}

// About returns what is known of a message that was received and not deleted.
func (q *Queue) About(m redrive.Message) About {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d := q.deliveries[m.Receipt]; d != nil {
		return d.About
	}
	return About{}
}

// Broken are the files that could not be read when they were met last: an error each, which names the file and what
// is wrong with it, in the order of their names. They are where they were.
func (q *Queue) Broken() []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []error
	for _, name := range slices.Sorted(maps.Keys(q.broken)) {
		all = append(all, q.broken[name])
	}
	return all
}

// Delete moves files to done/, over what has the same name there, and has that on disk when it returns.
func (q *Queue) Delete(ctx context.Context, messages []redrive.Message) (map[string]redrive.Failure, error) {
	if len(messages) > redrive.MaxBatch {
		return nil, fmt.Errorf("%d messages: %w", len(messages), redrive.ErrRefused)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.root.Mkdir(done, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, classify("move", err)
	}
	for _, m := range messages {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		name := fileName(m.ID)
		if err := q.root.Rename(name, done+"/"+name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, classify("move", err)
		}
		delete(q.deliveries, name)
	}
	// First what is there now: a crash in between leaves two, not none.
	return nil, classify("move", cmp.Or(syncFolder(q.root, done), syncFolder(q.root, ".")))
}

// Hide hides messages that were received.
func (q *Queue) Hide(_ context.Context, messages []redrive.Message, d time.Duration) (map[string]redrive.Failure, error) {
	if len(messages) > redrive.MaxBatch {
		return nil, fmt.Errorf("%d messages: %w", len(messages), redrive.ErrRefused)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	failed := map[string]redrive.Failure{}
	for _, m := range messages {
		if known := q.deliveries[m.Receipt]; known != nil {
			known.until = time.Now().Add(d)
		} else {
			failed[m.ID] = redrive.Failure{Code: "it was not received, or is deleted", Sender: true}
		}
	}
	return failed, nil
}

// Depth is exact, but that it counts files as visible which cannot be read, as long as they were not met.
func (q *Queue) Depth(context.Context) (visible, hidden int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	err = q.each(func(name string) {
		switch d := q.deliveries[name]; {
		case d != nil && d.until.After(time.Now()):
			hidden++
		case q.broken[name] == nil:
			visible++
		}
	})
	return visible, hidden, classify("count", err)
}

// plain are ids that are file names everywhere, also where capital letters do not count.
var plain = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,79}$`)

// fileName is the name of the file of a message. No two ids have the same.
func fileName(id string) string {
	if plain.MatchString(id) {
		return id + extension
	}
	sum := sha256.Sum256([]byte(id))
	return safe(id) + "~" + hex.EncodeToString(sum[:]) + extension
}

// safe is the beginning of an id, for people to recognise.
func safe(id string) string {
	const most = 40
	b := []byte(strings.ToLower(id[:min(len(id), most)]))
	for i, c := range b {
		if !bytes.ContainsRune([]byte("abcdefghijklmnopqrstuvwxyz0123456789-"), rune(c)) {
			b[i] = '_'
		}
	}
	return string(b)
}

// syncFolder has on disk which files a folder has.
func syncFolder(root *os.Root, name string) error {
	folder, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// classify marks the errors of a folder for the engine.
func classify(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: %w", op, redrive.ErrDenied, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}
