package contracts

import (
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What is generated from a pattern matches what the pattern matches.
func TestGeneratedPatternsAreThoseOfTheSchemas(t *testing.T) {
	if len(patterns) == 0 {
		t.Fatal("no patterns")
	}
	edits := []string{"", "0", "5", "6", "9", "a", "f", "g", "z", "A", "T", "Z", "-", "+", ".", ":", "/", "_", "#", "=", " ", "\n", "é", "\xff", "00", "zzzzzzzzzzzzzzzz", "0000000000000000"}
	for pattern, matches := range patterns {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			re := regexp.MustCompile(pattern)
			rapid.Check(t, func(t *rapid.T) {
				text := rapid.StringMatching(pattern).Draw(t, "text")
				for range 20 {
					if got, want := matches([]byte(text)), re.MatchString(text); got != want {
						t.Fatalf("%q: got %t, want %t", text, got, want)
					}
					at := rapid.IntRange(0, len(text)).Draw(t, "at")
					end := min(len(text), at+rapid.IntRange(0, 2).Draw(t, "removed"))
					text = string(slices.Concat([]byte(text[:at]), []byte(rapid.SampledFrom(edits).Draw(t, "in")), []byte(text[end:])))
				}
			})
		})
	}
}
