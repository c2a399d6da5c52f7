package contracts

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// scanned is what a scanner takes a whole document for.
func scanned[T any](document string, read func(s *scanner) T) (T, bool) {
	s := scanner{document: []byte(document)}
	s.peek()
	v := read(&s)
	return v, s.done()
}

func TestScannerTakesExactlyWhatIsJSON(t *testing.T) {
	deepest := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	for document, want := range map[string]bool{
		``: false, ` `: false, `null`: true, `nul`: false, `nulll`: false, `true`: true, `false`: true, `True`: false, `null null`: false,
		`{}`: true, ` { } `: true, `{"a":1}`: true, "{\t\"a\"\r\n:\n1 , \"b\" : [ ] }": true, `{"a":1,}`: false, `{,}`: false, `{a:1}`: false,
		`{"a" 1}`: false, `{"a":}`: false, `{"a":1 "b":2}`: false, `{"a"`: false, `{"a":`: false, `{`: false, `}`: false, `{1:2}`: false,
		`[]`: true, `[1,2]`: true, `[1,]`: false, `[,1]`: false, `[1 2]`: false, `[`: false, `]`: false, `[}`: false, `{]`: false,
		`""`: true, `"`: false, `"\"`: false, `"\\"`: true, `"\q"`: false, `"\u12"`: false, `"\u00e9"`: true, `"\u00E9\ud83d\ude00"`: true,
		`"\ud83d"`: true, `"\ud83d\u0041"`: true, `"\ude00\ud83d"`: true, `"\ud83d\u"`: false, "\"a\nb\"": false, "\"\x7f\"": true, "\"\x00\"": false,
		"\"\xff\"": false, "\"\xed\xa0\x80\"": false, "\"\xc3\"": false, "\"é\u2028😀\"": true, "\"\ufffd\"": true, "\ufeff1": false, "\v1": false, "\u00a01": false,
		"{\"\xff\":1}": false, `{"\u12":1}`: false, `{"a\n":1}`: true,
		deepest: true, "[" + deepest + "]": false, `{"a":` + deepest[1:len(deepest)-1] + `}`: true, `{"a":` + deepest + `}`: false,
		`1e400`: true, `1e401`: false, `-1e-400`: true, `1E+0000000400`: true, `1e99999999999999999999`: false,
		strings.Repeat("9", 64): true, strings.Repeat("9", 65): false,
	} {
		if _, got := scanned(document, func(s *scanner) any { s.skip(); return nil }); got != want {
			t.Errorf("%.60q: got %t", document, got)
		}
	}
}

// A scanner that skips a document takes what encoding/json and checkTree take.
func FuzzSkip(f *testing.F) {
	for _, k := range Kinds() {
		for _, content := range documents(f, "examples")[k] {
			f.Add(string(content))
		}
	}
	f.Add(`[1e400,-0,"\ud83d\ude00\ud83d",{"a":{"a":[[[[[[[[[[[[[]]]]]]]]]]]]]}}]`)
	f.Fuzz(func(t *testing.T, document string) {
		_, got := scanned(document, func(s *scanner) any { s.skip(); return nil })
		tree, err := parse([]byte(document), 0)
		want := err == nil && checkTree(tree, nil) == nil
		if got != want && !(want && repeatsName([]byte(document))) {
			t.Fatalf("got %t, want %t: %q", got, want, document)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, text := range []string{`""`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u0000\u00e9\ud83d\ude00\ud83d\ud83d\ude00x\udead"`, "\"é😀\u2028\"", `"\ud83d\u12"`, "\"\xff\""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := scanned(text, func(s *scanner) string { return string(s.text()) })
		var want string
		valid := utf8.ValidString(text) && strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), `"`) && json.Unmarshal([]byte(text), &want) == nil
		if ok != valid || ok && got != want {
			t.Fatalf("%q is %q (%t), want %q (%t)", text, got, ok, want, valid)
		}
	})
}

// Texts stay what they were while later ones are unescaped.
func TestTextsOutliveTheNext(t *testing.T) {
	s := scanner{document: []byte(`["\u0061","b","c\u0064","\u0065` + strings.Repeat(`\u0066`, 100) + `"]`)}
	var texts [][]byte
	for more := s.array(); more; more = s.item() {
		texts = append(texts, s.text())
	}
	if got := string(bytes.Join(texts, []byte(","))); got != "a,b,cd,e"+strings.Repeat("f", 100) || !s.done() {
		t.Errorf("got %s", got)
	}
}

var literals = rapid.StringMatching(`-?(0|[1-9][0-9]{0,2}|[1-9][0-9]{14,37})([.]([0-9]{1,3}|0{1,20}|[0-9]{20}))?([eE][+-]?[0-9]{1,3})?`)

func TestNumbersCompareExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		literal := literals.Draw(t, "literal")
		n, ok := scanned(literal, (*scanner).number)
		if bounded := boundedNumber(literal); ok != bounded {
			t.Fatalf("%s: read %t, want %t", literal, ok, bounded)
		}
		if !ok {
			return
		}
		value, _ := new(big.Rat).SetString(literal)
		if n.integer() != value.IsInt() {
			t.Fatalf("%s: integer is %t", literal, n.integer())
		}
		const most = 999_999_999_999_999_999
		bounds := []int64{0, 1, -1, most, -most, rapid.Int64Range(-most, most).Draw(t, "bound")}
		if value.IsInt() && value.Num().IsInt64() {
			for _, near := range []int64{-1, 0, 1} {
				bounds = append(bounds, max(-most, min(most, value.Num().Int64()+near)))
			}
		}
		for _, bound := range bounds {
			if got, want := n.compare(bound), value.Cmp(new(big.Rat).SetInt64(bound)); got != want {
				t.Fatalf("%s against %d is %d, want %d", literal, bound, got, want)
			}
		}
		other := literals.Filter(boundedNumber).Draw(t, "other")
		otherValue, _ := new(big.Rat).SetString(other)
		if got, want := n.compareText(other), value.Cmp(otherValue); got != want {
			t.Fatalf("%s against %s is %d, want %d", literal, other, got, want)
		}
		if got := n.compareText(literal); got != 0 {
			t.Fatalf("%s against itself is %d", literal, got)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, literal := range []string{"0", "-0", "-0.0e-5", "12.0", "1e2", "120E-1", "1.2e1", "01", "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "1_0", "9007199254740993", "12345678901234567.0", strings.Repeat("9", 38)} {
		f.Add(literal, int64(12))
	}
	f.Fuzz(func(t *testing.T, literal string, bound int64) {
		s := scanner{document: []byte(literal)}
		n := s.number()
		if ok := s.done(); ok != boundedNumber(strings.TrimRight(literal, " \t\r\n")) {
			t.Fatalf("%q: %t", literal, ok)
		}
		if s.failed {
			return
		}
		value, _ := new(big.Rat).SetString(string(n.literal))
		if n.integer() != value.IsInt() {
			t.Fatalf("%q: integer is %t", literal, n.integer())
		}
		bound %= 1e18
		if got, want := n.compare(bound), value.Cmp(new(big.Rat).SetInt64(bound)); got != want {
			t.Fatalf("%q against %d is %d, want %d", literal, bound, got, want)
		}
		var want int64
		if err := readInteger(n.literal, &want); n.integer() {
			if got := s.int64(n); !s.failed && (err != nil || got != want) || s.failed && err == nil && -1<<53 <= want && want <= 1<<53 {
				t.Fatalf("%q is %d (failed: %t), want %d (%v)", literal, got, s.failed, want, err)
			}
		}
	})
}

// digitsOfDateTime is the form that every pattern of a date-time asks for. The general validator
// forgives others, such as +1 or -0 for an hour.
var digitsOfDateTime = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$`)

func FuzzDateTime(f *testing.F) {
	for _, text := range []string{
		"2026-11-22T10:00:00Z", "2026-11-22t10:00:00.123z", "2024-02-29T00:00:00+00:00", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2000-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z", "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "2016-12-31T15:59:60-08:00", "2017-01-01T07:59:60+08:00", "2016-12-31T22:59:60Z",
		"2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z", "2026-11-22T10:00:61Z", "2026-11-22T10:00:00", "2026-11-22T10:00:00.Z", "2026-11-22T10:00:00+24:00", "2026-11-22T10:00:00+01:60",
		"2026-13-22T10:00:00Z", "2026-00-22T10:00:00Z", "2026-11-00T10:00:00Z", "2026-11-22 10:00:00Z", "2026-11-22T+1:00:00Z", "2026-11-22T10:00:00+0100", "٠٠26-11-22T10:00:00Z",
	} {
		f.Add(text)
	}
	schema := dateTimeSchema(f)
	f.Fuzz(func(t *testing.T, text string) {
		got, want := isDateTime([]byte(text)), schema.Validate(text) == nil && digitsOfDateTime.MatchString(text)
		if got != want {
			t.Fatalf("%q: got %t, want %t", text, got, want)
		}
	})
}

func dateTimeSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("x.json", map[string]any{"format": "date-time"}); err != nil {
		t.Fatal(err)
	}
	return compiler.MustCompile("x.json")
}

func TestDistinct(t *testing.T) {
	for list, want := range map[string]bool{"": true, "a": true, "a b c": true, "a a": false, "a b a": false, "c b a": true, "a c b c": false, "b a c a": false, "a b c c": false} {
		var texts [][]byte
		for text := range strings.FieldsSeq(list) {
			texts = append(texts, []byte(text))
		}
		if distinct(texts) != want {
			t.Errorf("%q: got %t", list, !want)
		}
		if want && strings.Join(asStrings(texts), " ") != list {
			t.Errorf("%q becomes %q", list, asStrings(texts))
		}
	}
}

func TestHasRunes(t *testing.T) {
	for _, text := range []string{"", "a", "é", "😀", "aé😀", strings.Repeat("😀", 10)} {
		n := utf8.RuneCountInString(text)
		for least := range 13 {
			for most := range 13 {
				if got := hasRunes([]byte(text), least, most); got != (least <= n && n <= most) {
					t.Errorf("%s between %s and %s: %t", strconv.Quote(text), strconv.Itoa(least), strconv.Itoa(most), got)
				}
			}
		}
	}
}
