package normalizer

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExactNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "+0.00": "0", "0E+100": "0",
		"1": "1", "+1": "1", "-1": "-1", "007": "7", ".5": "0.5", "5.": "5", "-.5": "-0.5",
		"1E+2": "100", "1e2": "100", "1.50E1": "15", "100": "100", "100.00": "100", "0.10": "0.1", "12E-3": "0.012",
		"99999999999999999999999999999999999999":   "99999999999999999999999999999999999999",
		"0.99999999999999999999999999999999999999": "0.99999999999999999999999999999999999999",
		"1E-130": "1e-130", "-1E-130": "-1e-130", "1.25E125": "1.25e125",
		"9.9999999999999999999999999999999999999E+125": "9.9999999999999999999999999999999999999e125",
	} {
		got, ok := exactNumber(in)
		if !ok || string(got) != want {
			t.Errorf("exactNumber(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "+", "-", ".", "e1", "1e", "1e+", "1e1e1", "1.2.3", "--1", "1-", " 1", "1 ", "1_000", "0x10", "NaN", "Infinity", "-Inf",
		"1e1000", "1e-1000", "1e99999999999999999999", "１", "null", "123456789012345678901234567890123456789",
		strings.Repeat("1", 1000), "0." + strings.Repeat("0", 1000) + "1",
	} {
		if got, ok := exactNumber(in); ok {
			t.Errorf("exactNumber(%q) = %q, want a refusal", in, got)
		}
	}
}

// The value is exactly the same, its form is JSON, and equal values have one form.
func TestExactNumberIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sign := rapid.SampledFrom([]string{"", "-", "+"}).Draw(t, "sign")
		whole := rapid.StringMatching(`[0-9]{0,19}`).Draw(t, "whole")
		fraction := rapid.StringMatching(`[0-9]{0,19}`).Draw(t, "fraction")
		if whole == "" && fraction == "" {
			whole = "0"
		}
		exponent := rapid.IntRange(-100, 100).Draw(t, "exponent")
		in := fmt.Sprintf("%s%s.%se%d", sign, whole, fraction, exponent)
		got, ok := exactNumber(in)
		if !ok {
			t.Fatalf("%s is refused", in)
		}
		if !json.Valid([]byte(got)) {
			t.Fatalf("%s becomes %s, which is not JSON", in, got)
		}
		want, okWant := new(big.Rat).SetString(in)
		value, okGot := new(big.Rat).SetString(string(got))
		if !okWant || !okGot || want.Cmp(value) != 0 {
			t.Fatalf("%s becomes %s, another value", in, got)
		}
		if again, ok := exactNumber(string(got)); !ok || again != got {
			t.Fatalf("%s becomes %s and then %s", in, got, again)
		}
	})
}

func FuzzAttribute(f *testing.F) {
	for _, seed := range []string{`{"N":"1"}`, `{"S":"x"}`, `{"S":""}`, `{"S":"\""}`, ` {"N":"1"} `, `{"N":"1","S":"2"}`, `{"M":{}}`, `{"N":1}`, `{"S":"a"}"}`, `{"S":"é"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return // only parts of valid JSON get here
		}
		kind, text, ok := plainAttribute(raw)
		if !ok {
			attribute(raw) // must not panic
			return
		}
		var slow map[string]string
		if err := json.Unmarshal(raw, &slow); err != nil || len(slow) != 1 || slow[kind] != text {
			t.Errorf("%q is %s %q in short, and %v (%v)", raw, kind, text, slow, err)
		}
	})
}
