package state_test

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/services/internal/state"
)

func TestPaddedRefusesWhatIsNoSequenceNumber(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "x", "1x", "-1", "+1", " 1", "1.0", "1e3", "١٢", strings.Repeat("1", 41)} {
		if padded, ok := (state.Position{Sequence: s}).Padded(); ok {
			t.Errorf("Padded(%q) = %q, want a refusal", s, padded)
		}
	}
}

func TestPaddedOrderIsNumeric(t *testing.T) {
	t.Parallel()
	digits := rapid.StringMatching(`[0-9]{1,40}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := digits.Draw(t, "a"), digits.Draw(t, "b")
		padA, okA := state.Position{Sequence: a}.Padded()
		padB, okB := state.Position{Sequence: b}.Padded()
		if !okA || !okB {
			t.Fatal("a sequence number was refused")
		}
		if got, want := strings.Compare(padA, padB), number(t, a).Cmp(number(t, b)); got != want {
			t.Errorf("%s and %s compare as %d, want %d", a, b, got, want)
		}
		if number(t, state.Unpadded(padA)).Cmp(number(t, a)) != 0 {
			t.Errorf("Unpadded(%s) = %s", padA, state.Unpadded(padA))
		}
	})
}

func number(t *rapid.T, s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		t.Fatalf("no number: %q", s)
	}
	return n
}
