package state

import (
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
// times with any offset: who asks for all since T starts a day before T, and reads the times.
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

// insightDays is how far back insights are read, in days: three, and one because a key begins with the
// time in the zone of its writer. Those that count are found within a day (contracts.InsightWindow), but the
// newest that a view matches may be older than today.
const insightDays = 4

// LatestInsights is the range of a tenant's insights in which those that count are. It moves on once a day,
// for all who read at the same time.
func LatestInsights(tenant string, now time.Time) Range {
	return Range{Tenant: tenant, EntityType: InsightType, From: now.UTC().AddDate(0, 0, -insightDays).Format(time.DateOnly)}
}
