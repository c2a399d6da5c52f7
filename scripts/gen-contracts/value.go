package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// firstBytes are those that values of some types start with.
func (t valueTypes) firstBytes() string {
	var all string
	for _, x := range []struct {
		types valueTypes
		bytes string
	}{
		{nullType, "n"}, {booleanType, "tf"}, {numberType, "-0123456789"}, {textType, `"`}, {arrayType, "["}, {objectType, "{"},
	} {
		if t&x.types != 0 {
			all += x.bytes
		}
	}
	return all
}

// target is where in a Go type a value goes.
type target struct {
	typ    fieldType
	goType string
	place  string // an expression that can be assigned to
}

// set assigns a Go expression to the target, where there is one.
func (t *target) set(expression string) string {
	if strings.HasPrefix(t.goType, "*") {
		return fmt.Sprintf("if dst != nil {\nv := %s\n%s = &v\n}\n", expression, t.place)
	}
	return fmt.Sprintf("if dst != nil {\n%s = %s\n}\n", t.place, expression)
}

// value writes what reads a value. Where it is a text, keep names the variable that keeps it, if any.
func (w *validatorWriter) value(r *rule, to *target, keep string) error {
	var kinds []valueTypes
	for _, kind := range []valueTypes{nullType, booleanType, numberType, textType, arrayType, objectType} {
		if r.types&kind != 0 {
			kinds = append(kinds, r.types&kind)
		}
	}
	switch {
	case len(kinds) == 0:
		w.printf("s.fail()\n")
		return nil
	case to == nil && r.byType() && r.types == anyType:
		w.printf("s.skip()\n")
		return nil
	case to == nil && r.byType() && len(kinds) > 1:
		w.printf("s.skipOf(%q)\n", r.types.firstBytes())
		return nil
	case len(kinds) == 1:
		return w.single(kinds[0], r, to, keep)
	case len(kinds) == 2 && kinds[0] == nullType:
		w.printf("if s.peek() == 'n' {\ns.null()\n} else {\n")
		defer w.printf("}\n")
		return w.single(kinds[1], r, to, keep)
	}
	w.printf("switch s.peek() {\n")
	for _, kind := range kinds {
		var bytes []string
		for _, c := range kind.firstBytes() {
			bytes = append(bytes, strconv.QuoteRune(c))
		}
		w.printf("case %s:\n", strings.Join(bytes, ", "))
		if err := w.single(kind, r, to, keep); err != nil {
			return err
		}
	}
	w.printf("default:\ns.fail()\n}\n")
	return nil
}

func (w *validatorWriter) single(kind valueTypes, r *rule, to *target, keep string) error {
	switch kind {
	case nullType:
		w.printf("s.null()\n") // the zero value of the Go type stands for it
	case booleanType:
		if to == nil {
			w.printf("s.boolean()\n")
			return nil
		}
		w.printf("b := s.boolean()\n%s", to.set("b"))
	case textType:
		return w.text(r, to, keep)
	case arrayType:
		return w.array(r, to)
	case objectType:
		return w.object(r, to)
	default:
		return w.number(kind, r, to)
	}
	return nil
}

func (w *validatorWriter) number(kind valueTypes, r *rule, to *target) error {
	read := "s.number()"
	least, low := smallInteger(r.minimum)
	most, high := smallInteger(r.maximum)
	var checks []string
	switch {
	case low && high && kind == wholeType:
		read = fmt.Sprintf("s.integerIn(%d, %d)", least, most)
	case low && high:
		read = fmt.Sprintf("s.numberIn(%d, %d)", least, most)
	default:
		if kind == wholeType {
			checks = append(checks, "n.integer()")
		}
		for _, bound := range []struct {
			limit json.Number
			order string
		}{{r.minimum, ">="}, {r.maximum, "<="}} {
			if len(bound.limit) > 64 {
				return fmt.Errorf("%s is too long for a limit", bound.limit)
			}
			if bound.limit != "" {
				checks = append(checks, fmt.Sprintf("n.compareText(%q) %s 0", bound.limit, bound.order))
			}
		}
	}
	if len(checks) == 0 && to == nil {
		w.printf("%s\n", read)
		return nil
	}
	w.printf("n := %s\n", read)
	if len(checks) > 0 {
		w.printf("s.check(%s)\n", strings.Join(checks, " && "))
	}
	if to == nil {
		return nil
	}
	if strings.TrimPrefix(to.goType, "*") != "int64" {
		return fmt.Errorf("nothing fills in %s yet", to.goType)
	}
	w.printf("%s", to.set("s.int64(n)"))
	return nil
}

// smallInteger reports whether a limit is an integer of at most 18 digits.
func smallInteger(limit json.Number) (int64, bool) {
	i, err := strconv.ParseInt(limit.String(), 10, 64)
	return i, err == nil && -1e18 < i && i < 1e18
}

