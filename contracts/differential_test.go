package contracts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The scanners must give the verdicts of the schemas. That they accept nothing that the schemas refuse
// is correctness; that they accept all that the schemas accept, but for repeated names, is speed.

type validator struct {
	role string // as judge has it
	scan func(s *scanner, k Kind)
}

var validators = []validator{
	{"", (*scanner).producer},
	{"consumer/", (*scanner).consumer},
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func compareVerdicts(t failer, k Kind, document []byte) {
	t.Helper()
	for _, v := range validators {
		s := scanner{document: document}
		if fits(k, document) {
			v.scan(&s, k)
		} else {
			s.fail()
		}
		got, reason := s.done(), judge(v.role, k, document)
		switch {
		case got && reason != nil:
			t.Fatalf("%s%s: accepted, but %v\n%s", v.role, k, reason, document)
		case !got && reason == nil && !repeatsName(document):
			t.Fatalf("%s%s: not accepted\n%s", v.role, k, document)
		}
	}
	if decode, ok := decoders[k]; ok {
		got, ok := decode.scan(document)
		want, err := decode.judge(document)
		switch {
		case ok && (err != nil || !reflect.DeepEqual(got, want)):
			t.Fatalf("%s: decoded as\n%+v, want\n%+v, %v", k, got, want, err)
		case !ok && err == nil && !repeatsName(document):
			t.Fatalf("%s: not decoded\n%s", k, document)
		}
	}
}

// decoders are the kinds whose scanners fill in a Go type.
var decoders = map[Kind]struct {
	scan  func(document []byte) (any, bool)
	judge func(document []byte) (any, error)
}{
	KindMetricUpdateV1:   {scanAs((*scanner).openMetricUpdateV1), judgeAs[MetricUpdateV1](KindMetricUpdateV1)},
	KindInsightCreatedV1: {scanAs((*scanner).openInsightCreatedV1), judgeAs[InsightCreatedV1](KindInsightCreatedV1)},
}

func scanAs[T any](scan func(*scanner, *T)) func([]byte) (any, bool) {
	return func(document []byte) (any, bool) {
		var v T
		s := scanner{document: document}
		scan(&s, &v)
		return v, s.done() && len(document) <= MaxEventBytes
	}
}

func judgeAs[T any](k Kind) func([]byte) (any, error) {
	return func(document []byte) (any, error) {
		var v T
		if err := judge("consumer/", k, document); err != nil {
			return v, err
		}
		return v, unmarshalInto(document, &v)
	}
}

func unmarshalInto[T any](document []byte, v *T) error {
	return any(v).(json.Unmarshaler).UnmarshalJSON(document)
}

// repeatsName reports whether any object of a JSON document has two members of one name.
func repeatsName(document []byte) bool {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		name  bool            // the next token is a name
	}
	var open []level
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		top := len(open) - 1
		if top >= 0 && open[top].names != nil {
			if name, ok := token.(string); ok && open[top].name {
				if open[top].names[name] {
					return true
				}
				open[top].names[name], open[top].name = true, false
				continue
			}
			open[top].name = true
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{map[string]bool{}, true})
		case json.Delim('['):
			open = append(open, level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:top]
		}
	}
}

func TestRepeatsName(t *testing.T) {
	for document, want := range map[string]bool{
		`{"a":1,"b":1}`: false, `{"a":1,"a":1}`: true, `{"a":{"a":1},"b":{"a":1}}`: false, `[{"a":1},{"a":1}]`: false,
		`{"a":[{"b":1,"c":"b","b":2}]}`: true, `{"a":"a","b":["a","a"]}`: false, `{"a":1,"\u0061":2}`: true, `{"x":{},"y":1,"x":2}`: true,
	} {
		if repeatsName([]byte(document)) != want {
			t.Errorf("%s: %t", document, !want)
		}
	}
}

// everyDocument is every example and every reject, by kind.
func everyDocument(t testing.TB) map[Kind][][]byte {
	t.Helper()
	out := map[Kind][][]byte{}
	for k, byName := range documents(t, "examples") {
		out[k] = append(out[k], slices.Collect(maps.Values(byName))...)
	}
	for k, byName := range documents(t, "rejects") {
		for _, content := range byName {
			out[k] = append(out[k], readReject(t, content).Instance)
		}
	}
	for k := range out {
		slices.SortFunc(out[k], bytes.Compare)
	}
	return out
}

func TestVerdictsAreThoseOfTheSchemas(t *testing.T) {
	all := everyDocument(t)
	for _, k := range Kinds() {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			for own, list := range all {
				for i, document := range list {
					if own == k {
						compareVerdicts(t, k, document)
						compareVerdicts(t, k, reversed(t, document))
					} else if i%5 == 0 {
						compareVerdicts(t, k, document)
					}
				}
			}
		})
	}
}

