package state

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

// InsightType is the EntityType of insights, which no entity has.
const InsightType = "insight"

// InsightKey names an insight of a tenant. Its EntityID is the sort key of its row, a slash, and the
// partition key:
//
//	2026-11-22T10:00:00.123Z/insight#stu_4532
//
// A sort key is a time, which has no slash, so the first slash parts the two, and no two insights
// have one key. The time comes first so that the newest insights of a partition of the table can be
// read without the others. They are in the order of their times as text, and writers may give
// times with any offset: who asks for all since T starts a day before T, and reads the times. Where more are found
// than [LatestInsights] reads, a writer whose times are hours behind UTC has its insights taken for as much older.
func InsightKey(tenant string, id contracts.InsightID) Key {
	return Key{Tenant: tenant, EntityType: InsightType, EntityID: id.Sk + "/" + id.Pk}
}

// InsightID undoes [InsightKey]. It reports false for the key of an entity.
func (k Key) InsightID() (contracts.InsightID, bool) {
	sk, pk, ok := strings.Cut(k.EntityID, "/")
	if k.EntityType != InsightType || !ok {
		return contracts.InsightID{}, false
	}
	return contracts.InsightID{Pk: pk, Sk: sk}, true
}

// Which insights are read to find those that count.
const (
	// insightDays is how far back, in days: three, and one because a key begins with the time in the zone of its
	// writer. Those that count are found within a day (contracts.InsightWindow), but the newest that a view
	// matches may be older than today.
	insightDays = 4
	// InsightRows is how many at most: five times those that count at most (contracts.InsightLimit), so that a view
	// which matches one of five still has as many. 50 streams at the simulator's pace find 10,000 in ten hours; to
	// read them costs about 1,500 read units.
	InsightRows = 5 * contracts.InsightLimit
)

// LatestInsights reads those insights of a tenant among which those that count are looked for, without tombstones and
// in no order: the newest by their keys, of the last days, and no more than [InsightRows]. If since is given, those
// that were found before may be missing.
//
// Which are too old does not follow every new one: of more than are read, those of the oldest hour are left out, or of
// the oldest ten minutes, minute, and so on, where that would be most of them. So a reader who was told of each as it
// came, and who therefore holds older ones that match its views, differs from this once an hour, and not always. By
// whatever step, half of what is read is kept.
func LatestInsights(ctx context.Context, t Table, tenant string, since time.Time) ([]Entry, error) {
	oldest := time.Now().UTC().AddDate(0, 0, -insightDays).Format(time.DateOnly) // moves once a day, for all who read at the same time
	if !since.IsZero() {
		oldest = max(oldest, since.UTC().Add(-zoneMargin).Format(keyTime))
	}
	entries, from, err := t.Latest(ctx, Range{Tenant: tenant, EntityType: InsightType, From: oldest}, InsightRows)
	if err != nil || from == oldest {
		return entries, err
	}
	return later(entries, from), nil
}

const (
	// zoneMargin is more than two writers' clocks in different zones can differ.
	zoneMargin = 24 * time.Hour
	// keyTime is how keys of insights begin.
	keyTime = "2006-01-02T15:04:05"
)

// steps are the lengths of the beginnings of a key that name its hour, ten minutes, minute, ten seconds and second.
var steps = []int{len("2006-01-02T15"), len("2006-01-02T15:0"), len("2006-01-02T15:04"), len("2006-01-02T15:04:0"), len(keyTime)}

// later returns the entries that are later than the hour of a key, or a shorter time, as long as half of them are.
func later(entries []Entry, than string) []Entry {
	for _, length := range steps {
		step := than[:min(length, len(than))]
		isOf := func(e Entry) bool { return e.EntityID[:min(length, len(e.EntityID))] <= step }
		n := 0
		for _, e := range entries {
			if isOf(e) {
				n++
			}
		}
		if n <= len(entries)/2 {
			return slices.DeleteFunc(entries, isOf)
		}
	}
	return entries
}