func (w *validatorWriter) text(r *rule, to *target, keep string) error {
	if r.texts == nil && r.minLength == 0 && r.maxLength == unlimited && len(r.patterns) == 0 && to == nil && keep == "" {
		w.printf("s.text()\n")
		return nil
	}
	w.printf("t := s.text()\n")
	switch {
	case r.texts == nil:
	case len(r.texts) == 0:
		w.printf("s.fail()\n")
	case len(r.texts) == 1:
		w.printf("s.check(string(t) == %q)\n", r.texts[0])
	default:
		w.printf("switch string(t) {\ncase %s:\ndefault:\ns.fail()\n}\n", quotedList(r.texts))
	}
	if r.minLength > 0 || r.maxLength != unlimited {
		most := "math.MaxInt"
		if r.maxLength != unlimited {
			most = strconv.Itoa(r.maxLength)
		}
		w.printf("s.check(hasRunes(t, %d, %s))\n", r.minLength, most)
	}
	for _, p := range r.patterns {
		name, err := w.patterns.function(p)
		if err != nil {
			return err
		}
		w.printf("s.check(%s(t))\n", name)
	}
	if r.dateTime {
		w.printf("s.check(isDateTime(t))\n")
	}
	if keep != "" {
		w.printf("%s = t\n", keep)
	}
	if to == nil {
		return nil
	}
	if c, ok := to.typ.constant.(string); ok {
		w.printf("%s", to.set(strconv.Quote(c)))
		return nil
	}
	switch {
	case to.typ.enum != nil:
		w.known[to.typ.enum.name] = true
		w.printf("%s", to.set("known"+to.typ.enum.name+"(t)"))
	case to.typ.basic == "string":
		w.printf("%s", to.set("string(t)"))
	default:
		return fmt.Errorf("no text fills in %s", to.goType)
	}
	return nil
}

func (w *validatorWriter) object(r *rule, to *target) error {
	switch {
	case r.form == nil && to == nil:
		w.printf("s.skipOf(\"{\")\n")
		return nil
	case r.form == nil:
		return fmt.Errorf("an object of any form does not fit %s", to.goType)
	case to == nil:
		w.printf("%s\n", w.call(r.form, "nil"))
		return nil
	}
	name := strings.TrimPrefix(to.goType, "*")
	if name != r.form.title || !w.fills[name] {
		return fmt.Errorf("%s does not fit %s", r.form.title, to.goType)
	}
	w.printf("var part *%s\nif dst != nil {\n", name)
	if strings.HasPrefix(to.goType, "*") {
		w.printf("part = new(%s)\n%s = part\n", name, to.place)
	} else {
		w.printf("part = &%s\n", to.place)
	}
	w.printf("}\n%s\n", w.call(r.form, "part"))
	return nil
}

func (w *validatorWriter) array(r *rule, to *target) error {
	item := r.items
	if item == nil {
		item = anyValue()
	}
	w.arrays++
	defer func() { w.arrays-- }()
	n, items := fmt.Sprintf("n%d", w.arrays), fmt.Sprintf("items%d", w.arrays)
	if r.unique {
		return w.distinct(r, to, n, items)
	}

	var inner *target
	if to != nil {
		typ, err := goType(field{required: true, typ: *to.typ.items})
		if err != nil {
			return err
		}
		if to.typ.items.raw || to.typ.items.union != nil {
			return fmt.Errorf("nothing fills in %s", to.goType)
		}
		w.printf("var %s []%s\nif dst != nil {\n%s = []%s{}\n}\n", items, typ, items, typ)
		inner = &target{typ: *to.typ.items, goType: typ, place: fmt.Sprintf("%s[len(%s)-1]", items, items)}
	}
	w.printf("%s := 0\nfor more := s.array(); more; more = s.item() {\n%s++\n", n, n)
	if r.maxItems != unlimited {
		w.printf("s.check(%s <= %d)\n", n, r.maxItems)
	}
	if inner != nil {
		w.printf("if dst != nil {\nvar item %s\n%s = append(%s, item)\n}\n", inner.goType, items, items)
	}
	if err := w.value(item, inner, ""); err != nil {
		return err
	}
	w.printf("}\n")
	if r.minItems > 0 {
		w.printf("s.check(%s >= %d)\n", n, r.minItems)
	}
	if to != nil {
		w.printf("if dst != nil {\n%s = %s\n}\n", to.place, items)
	}
	return nil
}

// distinct writes what reads an array of texts that all differ.
func (w *validatorWriter) distinct(r *rule, to *target, n, items string) error {
	w.printf("var %s [%d][]byte\n%s := 0\nfor more := s.array(); more; more = s.item() {\n", items, r.maxItems, n)
	w.printf("if %s == len(%s) {\ns.fail()\nbreak\n}\n", n, items)
	if err := w.value(r.items, nil, fmt.Sprintf("%s[%s]", items, n)); err != nil {
		return err
	}
	w.printf("%s++\n}\n", n)
	if r.minItems > 0 {
		w.printf("s.check(%s >= %d)\n", n, r.minItems)
	}
	w.printf("s.check(distinct(%s[:%s]))\n", items, n)
	if to == nil {
		return nil
	}
	if to.goType != "[]string" {
		return fmt.Errorf("texts do not fit %s", to.goType)
	}
	w.printf("%s", to.set(fmt.Sprintf("asStrings(%s[:%s])", items, n)))
	return nil
}

// enumeration writes how a text becomes a value of an enumeration, without a copy where it is known.
func (w *validatorWriter) enumeration(e *enumeration) {
	w.printf("func known%s(text []byte) %s {\nswitch string(text) {\n", e.name, e.name)
	for _, v := range e.values {
		w.printf("case %q:\nreturn %s%s\n", v, e.name, goName(v))
	}
	w.printf("}\nreturn %s(text)\n}\n\n", e.name)
}

func quotedList(values []string) string {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		quoted = append(quoted, strconv.Quote(v))
	}
	return strings.Join(quoted, ", ")
}