// reversed is a document with the members of every object in reverse order.
func reversed(t testing.TB, document []byte) []byte {
	t.Helper()
	tree, err := readNode(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range tree.all() {
		if n.object {
			slices.Reverse(n.names)
			slices.Reverse(n.parts)
		}
	}
	var b bytes.Buffer
	tree.writeAs(&b, "", false)
	return b.Bytes()
}

// Of members of one name the last counts, as it does for a browser, also where an earlier one decided
// how others were read.
func TestVerdictsOnRepeatedNames(t *testing.T) {
	full := string(example(t, "events/metric-update/v1/full"))
	for name, c := range map[string]struct {
		old, replacement   string
		producer, consumer bool
	}{
		"the same again":        {`"tenant": "default"`, `"tenant": "default", "tenant": "default"`, true, true},
		"a fault, then none":    {`"tenant": "default"`, `"tenant": 7, "tenant": "default"`, true, true},
		"none, then a fault":    {`"tenant": "default"`, `"tenant": "default", "tenant": 7`, false, false},
		"too deep, then not":    {`"tenant": "default"`, `"tenant": ` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `, "tenant": "default"`, true, true},
		"unknown, too deep":     {`"tenant": "default"`, `"x": ` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `, "x": 1, "tenant": "default"`, false, true},
		"a type, then another":  {`"changed": [`, `"entity_type": "subject", "changed": [`, true, true},
		"then one that differs": {`"segment": "healthy"`, `"segment": "thriving"`, true, true},
		"then one that forbids": {`"changed": [`, `"operation": "DELETE", "changed": [`, false, false},
		"then one of no case":   {`"changed": [`, `"operation": "MERGE", "changed": [`, false, true},
		"names with escapes":    {`"tenant": "default"`, `"tenant": "default", "\u0074enant": 7`, false, false},
	} {
		document := []byte(strings.Replace(full, c.old, c.replacement, 1))
		if err := ValidateProducer(KindMetricUpdateV1, document); (err == nil) != c.producer {
			t.Errorf("%s: a producer says %v", name, err)
		}
		if err := ValidateConsumer(KindMetricUpdateV1, document); (err == nil) != c.consumer {
			t.Errorf("%s: a consumer says %v", name, err)
		}
		compareVerdicts(t, KindMetricUpdateV1, document)
	}
	// Each image is right for the type that came first and wrong for the one that counts.
	thriving := strings.Replace(full, `"segment": "healthy"`, `"segment": "thriving"`, 1)
	for _, document := range []string{
		strings.Replace(thriving, `"changed": [`, `"entity_type": "tutor", "changed": [`, 1),
		strings.Replace(thriving, `"previous": {`, `"entity_type": "tutor", "previous": {`, 1),
	} {
		wantInvalid(t, ValidateProducer(KindMetricUpdateV1, []byte(document)), "/data/current/segment", "enum")
		compareVerdicts(t, KindMetricUpdateV1, []byte(document))
	}
}

func TestVerdictsOnMutationsAreThoseOfTheSchemas(t *testing.T) {
	all := everyDocument(t)
	for _, k := range Kinds() {
		small := slices.DeleteFunc(all[k], func(document []byte) bool { return len(document) > MaxFrameBytes+1 })
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				mutant := drawMutant(t, small, 3)
				compareVerdicts(t, k, mutant)
				if rapid.IntRange(0, 3).Draw(t, "break") == 0 {
					compareVerdicts(t, k, breakBytes(t, mutant))
				}
			})
		})
	}
}

// drawMutant draws one of the documents, with up to so many changes.
func drawMutant(t *rapid.T, documents [][]byte, changes int) []byte {
	tree, err := readNode(rapid.SampledFrom(documents).Draw(t, "document"))
	if err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(1, changes).Draw(t, "changes") {
		tree.mutate(t)
	}
	var b bytes.Buffer
	tree.write(t, &b)
	return b.Bytes()
}

