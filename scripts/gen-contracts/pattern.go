package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// patternWriter turns regular expressions into Go. It takes those that are matched without going back:
// wherever there is a choice, the next character decides. What it writes is as exact as the regular
// expression, and several times as fast.
type patternWriter struct {
	names     map[string]string // of functions, by pattern
	functions []string
	sets      map[charSet]string // names of variables
	variables []string
}

func newPatternWriter() *patternWriter {
	return &patternWriter{names: map[string]string{}, sets: map[charSet]string{}}
}

// charSet is a set of ASCII characters.
type charSet [128]bool

// everything is what may come behind a pattern that does not end with $.
var everything = func() (s charSet) {
	for c := range s {
		s[c] = true
	}
	return s
}()

func (s charSet) overlaps(other charSet) bool {
	for c, in := range s {
		if in && other[c] {
			return true
		}
	}
	return false
}

func (s charSet) union(other charSet) charSet {
	for c, in := range other {
		s[c] = s[c] || in
	}
	return s
}

// ranges lists a set, each range as its first and its last character.
func (s charSet) ranges() string {
	var b strings.Builder
	for c := 0; c < len(s); c++ {
		if !s[c] {
			continue
		}
		b.WriteByte(byte(c))
		for c+1 < len(s) && s[c+1] {
			c++
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

// function returns the name of the function that matches a pattern.
func (w *patternWriter) function(pattern string) (string, error) {
	if name, ok := w.names[pattern]; ok {
		return name, nil
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", err
	}
	if tree.Op != syntax.OpConcat || tree.Sub[0].Op != syntax.OpBeginText {
		return "", fmt.Errorf("pattern %s does not start with ^", pattern)
	}
	var b bytes.Buffer
	if err := w.sequence(&b, tree.Sub[1:], everything); err != nil {
		return "", fmt.Errorf("pattern %s: %w", pattern, err)
	}
	name := "matches" + strconv.Itoa(len(w.functions)+1)
	w.names[pattern] = name
	w.functions = append(w.functions, fmt.Sprintf("// %s\nfunc %s(text []byte) bool {\nm := match{rest: text}\n%sreturn !m.failed\n}\n\n", pattern, name, b.String()))
	return name, nil
}

// declarations is the functions and all that they need.
func (w *patternWriter) declarations() string {
	var b strings.Builder
	if len(w.variables) > 0 {
		b.WriteString("var (\n" + strings.Join(w.variables, "\n") + "\n)\n\n")
	}
	b.WriteString(strings.Join(w.functions, ""))
	return b.String()
}

// table is a map from each pattern to its function.
func (w *patternWriter) table() string {
	var b strings.Builder
	b.WriteString("var patterns = map[string]func(text []byte) bool{\n")
	for _, pattern := range slices.Sorted(maps.Keys(w.names)) {
		fmt.Fprintf(&b, "%q: %s,\n", pattern, w.names[pattern])
	}
	b.WriteString("}\n")
	return b.String()
}

// set returns the name of the variable that holds a set.
func (w *patternWriter) set(s charSet) string {
	if name, ok := w.sets[s]; ok {
		return name
	}
	name := "bytes" + strconv.Itoa(len(w.variables)+1)
	w.sets[s] = name
	w.variables = append(w.variables, fmt.Sprintf("%s = bytesIn(%q)", name, s.ranges()))
	return name
}

// start is how a match may begin: with which characters, and whether it may be empty.
type start struct {
	set   charSet
	empty bool
}

func startOf(re *syntax.Regexp) (s start, err error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return start{empty: true}, nil
	case syntax.OpEndText:
		return start{}, nil
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 || r >= 128 {
				return s, fmt.Errorf("%s is not a text of ASCII", re)
			}
		}
		s.set[re.Rune[0]] = true
		return s, nil
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i+1] >= 128 {
				return s, fmt.Errorf("%s has characters beyond ASCII", re)
			}
			for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
				s.set[c] = true
			}
		}
		return s, nil
	case syntax.OpCapture, syntax.OpPlus:
		return startOf(re.Sub[0])
	case syntax.OpStar, syntax.OpQuest:
		s, err = startOf(re.Sub[0])
		s.empty = true
		return s, err
	case syntax.OpRepeat:
		s, err = startOf(re.Sub[0])
		s.empty = s.empty || re.Min == 0
		return s, err
	case syntax.OpConcat:
		return startOfSequence(re.Sub)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			next, err := startOf(sub)
			if err != nil {
				return s, err
			}
			s = start{s.set.union(next.set), s.empty || next.empty}
		}
		return s, nil
	}
	return s, fmt.Errorf("%s is beyond what the fast validators know", re)
}

