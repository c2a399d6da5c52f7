package registry_test

import (
	"fmt"
	"testing"

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
