package schedules_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

// heard is what the page was told, as far as it says what is there and what is not. Frames are read once
// somebody asks.
type heard struct {
	unread  []order
	answers map[answered]*said
	removed map[string]contracts.Version // the highest version of a removal, by key
}

// answered names a sync.
type answered struct {
	socket int
	syncID int64
}

// said is what came in answer to a sync.
type said struct {
	sentAt time.Time // the sync
	parts  map[int]bool
	total  int
	named  map[string]contracts.Version
}

func newHeard() heard {
	return heard{answers: map[answered]*said{}, removed: map[string]contracts.Version{}}
}

func (h *heard) add(o order) { h.unread = append(h.unread, o) }

func (h *heard) read() {
	for _, o := range h.unread {
		var f frame
		if err := json.Unmarshal([]byte(o.Text), &f); err != nil {
			panic(err)
		}
		for _, u := range f.Data {
			if before := h.removed[u.key()]; u.Operation == string(contracts.UpdateOperationRemove) && u.Version.Revision > before.Revision {
				h.removed[u.key()] = u.Version
			}
		}
		if answer := h.answers[answered{o.Socket, f.SyncID}]; answer != nil && f.Parts > 0 {
			answer.parts[f.Part], answer.total = true, f.Parts
			for _, u := range slices.Concat(f.Entities, f.Insights) {
				answer.named[u.key()] = u.Version
			}
		}
	}
	h.unread = nil
}

// dropped tells whether the page may hold a row no more that it has held so since then: it was removed, or
// the whole answer to a later sync does not name it.
func (h *heard) dropped(row held, since time.Time) bool {
	h.read()
	if h.removed[row.Key].Revision >= row.Revision {
		return true
	}
	for _, answer := range h.answers {
		_, named := answer.named[row.Key]
		if !named && answer.total > 0 && len(answer.parts) == answer.total && !answer.sentAt.Before(since) {
			return true
		}
	}
	return false
}

// broughtBack tells whether the answer to a sync that was sent after a time names a row with its version.
func (h *heard) broughtBack(row held, after time.Time) bool {
	h.read()
	for _, answer := range h.answers {
		if answer.named[row.Key] == row.version() && !answer.sentAt.Before(after) {
			return true
		}
	}
	return false
}

// tally counts what pages hear, in all schedules. A schedule that never meets with something proves nothing of it.
type tally struct {
	mu    sync.Mutex
	heard map[string]int
}

// kinds are what pages must have heard, each by a text that is in such a frame.
var kinds = []string{
	`"type":"METRIC_UPDATE"`, `"type":"INSIGHT_CREATED"`, `"operation":"REMOVE"`, `"reason":"LEFT_VIEW"`, `"type":"SNAPSHOT"`, `"parts":2`, `"covers":`,
	`"type":"SYNCED"`, `"type":"RESYNC"`, `"type":"RECONNECT"`, `"code":"UNAVAILABLE"`, `"code":"SUPERSEDED"`,
}

func (c *tally) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard == nil {
		c.heard = map[string]int{}
	}
	for _, kind := range kinds {
		if strings.Contains(text, kind) {
			c.heard[kind]++
		}
	}
}

// check complains of what no page has heard.
func (c *tally) check(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("heard: %v", c.heard)
	for _, kind := range kinds {
		if c.heard[kind] == 0 {
			t.Errorf("in no schedule a page heard %s", kind)
		}
	}
}

// frame is any that has something to say of rows.
type frame struct {
	SyncID                   int64 `json:"sync_id"`
	Part, Parts              int
	Entities, Insights, Data []update
}

// update is what a frame says of a row.
type update struct {
	EntityType string               `json:"entity_type,omitempty"`
	EntityID   string               `json:"entity_id,omitempty"`
	InsightID  *contracts.InsightID `json:"insight_id,omitempty"`
	Operation  string               `json:"operation"`
	Reason     string               `json:"reason,omitempty"`
	Version    contracts.Version    `json:"version"`
	Attributes map[string]any       `json:"attributes,omitzero"`
	WrittenAt  string               `json:"written_at"`
}

func (u update) key() string {
	if u.InsightID != nil {
		return "insight/" + u.InsightID.Pk + "\t" + u.InsightID.Sk
	}
	return u.EntityType + "/" + u.EntityID
}
