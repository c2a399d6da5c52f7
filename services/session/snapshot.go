package session

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/view"
)

// held is all that a set of views holds, and what its digest sums up.
type held struct {
	entities   []row
	insights   []row // those that count
	digest     string
	unreadable int
	read       string // how it was had, as contents
}

// all are its rows.
func (h held) all() iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, rows := range [][]row{h.entities, h.insights} {
			for _, r := range rows {
				if !yield(r) {
					return
				}
			}
		}
	}
}

func (h held) digestRows() []contracts.DigestRow {
	rows := make([]contracts.DigestRow, 0, len(h.entities)+len(h.insights))
	for r := range h.all() {
		rows = append(rows, contracts.DigestRow{Key: r.key(), Version: r.Version})
	}
	return rows
}

// differing returns the slices that are other than those of a client: nil if a snapshot of them is to cover
// everything, because all are, or because none is and yet the digest is another.
func (h held) differing(from string) []int {
	different := contracts.DifferentSlices(contracts.SliceDigests(h.digestRows()), from)
	if len(different) == contracts.DigestSlices {
		return nil
	}
	return different
}

// row is an entry as the views want it.
type row struct {
	*entry
	fields view.Selection
}

// hold picks out of all that was read what the views match now.
func hold(all contents, set *view.Set) held {
	h := held{unreadable: all.unreadable, read: all.read}
	var found []row
	for _, e := range all.entries {
		fields, ok := set.Match(e.EntityType, e.image)
		switch {
		case !ok:
		case e.EntityType == state.InsightType:
			found = append(found, row{e, fields})
		default:
			h.entities = append(h.entities, row{e, fields})
		}
	}
	h.insights = contracts.LatestInsights(found, func(r row) contracts.FoundInsight {
		return contracts.FoundInsight{Key: r.key(), FoundAt: r.foundAt}
	})
	h.digest = contracts.Digest(h.digestRows())
	return h
}

// key names the row in a digest.
func (r row) key() string {
	if r.EntityType == state.InsightType {
		return contracts.InsightDigestKey(r.insightID)
	}
	return contracts.EntityDigestKey(r.EntityType, r.EntityID)
}

// fragment is what a snapshot says of the row.
func (r row) fragment() []byte {
	attributes := r.fields.Project(r.EntityType, r.Image)
	written := r.WrittenAt.UTC().Format(frame.TimestampForm)
	if r.EntityType == state.InsightType {
		return frame.Encode(contracts.InsightUpdateV1{
			InsightID: r.insightID, Operation: contracts.UpdateOperationUpsert, Version: r.Version, Attributes: attributes, WrittenAt: written,
		})
	}
	return frame.Encode(contracts.UpdateV1{
		EntityType: contracts.EntityType(r.EntityType), EntityID: r.EntityID, Operation: contracts.UpdateOperationUpsert,
		Version: r.Version, Attributes: attributes, WrittenAt: written,
	})
}

// part is what one frame of a snapshot brings.
type part struct {
	entities, insights [][]byte
	size               int
}

// maxPart is the largest number of a part that the contract allows.
const maxPart = 65_536

// frames are the parts of a snapshot that covers some slices, or everything if covers is nil: as few as their
// limit of size allows. An image is so much smaller than a frame that each row fits.
func (h held) frames(syncID int64, covers []int, now time.Time) [][]byte {
	room := contracts.MaxFrameBytes - len(snapshotFrame(part{}, syncID, maxPart, maxPart, covers, h.digest, now))
	parts := []part{{}}
	add := func(fragment []byte, to func(*part) *[][]byte) {
		last := &parts[len(parts)-1]
		if last.size > 0 && last.size+1+len(fragment) > room {
			parts = append(parts, part{})
			last = &parts[len(parts)-1]
		}
		last.size += 1 + len(fragment) // and a comma
		list := to(last)
		*list = append(*list, fragment)
	}
	for r := range h.all() {
		if covers != nil && !slices.Contains(covers, contracts.DigestSlice(r.key())) {
			continue
		}
		add(r.fragment(), func(p *part) *[][]byte {
			if r.EntityType == state.InsightType {
				return &p.insights
			}
			return &p.entities
		})
	}
	frames := make([][]byte, len(parts))
	for i, p := range parts {
		digest := ""
		if i == len(parts)-1 {
			digest = h.digest
		}
		frames[i] = snapshotFrame(p, syncID, i+1, len(parts), covers, digest, now)
	}
	return frames
}

func snapshotFrame(p part, syncID int64, number, of int, covers []int, digest string, now time.Time) []byte {
	b := make([]byte, 0, p.size+256)
	b = append(b, `{"type":"`+contracts.SnapshotFrameV1Type+`","version":`...)
	b = strconv.AppendInt(b, contracts.SnapshotFrameV1Version, 10)
	b = append(b, `,"timestamp":"`+now.UTC().Format(frame.TimestampForm)+`","sync_id":`...)
	b = strconv.AppendInt(b, syncID, 10)
	b = append(b, `,"part":`...)
	b = strconv.AppendInt(b, int64(number), 10)
	b = append(b, `,"parts":`...)
	b = strconv.AppendInt(b, int64(of), 10)
	b = append(b, `,"entities":[`...)
	b = append(b, bytes.Join(p.entities, []byte(","))...)
	b = append(b, `],"insights":[`...)
	b = append(b, bytes.Join(p.insights, []byte(","))...)
	b = append(b, ']')
	if covers != nil {
		b = append(b, `,"covers":`...)
		b = append(b, frame.Encode(covers)...)
	}
	if digest != "" {
		b = append(b, `,"digest":"`+digest+`"`...)
	}
	return append(b, '}')
}
