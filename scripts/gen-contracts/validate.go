package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// goValidators writes the fast validators: methods of contracts.scanner that read a document once, from
// front to back, and hold it against its schema on the way. There is one for every form of object, in
// each role. Those of events that a consumer reads fill in the Go type as well, where they get one.
//
// What a number, a text or a pattern is, is decided in contracts/scan.go, number.go and match.go. What
// is written here is only which rule holds where.
func goValidators(m *model) ([]byte, error) {
	w, err := writeValidators(m)
	if err != nil {
		return nil, err
	}
	for _, e := range m.enums {
		if w.known[e.name] {
			w.enumeration(e)
		}
	}
	w.out.WriteString(w.patterns.declarations())
	header := goHeader
	if bytes.Contains(w.out.Bytes(), []byte("math.")) {
		header += "import \"math\"\n\n"
	}
	return gofmt(append([]byte(header), w.out.Bytes()...))
}

// goPatterns writes, for a test, which function matches which pattern.
func goPatterns(m *model) ([]byte, error) {
	w, err := writeValidators(m)
	if err != nil {
		return nil, err
	}
	return gofmt([]byte(goHeader + w.patterns.table()))
}

// writeValidators writes all but what the validators of both roles share.
func writeValidators(m *model) (*validatorWriter, error) {
	w := &validatorWriter{model: m, patterns: newPatternWriter(), known: map[string]bool{}}
	for _, role := range []struct {
		name, doc, prefix string
		schema            func(any) any
	}{
		{"producer", "holds a document against the closed schema of its kind.", "closed", func(v any) any { return v }},
		{"consumer", "holds a document against the open schema of its kind.", "open", open},
	} {
		book, err := newRulebook(m.set, role.schema)
		if err != nil {
			return nil, err
		}
		w.prefix, w.forms, w.fills = role.prefix, nil, map[string]bool{}
		var kinds strings.Builder
		for _, k := range m.kinds {
			root := book.rules[k.path+".json"]
			if root.types != objectType || root.form == nil {
				return nil, fmt.Errorf("%s: a document is an object", k.path)
			}
			if err := w.collect(root, role.prefix == "open" && strings.HasPrefix(k.path, "events/")); err != nil {
				return nil, fmt.Errorf("%s: %w", k.path, err)
			}
			fmt.Fprintf(&kinds, "case Kind%s:\n%s\n", k.name, w.call(root.form, "nil"))
		}
		w.printf("// %s %s\nfunc (s *scanner) %s(k Kind) {\nswitch k {\n%sdefault:\ns.fail()\n}\n}\n\n", role.name, role.doc, role.name, kinds.String())
		for _, f := range w.forms {
			if err := w.form(f); err != nil {
				return nil, fmt.Errorf("%s: %w", f.title, err)
			}
		}
	}
	return w, nil
}

type validatorWriter struct {
	model    *model
	patterns *patternWriter
	known    map[string]bool // enumerations that something fills in
	out      bytes.Buffer

	// Of the role that is being written:
	prefix string
	forms  []*form         // in the order in which they are first met
	fills  map[string]bool // titles of those that fill in a Go type

	arrays int // that are being written, one inside the other
}

func (w *validatorWriter) printf(format string, args ...any) { fmt.Fprintf(&w.out, format, args...) }

