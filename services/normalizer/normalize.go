package normalizer

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/state"
)

// defaultTenant owns the rows that name no tenant.
const defaultTenant = "default"

// tenantAttribute of a row says whose it is. It is not among its public attributes.
const tenantAttribute = "tenant"

// update is one change of one entity of one tenant, and the event that tells of it, which lacks
// only its version.
type update struct {
	change state.Change
	kind   kind
	draft  draft
}

// outcome is what a record comes to: updates, or a reason for quarantine. A row that moved to
// another tenant and is invalid has both: it leaves the tenant it was in.
type outcome struct {
	record  record
	kind    kind // nil where the table is not known
	key     [2]string
	trace   string
	tenant  string // empty where it is not known
	entity  entity
	updates []update
	reason  *quarantine.Reason
	dropped []string // attributes of the new image that are not public
}

// entity names an entity, or an insight, whatever its tenant. The zero entity is not known.
type entity struct{ Type, ID string }

// tables are the tables whose streams are read, by name, and what kind of rows each has. A record is
// of the kind that its table has: the name is in the ARN of its stream, which DynamoDB writes. What
// its key looks like would not do, because any table may have a pk and an sk.
type tables map[string]kind

// normalize is the pure function: the same record gives the same outcome. The time stands in where
// the record does not tell when the change happened.
func (t tables) normalize(payload []byte, now time.Time) outcome {
	r, wrong := decode(payload)
	o := outcome{record: r, trace: traceParent(r.EventSourceARN, r.EventID), kind: t[r.table()]}
	unnamed := o.name()
	if wrong == nil {
		wrong = o.check(unnamed)
	}
	if wrong != nil {
		o.reason = wrong
		return o
	}
	switch r.EventName {
	case "REMOVE":
		o.remove(now)
	default:
		o.upsert(now)
	}
	return o
}

// name finds out what the record is about, as far as its key tells, or the reason why it tells
// nothing.
func (o *outcome) name() *quarantine.Reason {
	if o.kind == nil {
		return &quarantine.Reason{Code: "enum", Pointer: "/eventSourceARN", Message: "is not the stream of a table that is known here"}
	}
	var missing *quarantine.Reason
	for i, name := range o.kind.form().key {
		kind, text := attribute(o.record.DynamoDB.Keys[name])
		if kind == "S" {
			o.key[i] = text
		}
		if o.key[i] == "" && missing == nil {
			missing = &quarantine.Reason{Code: "required", Pointer: "/dynamodb/Keys/" + name, Message: "must be a text that is not empty"}
		}
	}
	var wrong *quarantine.Reason
	o.entity, wrong = o.kind.entity(o.key)
	if missing != nil {
		return missing
	}
	return wrong
}

// check refuses a record without what every outcome needs. It is not told what the record is about
// if unnamed says why.
func (o *outcome) check(unnamed *quarantine.Reason) *quarantine.Reason {
	r := &o.record
	refuse := func(code, pointer, message string) *quarantine.Reason {
		return &quarantine.Reason{Code: code, Pointer: pointer, Message: message}
	}
	if r.EventID == "" {
		return refuse("required", "/eventID", "is missing")
	}
	if r.label() == "" {
		return refuse("pattern", "/eventSourceARN", "is not the ARN of a table's stream")
	}
	if _, ok := (state.Position{Sequence: r.DynamoDB.SequenceNumber}).Padded(); !ok {
		return refuse("pattern", "/dynamodb/SequenceNumber", "must be 1 to 40 digits")
	}
	if unnamed != nil {
		return unnamed
	}
	const wantsBoth = "is missing: the stream must show new and old images"
	switch {
	case r.EventName != "INSERT" && r.EventName != "MODIFY" && r.EventName != "REMOVE":
		return refuse("enum", "/eventName", "must be INSERT, MODIFY or REMOVE")
	case r.EventName != "REMOVE" && r.DynamoDB.NewImage == nil:
		return refuse("required", "/dynamodb/NewImage", wantsBoth)
	case r.EventName != "INSERT" && r.DynamoDB.OldImage == nil:
		return refuse("required", "/dynamodb/OldImage", wantsBoth)
	}
	return nil
}

// tenant returns the tenant of a row, or false where it names none that there can be.
func tenant(row image) (string, bool) {
	raw, ok := row[tenantAttribute]
	if !ok {
		return defaultTenant, true
	}
	kind, text := attribute(raw)
	return text, kind == "S" && contracts.TenantPattern.MatchString(text)
}

// remove tells the tenant of the old image that the entity is gone, whatever else that image is.
func (o *outcome) remove(now time.Time) {
	r := &o.record
	owner, ok := tenant(r.DynamoDB.OldImage)
	if !ok {
		o.reason = &quarantine.Reason{Code: "pattern", Pointer: "/dynamodb/OldImage/tenant", Message: "is no tenant, so nobody can be told"}
		return
	}
	o.tenant = owner
	operation := contracts.MetricUpdateOperationDelete
	if r.expired() {
		operation = contracts.MetricUpdateOperationExpire
	}
	o.add(owner, r.EventID, operation, now)
}