// breakBytes changes, adds or removes some bytes.
func breakBytes(t *rapid.T, document []byte) []byte {
	at := rapid.IntRange(0, len(document)).Draw(t, "at")
	end := min(len(document), at+rapid.IntRange(0, 3).Draw(t, "length"))
	in := rapid.SampledFrom([]string{"", " ", "\n", "\v", "\x00", "\xff", "\xc3", "é", "\ufeff", `"`, `\`, `\u`, "{", "}", "[", "]", ",", ":", "0", "-", "e", ".", "null", "true"}).Draw(t, "in")
	return slices.Concat(document[:at], []byte(in), document[end:])
}

// node is a JSON value that can be changed, its names in order and perhaps repeated.
type node struct {
	object  bool
	array   bool
	names   []string // of an object
	parts   []*node  // of an object or array
	literal string   // of anything else
}

func readNode(document []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	return readNodeFrom(d)
}

func readNodeFrom(d *json.Decoder) (*node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	n := &node{object: token == json.Delim('{'), array: token == json.Delim('[')}
	if !n.object && !n.array {
		literal, err := json.Marshal(token)
		n.literal = string(literal)
		return n, err
	}
	for d.More() {
		if n.object {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			n.names = append(n.names, name.(string))
		}
		part, err := readNodeFrom(d)
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, part)
	}
	_, err = d.Token()
	return n, err
}

// all lists a node and everything in it.
func (n *node) all() []*node {
	out := []*node{n}
	for _, part := range n.parts {
		out = append(out, part.all()...)
	}
	return out
}

func (n *node) clone() *node {
	c := *n
	c.names = slices.Clone(n.names)
	c.parts = slices.Clone(n.parts)
	for i, part := range c.parts {
		c.parts[i] = part.clone()
	}
	return &c
}

// interesting values, as they are written.
var interesting = []string{
	`null`, `true`, `false`, `""`, `"a"`, `"UPSERT"`, `"DELETE"`, `"REMOVE"`, `"student"`, `"subject"`, `"school"`, `"insight"`, `"healthy"`, `"star"`,
	`"2026-11-22T10:00:00.000Z"`, `"2026-02-30T10:00:00.000Z"`, `"2026-11-22T10:00:00+14:00"`, `"2026-11-22T23:59:60.000Z"`, `"\u0061"`, `"\ud83d\ude00"`, `"\ud83d"`, `"é"`,
	`0`, `-0`, `-0.0`, `0e0`, `1`, `-1`, `1.0`, `1e0`, `0.1e1`, `10E-1`, `0.5`, `1.5`, `5`, `5.0000000000000000000000000000000000001`, `100`, `1e2`, `100.00`, `1000e-1`, `100.000000000000000001`,
	`101`, `10000000`, `10000000.0`, `10000001`, `9007199254740991`, `9007199254740991.0`, `9007199254740992`, `18446744073709551616`, `99999999999999999999999999999999999999`,
	`0.00000000000000000000000000000000000001`, `1e-130`, `-1e-130`, `9.9999999999999999999999999999999999999E+125`, `1e390`, `1e400`, `1e401`, `1e-401`, `1e99999`,
	`{}`, `[]`, `[[]]`, `[null]`, `[1,1.0]`, `["a","a"]`, `["a","\u0061"]`, `{"a":1}`, `{"epoch":0,"revision":0}`, `{"pk":"insight#x","sk":"2026-11-22T10:00:00Z"}`,
}

// mutate makes one change, somewhere.
func (n *node) mutate(t *rapid.T) {
	at := rapid.SampledFrom(n.all()).Draw(t, "at")
	switch {
	case at.object && len(at.parts) > 0:
		i := rapid.IntRange(0, len(at.parts)-1).Draw(t, "member")
		switch rapid.IntRange(0, 6).Draw(t, "change") {
		case 0:
			at.names, at.parts = slices.Delete(at.names, i, i+1), slices.Delete(at.parts, i, i+1)
		case 1:
			at.names[i] = rapid.SampledFrom([]string{"", "a", "x y", strings.ToUpper(at.names[i]), at.names[i] + "\x00", at.names[(i+1)%len(at.names)]}).Draw(t, "name")
		case 2: // once more
			at.names, at.parts = append(at.names, at.names[i]), append(at.parts, at.parts[i].clone())
		case 3: // once more, with another value
			at.names, at.parts = append(at.names, at.names[i]), append(at.parts, drawNode(t))
		case 4:
			at.names, at.parts = append(at.names, "from_the_future"), append(at.parts, drawNode(t))
		default: // another order
			order := rapid.Permutation(indexes(len(at.parts))).Draw(t, "order")
			names, parts := slices.Clone(at.names), slices.Clone(at.parts)
			for to, from := range order {
				at.names[to], at.parts[to] = names[from], parts[from]
			}
		}
	case at.array && len(at.parts) > 0:
		i := rapid.IntRange(0, len(at.parts)-1).Draw(t, "item")
		switch rapid.IntRange(0, 2).Draw(t, "change") {
		case 0:
			at.parts = slices.Delete(at.parts, i, i+1)
		case 1:
			at.parts = append(at.parts, at.parts[i].clone())
		default:
			for range rapid.IntRange(1, 70).Draw(t, "items") {
				at.parts = append(at.parts, drawNode(t))
			}
		}
	case strings.HasPrefix(at.literal, `"`) && rapid.Bool().Draw(t, "edit"):
		var text string
		if json.Unmarshal([]byte(at.literal), &text) != nil {
			return
		}
		runes := []rune(text)
		i := rapid.IntRange(0, len(runes)).Draw(t, "rune")
		end := min(len(runes), i+rapid.IntRange(0, 1).Draw(t, "removed"))
		in := rapid.SampledFrom([]string{"", "0", "9", "a", "f", "g", "Z", "-", "+", ".", "/", "_", "#", ":", " ", "\n", "é", "😀", strings.Repeat("x", 70), strings.Repeat("é", 300)}).Draw(t, "in")
		literal, _ := json.Marshal(string(runes[:i]) + in + string(runes[end:]))
		at.literal = string(literal)
	default:
		*at = *drawNode(t)
	}
}

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func drawNode(t *rapid.T) *node {
	n := &node{literal: rapid.SampledFrom(interesting).Draw(t, "value")}
	for range rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 10, 14, 16, 20}).Draw(t, "nested") {
		n = &node{array: true, parts: []*node{n}}
	}
	return n
}