// collect lists the forms that a value may have, and which of them fill in a Go type.
func (w *validatorWriter) collect(r *rule, fills bool) error {
	if r.items != nil {
		if err := w.collect(r.items, fills); err != nil {
			return err
		}
	}
	f := r.form
	if f == nil {
		return nil
	}
	if f.title == "" {
		return errors.New("an object has a title, which names its validator")
	}
	if len(f.members) > 64 {
		return fmt.Errorf("%s has more than 64 members", f.title)
	}
	if !slices.ContainsFunc(w.forms, func(o *form) bool { return o.title == f.title }) {
		w.forms = append(w.forms, f)
	} else if !fills || w.fills[f.title] {
		return nil
	}
	w.fills[f.title] = fills
	for _, m := range f.members {
		if err := w.collect(m.rule, fills); err != nil {
			return err
		}
		for _, c := range f.cases {
			if then := c.then.member(m.name); then != nil {
				// What depends on a case, the Go type leaves as it is.
				if err := w.collect(then, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// call reads an object of a form.
func (w *validatorWriter) call(f *form, dst string) string {
	if !w.fills[f.title] {
		dst = ""
	}
	return fmt.Sprintf("s.%s%s(%s)", w.prefix, f.title, dst)
}

// bits marks members, each by its place in the form.
func (f *form) bits(names ...string) (string, error) {
	bits := make([]string, 0, len(names))
	for _, name := range names {
		at := slices.IndexFunc(f.members, func(m formMember) bool { return m.name == name })
		if at < 0 {
			return "", fmt.Errorf("%q is required, but no property", name)
		}
		bits = append(bits, fmt.Sprintf("1<<%d", at))
	}
	return strings.Join(bits, "|"), nil
}

// decider is the member by whose value the form of m is chosen; empty where there is nothing to choose
// but its type.
func (f *form) decider(m formMember) string {
	for _, c := range f.cases {
		if then := c.then.member(m.name); then != nil && !then.byType() {
			return c.property
		}
	}
	return ""
}

// looksBack reports whether the value of m is looked at again at the end of the object.
func (f *form) looksBack(m formMember) bool {
	for _, c := range f.cases {
		if then := c.then.member(m.name); then != nil && then.types != 0 {
			return true
		}
	}
	return false
}

// tests lists the members whose values choose between cases.
func (f *form) tests() []string {
	var names []string
	for _, c := range f.cases {
		if !slices.Contains(names, c.property) {
			names = append(names, c.property)
		}
	}
	return names
}

// variable names a local variable that holds something of a member.
func variable(name, what string) string {
	s := goName(name)
	return strings.ToLower(s[:1]) + s[1:] + what
}

// form writes the method that reads an object, and those that it needs.
func (w *validatorWriter) form(f *form) error {
	var st *structure
	parameter := ""
	if w.fills[f.title] {
		at := slices.IndexFunc(w.model.structs, func(s *structure) bool { return s.name == f.title })
		if at < 0 {
			return errors.New("it has no Go type")
		}
		st = w.model.structs[at]
		parameter = "dst *" + st.name
	}
	w.printf("func (s *scanner) %s%s(%s) {\nvar seen uint64\n", w.prefix, f.title, parameter)
	for _, name := range f.tests() {
		w.printf("var %s []byte\n", variable(name, "Text"))
	}
	var decided bool
	for _, m := range f.members {
		if f.looksBack(m) {
			w.printf("var %s int\n", variable(m.name, "At"))
		}
		decided = decided || f.decider(m) != ""
	}
	if decided {
		w.printf("var early uint64 // members that came before what decides on their form\n")
	}
	w.printf("for name, more := s.object(); more; name, more = s.member() {\nswitch string(name) {\n")
	for _, m := range f.members {
		if err := w.member(f, m, st); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if f.closed {
		w.printf("default:\ns.fail()\n}\n}\n")
	} else {
		w.printf("default:\ns.skip()\n}\n}\n")
	}
	if len(f.required) > 0 {
		mask, err := f.bits(f.required...)
		if err != nil {
			return err
		}
		w.printf("const required = %s\ns.check(seen&required == required)\n", mask)
	}
	if err := w.cases(f); err != nil {
		return err
	}
	w.printf("}\n\n")
	for _, m := range f.members {
		if f.decider(m) != "" {
			if err := w.decision(f, m); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return nil
}

// member writes what reads one member.
func (w *validatorWriter) member(f *form, m formMember, st *structure) error {
	own, err := f.bits(m.name)
	if err != nil {
		return err
	}
	w.printf("case %q:\nseen = s.once(seen, %s)\n", m.name, own)
	if f.looksBack(m) {
		w.printf("%s = s.at\n", variable(m.name, "At"))
	}

	var to *target
	copied := ""
	if st != nil {
		at := slices.IndexFunc(st.fields, func(x field) bool { return x.name == m.name })
		if at < 0 {
			return errors.New("its Go type has no such field")
		}
		fd := st.fields[at]
		typ, err := goType(fd)
		if err != nil {
			return err
		}
		to = &target{typ: fd.typ, goType: typ, place: "dst." + goName(fd.name)}
		if fd.typ.raw {
			copied = fmt.Sprintf("if dst != nil {\n%s = s.raw(from)\n}\n", to.place)
			to = nil
			w.printf("from := s.at\n")
		}
	}
	tested := slices.Contains(f.tests(), m.name)
	decider := f.decider(m)
	switch {
	case decider != "" && (to != nil || tested):
		return errors.New("a case decides on its form, but the Go type does not leave it as it is")
	case decider != "":
		bit, err := f.bits(decider)
		if err != nil {
			return err
		}
		w.printf("if seen&(%s) != 0 {\n%s\n} else {\nearly |= %s\n", bit, w.decide(f, m), own)
		if err := w.value(m.rule, nil, ""); err != nil {
			return err
		}
		w.printf("}\n")
	case tested:
		if err := w.value(m.rule, to, variable(m.name, "Text")); err != nil {
			return err
		}
	default:
		if err := w.value(m.rule, to, ""); err != nil {
			return err
		}
	}
	w.printf("%s", copied)
	return nil
}

// decide reads a member whose form another one decides on.
func (w *validatorWriter) decide(f *form, m formMember) string {
	return fmt.Sprintf("s.%s%s%s(%s)", w.prefix, f.title, goName(m.name), variable(f.decider(m), "Text"))
}

// decision writes the method that decide calls.
func (w *validatorWriter) decision(f *form, m formMember) error {
	decider := f.decider(m)
	by := variable(decider, "Text")
	w.printf("func (s *scanner) %s%s%s(%s []byte) {\nswitch string(%s) {\n", w.prefix, f.title, goName(m.name), by, by)
	for _, c := range f.cases {
		then := c.then.member(m.name)
		if then == nil || then.byType() {
			continue
		}
		if c.property != decider {
			return fmt.Errorf("both %s and %s decide on its form", decider, c.property)
		}
		both, err := m.rule.and(then)
		if err != nil {
			return err
		}
		w.printf("case %s:\n", quotedList(c.values))
		if err := w.value(both, nil, ""); err != nil {
			return err
		}
	}
	w.printf("default:\n")
	if err := w.value(m.rule, nil, ""); err != nil {
		return err
	}
	w.printf("}\n}\n\n")
	return nil
}

// cases writes what is left to check when all members are known.
func (w *validatorWriter) cases(f *form) error {
	if len(f.cases) == 0 {
		return nil
	}
	w.printf("if s.failed {\nreturn\n}\n")
	for _, test := range f.tests() {
		var b bytes.Buffer
		var seen []string
		for _, c := range f.cases {
			if c.property != test {
				continue
			}
			for _, v := range c.values {
				if slices.Contains(seen, v) || v == "" {
					return fmt.Errorf("two cases test %s for %q, or it is empty", test, v)
				}
				seen = append(seen, v)
			}
			checks, err := f.checks(c)
			if err != nil {
				return err
			}
			if checks != "" {
				fmt.Fprintf(&b, "case %s:\n%s", quotedList(c.values), checks)
			}
		}
		if b.Len() > 0 {
			w.printf("switch string(%s) {\n%s}\n", variable(test, "Text"), b.String())
		}
	}
	for _, m := range f.members {
		if f.decider(m) == "" {
			continue
		}
		bit, err := f.bits(m.name)
		if err != nil {
			return err
		}
		w.printf("if early&(%s) != 0 {\nend := s.again(%s)\n%s\ns.resume(end)\n}\n", bit, variable(m.name, "At"), w.decide(f, m))
	}
	return nil
}

// checks are those of one case, without what decide does.
func (f *form) checks(c formCase) (string, error) {
	var b strings.Builder
	if len(c.then.required) > 0 {
		mask, err := f.bits(c.then.required...)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "s.check(seen&(%[1]s) == %[1]s)\n", mask)
	}
	for _, m := range c.then.members {
		bit, err := f.bits(m.name)
		if err != nil {
			return "", err
		}
		switch {
		case m.rule.types == 0:
			fmt.Fprintf(&b, "s.check(seen&(%s) == 0)\n", bit)
		case m.rule.byType() && m.rule.types != anyType:
			fmt.Fprintf(&b, "s.check(seen&(%s) == 0 || s.startsWith(%s, %q))\n", bit, variable(m.name, "At"), m.rule.types.firstBytes())
		}
	}
	return b.String(), nil
}