func startOfSequence(list []*syntax.Regexp) (start, error) {
	s := start{empty: true}
	for _, re := range list {
		next, err := startOf(re)
		if err != nil {
			return s, err
		}
		s.set = s.set.union(next.set)
		if !next.empty {
			s.empty = false
			break
		}
	}
	return s, nil
}

// sequence writes what matches one after the other. Behind is what may come after it.
func (w *patternWriter) sequence(b *bytes.Buffer, list []*syntax.Regexp, behind charSet) error {
	for i, re := range list {
		next, err := startOfSequence(list[i+1:])
		if err != nil {
			return err
		}
		if next.empty {
			next.set = next.set.union(behind)
		}
		if err := w.write(b, re, next.set); err != nil {
			return err
		}
	}
	return nil
}

func (w *patternWriter) write(b *bytes.Buffer, re *syntax.Regexp, behind charSet) error {
	s, err := startOf(re)
	if err != nil {
		return err
	}
	switch re.Op {
	case syntax.OpEndText:
		b.WriteString("m.end()\n")
	case syntax.OpLiteral:
		fmt.Fprintf(b, "m.literal(%q)\n", string(re.Rune))
	case syntax.OpCharClass:
		fmt.Fprintf(b, "m.take(%s, 1, 1)\n", w.set(s.set))
	case syntax.OpCapture:
		return w.write(b, re.Sub[0], behind)
	case syntax.OpConcat:
		return w.sequence(b, re.Sub, behind)
	case syntax.OpStar:
		return w.repeat(b, re, 0, -1, behind)
	case syntax.OpPlus:
		return w.repeat(b, re, 1, -1, behind)
	case syntax.OpQuest:
		return w.repeat(b, re, 0, 1, behind)
	case syntax.OpRepeat:
		return w.repeat(b, re, re.Min, re.Max, behind)
	case syntax.OpAlternate:
		return w.alternate(b, re, behind)
	}
	return nil
}

// repeat writes what matches the operand of re between least and most times; a negative most is any
// number.
func (w *patternWriter) repeat(b *bytes.Buffer, re *syntax.Regexp, least, most int, behind charSet) error {
	sub := re.Sub[0]
	s, err := startOf(sub)
	if err != nil {
		return err
	}
	if s.empty || least != most && s.set.overlaps(behind) {
		return fmt.Errorf("the next character does not say whether %s goes on", re)
	}
	limit := "math.MaxInt"
	if most >= 0 {
		limit = strconv.Itoa(most)
	}
	if sub.Op == syntax.OpCharClass || sub.Op == syntax.OpLiteral && len(sub.Rune) == 1 {
		fmt.Fprintf(b, "m.take(%s, %d, %s)\n", w.set(s.set), least, limit)
		return nil
	}
	var round bytes.Buffer
	if err := w.write(&round, sub, behind.union(s.set)); err != nil {
		return err
	}
	switch {
	case least == 0 && most == 1:
		fmt.Fprintf(b, "if m.next(%s) {\n%s}\n", w.set(s.set), round.String())
	case least == most:
		fmt.Fprintf(b, "for range %d {\n%s}\n", least, round.String())
	default:
		fmt.Fprintf(b, "for n := 0; !m.failed && n < %s && (n < %d || m.next(%s)); n++ {\n%s}\n", limit, least, w.set(s.set), round.String())
	}
	return nil
}

func (w *patternWriter) alternate(b *bytes.Buffer, re *syntax.Regexp, behind charSet) error {
	var seen charSet
	b.WriteString("switch {\n")
	for _, sub := range re.Sub {
		s, err := startOf(sub)
		if err != nil {
			return err
		}
		if s.empty || s.set.overlaps(seen) {
			return fmt.Errorf("the next character does not choose between the alternatives of %s", re)
		}
		if sub.Op == syntax.OpEndText {
			b.WriteString("case m.atEnd():\n")
			continue
		}
		if s.set == (charSet{}) {
			return errors.New("nothing matches an alternative")
		}
		seen = seen.union(s.set)
		fmt.Fprintf(b, "case m.next(%s):\n", w.set(s.set))
		if err := w.write(b, sub, behind); err != nil {
			return err
		}
	}
	b.WriteString("default:\nm.fail()\n}\n")
	return nil
}
