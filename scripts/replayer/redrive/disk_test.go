package redrive

import (
	"errors"
	"os"
	"strings"
	"testing"
)

var errFull = errors.New("planted: no space left on device")

// disk is a file on a disk that is full after so many bytes, and may fail in other ways.
type disk struct {
	*os.File
	room           int
	noCut, noFlush bool
}

func (d *disk) Write(text []byte) (int, error) {
	if len(text) <= d.room {
		d.room -= len(text)
		return d.File.Write(text)
	}
	n, _ := d.File.Write(text[:d.room])
	d.room = 0
	return n, errFull
}

func (d *disk) Truncate(size int64) error {
	if d.noCut {
		return errors.New("planted: cannot be cut")
	}
	return d.File.Truncate(size)
}

func (d *disk) Sync() error {
	if d.noFlush {
		return errors.New("planted: not flushed")
	}
	return d.File.Sync()
}

func full(t *testing.T, room int) (*Log, *disk) {
	t.Helper()
	l, err := Open(t.TempDir(), "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	d := &disk{File: l.file.(*os.File), room: room}
	l.file = d
	return l, d
}

func kept(t *testing.T, l *Log) (ids string) {
	t.Helper()
	file, err := os.Open(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	whole, err := lines(file, func(line Line) { ids += line.ID })
	if info, wrong := file.Stat(); err != nil || wrong != nil || info.Size() != whole {
		t.Errorf("%v, %v: %d bytes in whole lines", err, wrong, whole)
	}
	return ids
}

// A disk that is full in the middle of a line leaves no half line before the next one.
func TestAFullDiskBreaksNoLine(t *testing.T) {
	t.Parallel()
	l, d := full(t, 100)
	if err := l.write(Line{Outcome: Sent, ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := l.write(Line{Outcome: Sent, ID: "b", Why: strings.Repeat("x", 100)}); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
	if got := kept(t, l); got != "a" {
		t.Errorf("%q is kept", got)
	}
	d.room = 1000 // somebody made room
	if err := l.write(Line{Outcome: Sent, ID: "c"}); err != nil {
		t.Error(err)
	}
	if got := kept(t, l); got != "ac" {
		t.Errorf("%q is kept", got)
	}
}

// Where the half line stays, nothing is written behind it.
func TestWhatCannotBeCutIsTheEnd(t *testing.T) {
	t.Parallel()
	l, d := full(t, 10)
	d.noCut = true
	for range 2 {
		if err := l.write(Line{Outcome: Sent, ID: "a"}); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "half a line") {
			t.Errorf("%v", err)
		}
		d.room, d.noCut = 1000, false
	}
	if info, err := os.Stat(l.Path()); err != nil || info.Size() != 10 {
		t.Errorf("%v, %v", info, err)
	}
}

// What was not flushed once may be lost, whatever a later flush says.
func TestAFailedFlushIsRemembered(t *testing.T) {
	t.Parallel()
	l, d := full(t, 1000)
	d.noFlush = true
	for range 2 {
		if err := l.write(Line{Outcome: Sent, ID: "a"}); err == nil {
			t.Error("no error")
		}
		d.noFlush = false
	}
}
