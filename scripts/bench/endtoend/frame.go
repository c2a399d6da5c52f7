package main

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/iops-dashboard/live/contracts"
)

// keptFrames bounds the memory of a reader.
const keptFrames = 256

// reader reads frames. Many clients are sent the same bytes: it reads them once, or the clients would
// take the time of the system that they measure. It is safe for concurrent use.
type reader struct {
	mu    sync.Mutex
	known map[string]frame
}

// frame is what a client wants to know of one. It is not changed.
type frame struct {
	kind    string
	updates []update
}

// update is an entity's new state, of which the value identifies the write.
type update struct {
	name    string
	version contracts.Version
	value   int
}

func newReader() *reader { return &reader{known: map[string]frame{}} }

func (r *reader) read(text []byte) (frame, error) {
	r.mu.Lock()
	f, ok := r.known[string(text)]
	r.mu.Unlock()
	if ok {
		return f, nil
	}
	f, err := readFrame(text)
	if err != nil {
		return f, fmt.Errorf("a frame cannot be read: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= keptFrames {
		clear(r.known)
	}
	r.known[string(text)] = f
	return f, nil
}

func readFrame(text []byte) (frame, error) {
	var in contracts.MetricUpdateFrameV1
	if err := in.UnmarshalJSON(text); err != nil {
		return frame{}, err
	}
	f := frame{kind: in.Type}
	for _, u := range in.Data {
		if u.Operation != contracts.UpdateOperationUpsert {
			continue
		}
		var attributes struct {
			Value int `json:"sessions_30d"`
		}
		if err := json.Unmarshal(u.Attributes, &attributes); err != nil {
			return f, fmt.Errorf("the attributes of %s: %w", u.EntityID, err)
		}
		f.updates = append(f.updates, update{u.EntityID, u.Version, attributes.Value})
	}
	return f, nil
}
