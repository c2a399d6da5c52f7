package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/dirqueue"
)

// folder keeps messages as files. It is not there before the first is kept. It is for one goroutine.
type folder struct {
	path  string
	about map[string]dirqueue.About // by id
	queue *dirqueue.Queue
}

func newFolder(path string) *folder { return &folder{path: path, about: map[string]dirqueue.About{}} }

// archive is where a run keeps what it takes away.
func (w world) archive(run string) *folder { return newFolder(filepath.Join(w.runs, run+".archive")) }

var _ redrive.Sink = (*folder)(nil)

// knows notes what is known of a message besides what is sent, until it is.
func (f *folder) knows(m redrive.Message, p place, l letter) {
	f.about[m.ID] = dirqueue.About{From: p.Name, To: p.owner().Target, Cause: l.Cause, SentAt: m.SentAt, System: m.System}
}

func (f *folder) Send(ctx context.Context, entries []redrive.Entry) (map[int]redrive.Failure, error) {
	if f.queue == nil {
		var err error
		if f.queue, err = dirqueue.Create(f.path, func(e redrive.Entry) dirqueue.About { return f.about[e.ID] }); err != nil {
			return nil, errors.Join(redrive.ErrDenied, err)
		}
	}
	failed, err := f.queue.Send(ctx, entries)
	if err == nil {
		for i, e := range entries {
			if _, bad := failed[i]; !bad {
				delete(f.about, e.ID)
			}
		}
	}
	return failed, err
}

// Close closes the folder, if there is one.
func (f *folder) Close() error {
	if f.queue == nil {
		return nil
	}
	return f.queue.Close()
}