// write writes a node, with space and escapes where JSON allows them.
func (n *node) write(t *rapid.T, b *bytes.Buffer) {
	n.writeAs(b, rapid.SampledFrom([]string{"", "", " ", "\r\n\t"}).Draw(t, "space"), rapid.IntRange(0, 7).Draw(t, "escape") == 0)
}

func (n *node) writeAs(b *bytes.Buffer, space string, escape bool) {
	if !n.object && !n.array {
		b.WriteString(n.literal)
		return
	}
	brackets := "[]"
	if n.object {
		brackets = "{}"
	}
	b.WriteString(brackets[:1] + space)
	for i, part := range n.parts {
		if i > 0 {
			b.WriteString(space + "," + space)
		}
		if n.object {
			name, _ := json.Marshal(n.names[i])
			if first := name[1]; escape && 'a' <= first && first <= 'z' {
				name = fmt.Appendf(nil, `"\u%04x%s`, first, name[2:])
			}
			b.Write(name)
			b.WriteString(space + ":" + space)
		}
		part.writeAs(b, space, escape)
	}
	b.WriteString(space + brackets[1:])
}

func FuzzDifferential(f *testing.F) {
	list := Kinds()
	all := everyDocument(f)
	for i, k := range list {
		for _, document := range all[k] {
			f.Add(uint8(i), document)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, document []byte) {
		compareVerdicts(t, list[int(kind)%len(list)], document)
	})
}

// BenchmarkDecodeEvent/ratio runs the two by turns, so that both meet the same disturbances.
func BenchmarkDecodeEvent(b *testing.B) {
	document := example(b, "events/metric-update/v1/full")
	for _, way := range []struct {
		name   string
		decode func([]byte) (MetricUpdateV1, error)
	}{{"scanner", DecodeEvent}, {"schemas", judgeEvent}} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := way.decode(document); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("ratio", func(b *testing.B) {
		for b.Loop() {
			low, median, high := decodeRatio(b, 15)
			b.ReportMetric(low, "min-x")
			b.ReportMetric(median, "median-x")
			b.ReportMetric(high, "max-x")
		}
	})
}

// decodeRatio measures, in some rounds, how many times as long the schemas take as the scanner.
func decodeRatio(t testing.TB, rounds int) (low, median, high float64) {
	document := example(t, "events/metric-update/v1/full")
	took := func(decode func([]byte) (MetricUpdateV1, error), times int) time.Duration {
		start := time.Now()
		for range times {
			if _, err := decode(document); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(start) / time.Duration(times)
	}
	ratios := make([]float64, 0, rounds)
	for range rounds {
		scanner := took(DecodeEvent, 500)
		ratios = append(ratios, float64(took(judgeEvent, 50))/float64(scanner))
	}
	slices.Sort(ratios)
	return ratios[0], ratios[rounds/2], ratios[rounds-1]
}

// The garbage collector is a third of a fan-out's cost, so what an event costs it is held here. How
// fast decoding is, BenchmarkDecodeEvent tells.
func TestValidationDoesNotAllocate(t *testing.T) {
	document := example(t, "events/metric-update/v1/full")
	if n := testing.AllocsPerRun(100, func() {
		if err := ValidateProducer(KindMetricUpdateV1, document); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("validation allocates %v times", n)
	}
}
