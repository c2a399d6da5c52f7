package fanout

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/view"
)

// Major is one major version of a type: how its events are read, and what its frames are called.
// All majors of a type say the same in other words, so that while two of them live side by side every
// connection gets every update in the words that it reads, whichever event brought it.
type Major struct {
	Type    string // of events and frames
	Version int
	// Read decodes an event as a consumer does. Its error is a [contracts.Invalid], with the keyword
	// unknown-type or unknown-major for an event that is another's to read.
	Read func(body []byte) (Event, error)
	// Up says the attributes of this major in the words of the next one, and Down in those of the one
	// before. They are pure; whatever a later producer added goes through. Nil where there is none.
	Up, Down func(entityType string, attributes json.RawMessage) (json.RawMessage, error)
}

// Published are the majors that are in use.
func Published() []Major {
	return []Major{
		{Type: contracts.MetricUpdateV1Type, Version: contracts.MetricUpdateFrameV1Version, Read: readMetricUpdateV1},
		{Type: contracts.InsightCreatedV1Type, Version: contracts.InsightCreatedFrameV1Version, Read: readInsightCreatedV1},
	}
}

// name is how a contract is named in commands, in queries and here.
func (m Major) name() string { return m.Type + "/" + strconv.Itoa(m.Version) }

// majors are all that a worker knows: of each type without a gap, the oldest first.
type majors []Major

func newMajors(all []Major) (majors, error) {
	for _, m := range all {
		if formOf(m.Type) == nil || m.Read == nil {
			return nil, fmt.Errorf("%s cannot be framed or read", m.name())
		}
	}
	sorted := slices.SortedFunc(slices.Values(all), func(a, b Major) int {
		return cmp.Or(formOf(a.Type).index-formOf(b.Type).index, a.Version-b.Version)
	})
	for i, m := range sorted {
		if i == 0 || sorted[i-1].Type != m.Type {
			continue
		}
		if last := sorted[i-1]; m.Version != last.Version+1 || last.Up == nil || m.Down == nil {
			return nil, fmt.Errorf("no way between %s and %s", last.name(), m.name())
		}
	}
	return sorted, nil
}

// read decodes an event of any major. The hint names the major that it most likely is; the error is
// that of the one which knows the event best.
func (ms majors) read(body []byte, hint string) (*event, error) {
	var best error
	for _, m := range ms.from(hint) {
		e, err := m.Read(body)
		if err == nil {
			return ms.translate(m, e)
		}
		if best == nil || closeness(err) > closeness(best) {
			best = err
		}
	}
	if closeness(best) == 0 {
		best = contracts.Invalid{Pointer: "/type", Keyword: contracts.KeywordUnknownType, Message: "no event of this type is delivered"}
	}
	return nil, best
}

// from lists the majors, the named one first.
func (ms majors) from(hint string) majors {
	at := slices.IndexFunc(ms, func(m Major) bool { return m.name() == hint })
	if at <= 0 {
		return ms
	}
	return slices.Concat(majors{ms[at]}, ms[:at], ms[at+1:])
}

// closeness tells how near an event was to being read: another type, another major, invalid.
func closeness(err error) int {
	invalid, _ := err.(contracts.Invalid)
	switch invalid.Keyword {
	case contracts.KeywordUnknownType:
		return 0
	case contracts.KeywordUnknownMajor:
		return 1
	}
	return 2
}

// translate says an event of major m in the words of all majors of its type, at once, so that one
// which cannot be said is refused before anybody was told the half of it.
func (ms majors) translate(m Major, e Event) (*event, error) {
	all := &event{tenant: e.Tenant, trace: e.TraceParent, change: change{
		name: name{formOf(m.Type), e.First, e.Second}, operation: e.Operation,
		version: e.Version, writtenAt: e.WrittenAt, major: m.Version,
	}}
	if at, err := time.Parse(time.RFC3339, e.WrittenAt); err == nil {
		all.written = at
	}
	for _, other := range ms {
		if other.Type != m.Type {
			continue
		}
		current, err := ms.convert(m, other, e.First, e.Current)
		if err != nil {
			return nil, contracts.Invalid{Pointer: "/data/current", Keyword: "conversion", Message: "cannot be said in " + other.name() + ": " + err.Error()}
		}
		w := words{major: other.Version, current: current, image: view.NewImage(current)}
		if previous, err := ms.convert(m, other, e.First, e.Previous); err == nil && previous != nil {
			w.previous = view.NewImage(previous)
		}
		all.said = append(all.said, w)
	}
	return all, nil
}

// convert walks with a state from one major to another, step by step.
func (ms majors) convert(from, to Major, entityType string, said json.RawMessage) (json.RawMessage, error) {
	for from.Version != to.Version && said != nil {
		step, next := from.Up, from.Version+1
		if to.Version < from.Version {
			step, next = from.Down, from.Version-1
		}
		var err error
		if said, err = step(entityType, said); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(ms, func(m Major) bool { return m.Type == from.Type && m.Version == next })
		from = ms[at]
	}
	return said, nil
}

// reading is the major that a connection reads of each form; 0: none.
type reading [forms]int

// reading decides it from the contracts that a connection has named: of each type the newest named one,
// or, where it named none of the type, the oldest.
func (ms majors) reading(named []string) reading {
	var r reading
	for _, f := range []*form{entities, insights} {
		silent := !slices.ContainsFunc(named, func(n string) bool { return strings.HasPrefix(n, f.contract+"/") })
		for _, m := range ms {
			if m.Type != f.contract {
				continue
			}
			if silent {
				r[f.index] = m.Version
				break
			}
			if slices.Contains(named, m.name()) {
				r[f.index] = m.Version
			}
		}
	}
	return r
}
