package contracts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// digestVectors are shared with the browser.
type digestVectors struct {
	Digests []struct {
		Why          string
		Rows         []digestVectorRow
		Text, Digest string
		Slices       map[int]string // those that are not empty
	}
	Insights []struct {
		Why      string
		Insights []struct{ Pk, Sk, Timestamp string }
		Latest   []int // those that count, by their place among Insights
	}
}

type digestVectorRow struct {
	Type, ID string
	Pk, Sk   string
	Version  Version
}

func (r digestVectorRow) key() string {
	if r.Type != "" {
		return EntityDigestKey(r.Type, r.ID)
	}
	return InsightDigestKey(InsightID{Pk: r.Pk, Sk: r.Sk})
}

func readDigestVectors(t *testing.T) digestVectors {
	t.Helper()
	content, err := os.ReadFile("vectors/digest.json")
	if err != nil {
		t.Fatal(err)
	}
	var v digestVectors
	if err := json.Unmarshal(content, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Digests) < 20 || len(v.Insights) < 5 {
		t.Fatal("vectors are missing")
	}
	return v
}

func TestDigest(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, v := range readDigestVectors(t).Digests {
		var rows []DigestRow
		for _, r := range v.Rows {
			rows = append(rows, DigestRow{Key: r.key(), Version: r.Version})
			if !strings.Contains(v.Text, r.key()+"\t") {
				t.Errorf("%s: the key is %q", v.Why, r.key())
			}
		}
		if got := Digest(rows); got != v.Digest {
			t.Errorf("%s: got %s, want %s", v.Why, got, v.Digest)
		}
		if other, again := seen[v.Digest]; again && other != v.Text {
			t.Errorf("%s: has the digest of another set of rows", v.Why)
		}
		seen[v.Digest] = v.Text

		empty := SliceDigests(nil)
		different := DifferentSlices(empty, SliceDigests(rows))
		if want := slices.Sorted(maps.Keys(v.Slices)); !slices.Equal(different, want) {
			t.Errorf("%s: there are rows in the slices %v, want %v", v.Why, different, want)
		}
		for _, i := range different {
			if got := SliceDigests(rows)[8*i : 8*i+8]; got != v.Slices[i] {
				t.Errorf("%s: slice %d is %s, want %s", v.Why, i, got, v.Slices[i])
			}
		}
	}
}

func TestDifferentSlices(t *testing.T) {
	t.Parallel()
	row := rapid.Custom(func(t *rapid.T) DigestRow {
		return DigestRow{Key: rapid.StringMatching(`[a-d]{1,3}`).Draw(t, "key"), Version: Version{Revision: rapid.Int64Range(0, 2).Draw(t, "revision")}}
	})
	rows := rapid.SliceOfNDistinct(row, 0, 30, func(r DigestRow) string { return r.Key })
	rapid.Check(t, func(t *rapid.T) {
		a, b := rows.Draw(t, "a"), rows.Draw(t, "b")
		want := map[int]bool{}
		for _, pair := range [][2][]DigestRow{{a, b}, {b, a}} {
			for _, r := range pair[0] {
				if !slices.Contains(pair[1], r) {
					want[DigestSlice(r.Key)] = true
				}
			}
		}
		if got := DifferentSlices(SliceDigests(a), SliceDigests(b)); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("%v differ, want %v", got, want)
		}
	})
	for _, other := range []string{"", SliceDigests(nil)[8:]} {
		if got := DifferentSlices(SliceDigests([]DigestRow{{Key: "a"}}), other); got != nil {
			t.Errorf("%v differ from nothing", got)
		}
	}
}