func (o *outcome) upsert(now time.Time) {
	r := &o.record
	o.dropped = o.unpublished(r.DynamoDB.NewImage)
	owner, ok := tenant(r.DynamoDB.NewImage)
	if ok {
		o.tenant = owner
	}
	if r.EventName == "MODIFY" {
		// Wherever the row went, and be it to a tenant that there cannot be, it is not where it was.
		if before, known := tenant(r.DynamoDB.OldImage); known && (!ok || before != owner) {
			o.add(before, r.EventID+"-moved", contracts.MetricUpdateOperationDelete, now)
		}
	}
	if !ok {
		o.reason = &quarantine.Reason{Code: "pattern", Pointer: "/dynamodb/NewImage/tenant", Message: "must be a text that matches " + contracts.TenantPattern.String()}
		return
	}
	o.add(owner, r.EventID, contracts.MetricUpdateOperationUpsert, now)
}

// add drafts one update and adds it to the outcome, or sets the reason why it cannot be.
func (o *outcome) add(owner, id string, operation contracts.MetricUpdateOperation, now time.Time) {
	r := &o.record
	created := r.created(now)

	var current attributes
	written := created
	if operation == contracts.MetricUpdateOperationUpsert {
		var wrong *quarantine.Reason
		if current, wrong = o.public(r.DynamoDB.NewImage, newImage); wrong != nil {
			o.reason = wrong
			return
		}
		written = current.instant(o.kind.form().writtenAt, created)
	}
	// The row before is shown only to the tenant that it belonged to.
	var previous attributes
	if before, ok := tenant(r.DynamoDB.OldImage); ok && r.DynamoDB.OldImage != nil && before == owner {
		previous, _ = o.public(r.DynamoDB.OldImage, "")
	}

	image := current.json()
	u := update{
		change: state.Change{
			Key:       state.Key{Tenant: owner, EntityType: o.entity.Type, EntityID: o.entity.ID},
			At:        state.Position{Label: r.label(), Sequence: r.DynamoDB.SequenceNumber},
			WrittenAt: written,
			Image:     image,
		},
		kind: o.kind,
		draft: draft{
			entity:      o.entity,
			key:         o.key,
			id:          id,
			time:        created.Format(timeLayout),
			tenant:      owner,
			traceParent: o.trace,
			operation:   operation,
			sequence:    r.DynamoDB.SequenceNumber,
			writtenAt:   written.Format(timeLayout),
			current:     image,
			previous:    previous.json(),
			changed:     changed(previous, current),
		},
	}
	wrong := u.validate()
	// What there was can be left out, and must not stand in the way of what there is.
	if wrong != nil && (wrong.Keyword == contracts.KeywordSize || strings.HasPrefix(wrong.Pointer, "/data/previous")) {
		u.draft.previous, u.draft.changed = nil, changed(nil, current)
		wrong = u.validate()
	}
	if wrong != nil {
		if wrong.Keyword == contracts.KeywordSize {
			wrong.Pointer = "/data/current/" + current.largest()
		}
		o.reason = &quarantine.Reason{Code: wrong.Keyword, Pointer: inRecord(o.kind, wrong.Pointer), Message: wrong.Message}
		return
	}
	o.updates = append(o.updates, u)
}

// longest is a version than which the state table can assign no longer one.
var longest = contracts.Version{Epoch: 1<<53 - 1, Revision: 1<<53 - 1}

// validate holds the event against the producer's schema with the longest version, so that none which
// the state table may assign can make it invalid or too large, and sees that it can be said in every
// edition.
func (u update) validate() *contracts.Invalid {
	form := u.kind.form()
	event := encode(u.kind.event(u.draft, longest))
	err := contracts.ValidateProducer(form.contract, event)
	if err == nil {
		for _, e := range form.editions {
			if _, err := e.convert(event); err != nil {
				return &contracts.Invalid{Keyword: "edition", Message: err.Error()}
			}
		}
		return nil
	}
	if invalid, ok := errors.AsType[contracts.Invalid](err); ok {
		return &invalid
	}
	return &contracts.Invalid{Keyword: "schema", Message: "does not match its schema"}
}

// newImage is where a record has the row as it is now.
const newImage = "/dynamodb/NewImage"

// inRecord turns a pointer into the event into one to the part of the record that it came from.
func inRecord(k kind, pointer string) string {
	for _, part := range append(k.form().pointers, origin{"/data/current", newImage}, origin{"/id", "/eventID"}) {
		if rest, ok := strings.CutPrefix(pointer, part.event); ok {
			return part.record + rest
		}
	}
	return ""
}

// unpublished lists the attributes of a row that do not leave the table, sorted.
func (o *outcome) unpublished(row image) []string {
	form := o.kind.form()
	var names []string
	for name := range row {
		if _, public := o.kind.attribute(o.entity, name); !public && !form.own(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
