package contracts

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DigestRow is an entity or insight that a browser shows, by what names it in a digest, and its version.
type DigestRow struct {
	Key     string // of [EntityDigestKey] or [InsightDigestKey]
	Version Version
}

// Tab and line feed separate the parts of a digest's text, so they are written otherwise in ids: two
// different sets of rows never have the same text.
var escapeDigest = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`)

// EntityDigestKey names an entity in a digest: its type, which never has a slash, a slash, and its id.
func EntityDigestKey(entityType, id string) string {
	return entityType + "/" + escapeDigest.Replace(id)
}

// InsightDigestKey names an insight in a digest: insight, a slash, and the two parts of its id with a tab
// between them.
func InsightDigestKey(id InsightID) string {
	return "insight/" + escapeDigest.Replace(id.Pk) + "\t" + escapeDigest.Replace(id.Sk)
}

// Digest sums up what a connection's views hold: every entity that matches them now, and those insights
// that match and count (see [LatestInsights]), each once; what is gone is not among them. It is what a sync
// carries of the rows that a browser shows, and a SNAPSHOT of those that it brings, so that a browser which
// shows a snapshot, and nothing else, has its digest. It says nothing of which attributes are shown: a
// browser that wants others sends no digest.
//
// A row is a line: key, tab, epoch, tab, revision, line feed, with a backslash before the t and the n that
// stand for a tab and a line feed in an id, and before a backslash. The digest is the SHA-256 of all lines
// in UTF-8, in the order of their bytes, of which the first 16 bytes in lower-case hexadecimal:
//
//	insight/insight#stu_1	2026-11-22T10:00:00.123Z	1795000000000	1
//	student/stu_1	1795000000000	12
//
// The browser works it out in the same way (ts/digest.ts); both are tested on vectors/digest.json.
func Digest(rows []DigestRow) string {
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = row.Key + "\t" + strconv.FormatInt(row.Version.Epoch, 10) + "\t" + strconv.FormatInt(row.Version.Revision, 10) + "\n"
	}
	slices.Sort(lines)
	hash := sha256.New()
	for _, line := range lines {
		hash.Write([]byte(line)) // never fails
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// Which insights count.
const (
	// InsightWindow is how much older than the newest insight one may be that counts.
	InsightWindow = 24 * time.Hour
	// InsightLimit is how many count at most: the latest.
	InsightLimit = 2_000
)

// FoundInsight is an insight, as far as it matters for whether it counts.
type FoundInsight struct {
	Key     string // of [InsightDigestKey]
	FoundAt int64  // its timestamp in unix milliseconds; what is below a millisecond is dropped
}

// LatestInsights returns those insights that count, of all that match a connection's views: what a browser
// shows, a snapshot brings and a digest covers. They are those found up to [InsightWindow] before the newest
// of them, and no more than [InsightLimit]. No clock plays a part, so server and browser agree. The latest
// come first; of those found in the same millisecond, the one whose key has the lower bytes. The function
// of says what is needed of an insight.
func LatestInsights[T any](all []T, of func(T) FoundInsight) []T {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b T) int {
		x, y := of(a), of(b)
		return cmp.Or(cmp.Compare(y.FoundAt, x.FoundAt), strings.Compare(x.Key, y.Key))
	})
	for i, insight := range sorted {
		if i == InsightLimit || of(insight).FoundAt < of(sorted[0]).FoundAt-InsightWindow.Milliseconds() {
			return sorted[:i]
		}
	}
	return sorted
}
