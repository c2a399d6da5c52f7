package registry_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/services/internal/registry"
)

// The buckets are stored: these values may never change.
func TestBucketIsAStoredForm(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int{
		"L0SM9cOFvHcCIhw=": 10,
		"JC1dgf9yoAMCK-g=": 11,
		"Jx-TaE0_GjQFvSw=": 3,
		"":                 14,
	} {
		if got := registry.Bucket(id); got != want {
			t.Errorf("Bucket(%q) = %d, want %d", id, got, want)
		}
	}
}

func TestBucketsAreEven(t *testing.T) {
	t.Parallel()
	const ids = 16_000
	var counts [registry.Buckets]int
	for i := range ids {
		counts[registry.Bucket(fmt.Sprintf("conn-%05d=", i))]++
	}
	for b, n := range counts {
		if n < 850 || n > 1150 {
			t.Errorf("bucket %d holds %d of %d", b, n, ids)
		}
	}
}

func TestLogIDHidesTheConnection(t *testing.T) {
	t.Parallel()
	if got, want := registry.LogID("L0SM9cOFvHcCIhw=").String(), "connection_id=a6689c75d1c97a69"; got != want {
		t.Errorf("LogID = %s, want %s", got, want)
	}
}

func TestMay(t *testing.T) {
	t.Parallel()
	all, few := registry.Connection{}, registry.Connection{EntityTypes: []string{"insight", "student"}}
	for partition, want := range map[string]bool{"student": true, "insight": true, "tutor": false, registry.Everything: false, "": false} {
		if !all.May(partition) || few.May(partition) != want {
			t.Errorf("May(%q) = %t of all, %t of few, want true and %t", partition, all.May(partition), few.May(partition), want)
		}
	}
}

// However a connection's subscriptions come, those that pass are as many as a bucket of tokens lets pass.
func TestPaceIsABucketOfTokens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(1_795_000_000_000)
		var full time.Time
		tokens, last := time.Duration(registry.SubscribeBurst)*registry.SubscribeInterval, now
		for _, pause := range rapid.SliceOfN(rapid.IntRange(0, 2000), 1, 100).Draw(t, "pauses in ms") {
			now = now.Add(time.Duration(pause) * time.Millisecond / time.Duration(rapid.SampledFrom([]int{1, 10, 100}).Draw(t, "haste")))
			tokens = min(tokens+now.Sub(last), registry.SubscribeBurst*registry.SubscribeInterval)
			last = now
			next, wait := registry.Pace(full, now)
			if passes := tokens >= registry.SubscribeInterval; passes != (wait <= 0) {
				t.Fatalf("tokens for %v, and the wait is %v", tokens, wait)
			}
			if wait > 0 {
				if _, again := registry.Pace(full, now.Add(wait)); again > 0 {
					t.Fatalf("after %v the wait is %v", wait, again)
				}
				continue
			}
			tokens -= registry.SubscribeInterval
			full = next
		}
	})
}
