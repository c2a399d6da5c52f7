package schedules_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

// judge knows what was written, and what the contract says of it in words. It shares nothing with what it
// judges: neither how views match, nor how versions compare, nor which insights count.
type judge struct {
	past map[string]map[string][]past // by tenant and key: all states of a row
	best map[string]contracts.Version // the highest version that the page has held, by key
	rows map[string]held              // what it holds now
}

// past is a state that a row had.
type past struct {
	kind       string
	revision   int64
	attributes map[string]any // nil: it is gone
}

func newJudge() *judge {
	return &judge{past: map[string]map[string][]past{}, best: map[string]contracts.Version{}, rows: map[string]held{}}
}

// written takes note of the next state of a row, and returns its revision.
func (j *judge) written(tenant, kind, key string, attributes map[string]any) int64 {
	if j.past[tenant] == nil {
		j.past[tenant] = map[string][]past{}
	}
	states := j.past[tenant][key]
	p := past{kind, int64(len(states)) + 1, attributes}
	j.past[tenant][key] = append(states, p)
	return p.revision
}

// was complains unless a row had these attributes, among others, with this version.
func (j *judge) was(tenant string, row held) string {
	states := j.past[tenant][row.Key]
	if row.Epoch != epoch || row.Revision < 1 || row.Revision > int64(len(states)) || states[row.Revision-1].attributes == nil {
		return fmt.Sprintf("%s never was there with the version %d.%d in %s", row.Key, row.Epoch, row.Revision, tenant)
	}
	for name, value := range row.Attributes {
		if is := states[row.Revision-1].attributes[name]; !same(is, value) {
			return fmt.Sprintf("%s@%d of %s has the %s %v, not %v", row.Key, row.Revision, tenant, name, is, value)
		}
	}
	return ""
}

// hold takes note of how a row is held now, and complains if that goes backwards or was never so.
func (j *judge) hold(row held) string {
	if row.Revision == 0 {
		delete(j.rows, row.Key)
		return ""
	}
	j.rows[row.Key] = row
	best := j.best[row.Key]
	if row.Epoch < best.Epoch || row.Epoch == best.Epoch && row.Revision < best.Revision {
		return fmt.Sprintf("%s goes back from %d to %d", row.Key, best.Revision, row.Revision)
	}
	j.best[row.Key] = row.version()
	return j.was(home, row)
}

// shows complains unless the page shows, for each of these views, what the table holds.
func (j *judge) shows(views []watched, shown [][]string) string {
	if len(views) != len(shown) {
		return fmt.Sprintf("%d views show something, want %d", len(shown), len(views))
	}
	latest := map[string]past{}
	newest := time.Time{}
	for key, states := range j.past[home] {
		last := states[len(states)-1]
		if last.attributes == nil || !slices.ContainsFunc(views, last.isIn) {
			continue
		}
		latest[key] = last
		if found := last.found(); found.After(newest) {
			newest = found
		}
	}
	// Of all insights that are watched, those count that were found up to a day before the newest.
	maps.DeleteFunc(latest, func(_ string, p past) bool {
		return p.kind == "insight" && newest.Sub(p.found()) > 24*time.Hour
	})
	for i, v := range views {
		for key, p := range latest {
			if p.isIn(v) != slices.Contains(shown[i], key) {
				return fmt.Sprintf("%s: %s@%d is in it: %t, and shown: %t", v.text, key, p.revision, p.isIn(v), !p.isIn(v))
			}
		}
		for _, key := range shown[i] {
			p, there := latest[key]
			if !there {
				return fmt.Sprintf("%s: %s is shown, and is not there", v.text, key)
			}
			if complaint := complete(v, p, j.rows[key]); complaint != "" {
				return fmt.Sprintf("%s: %s: %s", v.text, key, complaint)
			}
		}
	}
	return ""
}

// complete complains unless a row is shown in the state p, with all that a view asks for. It may show more,
// of other views.
func complete(v watched, p past, row held) string {
	if row.Epoch != epoch || row.Revision != p.revision {
		return fmt.Sprintf("the version is %d.%d, want %d", row.Epoch, row.Revision, p.revision)
	}
	for name, value := range p.attributes {
		if v.Fields != nil && !slices.Contains(v.Fields, name) {
			continue
		}
		if is, ok := row.Attributes[name]; !ok || !same(is, value) {
			return fmt.Sprintf("%s is %v, want %v", name, is, value)
		}
	}
	return ""
}

// same compares two values of JSON.
func same(a, b any) bool {
	as, isList := a.([]any)
	bs, areLists := b.([]any)
	if isList || areLists {
		return isList && areLists && slices.EqualFunc(as, bs, same)
	}
	return a == b
}

// watched is a view, as the page asks for it.
type watched struct {
	text       string
	EntityType string `json:"entity_type"`
	Where      []comparison
	Fields     []string
}

type comparison struct {
	Attribute, Operator string
	Value               any
}

func read(text string) watched {
	v := watched{text: text}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	return v
}

// found is when an insight was found; zero for anything else.
func (p past) found() time.Time {
	if p.kind != "insight" {
		return time.Time{}
	}
	return instant(p.attributes["timestamp"])
}

// isIn decides by the words of the contract: every comparison must hold, and none holds of what is absent or
// of another kind.
func (p past) isIn(v watched) bool {
	if p.attributes == nil || v.EntityType != "*" && v.EntityType != p.kind {
		return false
	}
	return !slices.ContainsFunc(v.Where, func(c comparison) bool { return !c.holds(p.attributes[c.Attribute]) })
}

// instants are those of the attributes that are times.
var instants = []string{"last_updated", "timestamp"}

func (c comparison) holds(have any) bool {
	switch want := c.Value.(type) {
	case float64:
		number, ok := have.(float64)
		return ok && c.orders(number < want, number > want)
	case string:
		text, ok := have.(string)
		if !ok {
			return false
		}
		if !slices.Contains(instants, c.Attribute) {
			return (c.Operator == "eq") == (text == want)
		}
		a, b := instant(text), instant(want)
		return c.orders(a.Before(b), a.After(b))
	}
	return false
}

func (c comparison) orders(less, more bool) bool {
	switch c.Operator {
	case "lt":
		return less
	case "le":
		return !more
	case "gt":
		return more
	case "ge":
		return !less
	case "eq":
		return !less && !more
	}
	return less || more
}

func instant(text any) time.Time {
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(text))
	if err != nil {
		panic(err)
	}
	return at
}
