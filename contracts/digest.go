package contracts

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash/fnv"
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
	return hex.EncodeToString(sumOf(rows, 16))
}

// sumOf returns the first bytes of the hash of rows.
func sumOf(rows []DigestRow, size int) []byte {
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = row.Key + "\t" + strconv.FormatInt(row.Version.Epoch, 10) + "\t" + strconv.FormatInt(row.Version.Revision, 10) + "\n"
	}
	slices.Sort(lines)
	hash := sha256.New()
	for _, line := range lines {
		hash.Write([]byte(line)) // never fails
	}
	return hash.Sum(nil)[:size]
}

// Rows fall into slices by their keys, so that a browser and a server which hold almost the same find out
// where they differ.
const (
	// DigestSlices is how many there are.
	DigestSlices = 64
	// sliceBytes are those of a digest that tell whether a slice is the same: 48 bits. Two that differ pass
	// for the same once in 2^48, and then the digest of all still tells.
	sliceBytes = 6
	// sliceChars are the characters in which they are written.
	sliceChars = sliceBytes / 3 * 4
)

// DigestSlice returns the slice, counted from 0, of the row with a key: of the FNV-1a hash of its bytes, of
// 32 bits, the upper half xor the lower one, modulo [DigestSlices].
func DigestSlice(key string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(key)) // never fails
	sum := hash.Sum32()
	return int((sum>>16 ^ sum) % DigestSlices)
}

// SliceDigests returns what a sync says of the slices of its rows: of each in turn the first 6 bytes of the
// hash from which [Digest] is made, in base64.
func SliceDigests(rows []DigestRow) string {
	var sliced [DigestSlices][]DigestRow
	for _, row := range rows {
		i := DigestSlice(row.Key)
		sliced[i] = append(sliced[i], row)
	}
	sums := make([]byte, 0, DigestSlices*sliceBytes)
	for _, slice := range sliced {
		sums = append(sums, sumOf(slice, sliceBytes)...)
	}
	return base64.StdEncoding.EncodeToString(sums)
}

// DifferentSlices returns the slices in which two results of [SliceDigests] differ, in order; none if one of
// them is no such result.
func DifferentSlices(a, b string) []int {
	var different []int
	for i := range DigestSlices {
		from, to := i*sliceChars, (i+1)*sliceChars
		if to > min(len(a), len(b)) {
			return nil
		}
		if a[from:to] != b[from:to] {
			different = append(different, i)
		}
	}
	return different
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
//
// A server need not look at all that a tenant has: it may leave out the oldest, as long as it looks at the newest
// 2 × InsightLimit, whatever they match. What it leaves out does not count, and a snapshot takes it from a
// browser that still holds it.
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