// Ids that count up are spread over the slices: the fullest has at most twice its share.
func TestSlicesAreEven(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"student/stu_%d", "student/stu_%04d", "insight/insight#stu_%d\t2026-11-22T10:00:00.000Z"} {
		var sizes [DigestSlices]int
		for n := range 1000 {
			sizes[DigestSlice(fmt.Sprintf(form, n))]++
		}
		if most := slices.Max(sizes[:]); most > 2*1000/DigestSlices {
			t.Errorf("%s: %d of 1000 are in one slice", form, most)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	var rows []DigestRow
	for n := range 1000 {
		rows = append(rows, DigestRow{Key: fmt.Sprintf("student/stu_%04d", n), Version: Version{Epoch: 1_795_000_000_000, Revision: int64(n)}})
	}
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			Digest(rows)
		}
	})
	b.Run("slices", func(b *testing.B) {
		for b.Loop() {
			SliceDigests(rows)
		}
	})
}

// The digest of any set of rows is one that a frame may carry, whatever the order.
func TestDigestsAreOfTheContract(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) DigestRow {
			return DigestRow{
				Key:     EntityDigestKey("student", rapid.String().Draw(t, "id")),
				Version: Version{Epoch: rapid.Int64Range(0, 1<<53-1).Draw(t, "epoch"), Revision: rapid.Int64Range(0, 1<<53-1).Draw(t, "revision")},
			}
		}), 0, 8, func(r DigestRow) string { return r.Key }).Draw(t, "rows")
		sum := Digest(rows)
		document := fmt.Sprintf(`{"action":"sync","sync_id":1,"views":[],"digest":%q,"slices":%q}`, sum, SliceDigests(rows))
		if err := ValidateProducer(KindSyncCommandV1, []byte(document)); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(rows)
		if again := Digest(rows); again != sum {
			t.Fatalf("%s in one order, %s in the other", sum, again)
		}
	})
}

func TestDigestKeysTellRowsApart(t *testing.T) {
	t.Parallel()
	id := rapid.StringMatching(`[ab\\tn\t\n/]{1,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c, d := id.Draw(t, "a"), id.Draw(t, "b"), id.Draw(t, "c"), id.Draw(t, "d")
		if (EntityDigestKey("student", a) == EntityDigestKey("student", b)) != (a == b) {
			t.Fatalf("entities %q and %q", a, b)
		}
		x, y := InsightID{Pk: a, Sk: b}, InsightID{Pk: c, Sk: d}
		if (InsightDigestKey(x) == InsightDigestKey(y)) != (x == y) {
			t.Fatalf("insights %q and %q", x, y)
		}
		if bytes.ContainsAny([]byte(EntityDigestKey("student", a)), "\t\n") {
			t.Fatalf("%q keeps what separates", a)
		}
	})
}

func TestLatestInsights(t *testing.T) {
	t.Parallel()
	type found struct {
		place int
		FoundInsight
	}
	of := func(f found) FoundInsight { return f.FoundInsight }
	for _, v := range readDigestVectors(t).Insights {
		var all []found
		for i, insight := range v.Insights {
			at, err := time.Parse(time.RFC3339, insight.Timestamp)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found{i, FoundInsight{InsightDigestKey(InsightID{Pk: insight.Pk, Sk: insight.Sk}), at.UnixMilli()}})
		}
		for range 2 {
			var got []int
			for _, f := range LatestInsights(all, of) {
				got = append(got, f.place)
			}
			if !slices.Equal(got, v.Latest) {
				t.Errorf("%s: got %v, want %v", v.Why, got, v.Latest)
			}
			slices.Reverse(all)
		}
	}
}

func TestLatestInsightsAreLimited(t *testing.T) {
	t.Parallel()
	var all []FoundInsight
	for i := range InsightLimit + 2 {
		all = append(all, FoundInsight{Key: fmt.Sprint(i), FoundAt: int64(i)})
	}
	got := LatestInsights(all, func(f FoundInsight) FoundInsight { return f })
	slices.Reverse(got)
	if !slices.Equal(got, all[2:]) {
		t.Errorf("%d of %d, from %v", len(got), len(all), got[0])
	}
}
