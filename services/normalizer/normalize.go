package normalizer

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/state"
)

// defaultTenant owns the rows that name no tenant.
const defaultTenant = "default"

// Attributes of a row that say whose and what it is. They are not among its public attributes.
const (
	tenantAttribute     = "tenant"
	entityIDAttribute   = "entity_id"
	entityTypeAttribute = "entity_type"
)

var tenantPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// update is one change of one entity of one tenant, and the event that tells of it, which lacks
// only its version.
type update struct {
	change state.Change
	event  contracts.MetricUpdateV1
}

// outcome is what a record comes to: updates, or a reason for quarantine. A row that moved to
// another tenant and is invalid has both: it leaves the tenant it was in.
type outcome struct {
	record  record
	trace   string
	tenant  string // empty where it is not known
	entity  entity
	updates []update
	reason  *quarantine.Reason
	dropped []string // attributes of the new image that are not public
}

// entity names an entity whatever its tenant. The zero entity is not known.
type entity struct{ Type, ID string }

// normalize is the pure function: the same record gives the same outcome. The time stands in where
// the record does not tell when the change happened.
func normalize(payload []byte, now time.Time) outcome {
	r, wrong := decode(payload)
	o := outcome{record: r, trace: traceParent(r.EventSourceARN, r.EventID)}
	o.entity.Type, _ = key(r.DynamoDB.Keys, entityTypeAttribute)
	o.entity.ID, _ = key(r.DynamoDB.Keys, entityIDAttribute)
	if wrong == nil {
		wrong = check(&r)
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

// check refuses a record without what every outcome needs.
func check(r *record) *quarantine.Reason {
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
	if _, ok := key(r.DynamoDB.Keys, entityIDAttribute); !ok {
		return refuse("required", "/dynamodb/Keys/entity_id", "must be a text that is not empty")
	}
	entityType, ok := key(r.DynamoDB.Keys, entityTypeAttribute)
	if !ok {
		return refuse("required", "/dynamodb/Keys/entity_type", "must be a text that is not empty")
	}
	if contracts.PublicAttributes(contracts.EntityType(entityType)).Len() == 0 {
		return refuse("enum", "/dynamodb/Keys/entity_type", "is no entity type that is known here")
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

func key(keys image, name string) (string, bool) {
	kind, text := attribute(keys[name])
	return text, kind == "S" && text != ""
}

// tenant returns the tenant of a row, or false where it names none that there can be.
func tenant(row image) (string, bool) {
	raw, ok := row[tenantAttribute]
	if !ok {
		return defaultTenant, true
	}
	kind, text := attribute(raw)
	return text, kind == "S" && tenantPattern.MatchString(text)
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
	o.dropped = unpublished(contracts.EntityType(o.entity.Type), r.DynamoDB.NewImage)
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
		o.reason = &quarantine.Reason{Code: "pattern", Pointer: "/dynamodb/NewImage/tenant", Message: "must be a text that matches " + tenantPattern.String()}
		return
	}
	o.add(owner, r.EventID, contracts.MetricUpdateOperationUpsert, now)
}

// add drafts one update and adds it to the outcome, or sets the reason why it cannot be.
func (o *outcome) add(owner, id string, operation contracts.MetricUpdateOperation, now time.Time) {
	r, entityType := &o.record, contracts.EntityType(o.entity.Type)
	created := r.created(now)

	var current attributes
	written := created
	if operation == contracts.MetricUpdateOperationUpsert {
		var wrong *quarantine.Reason
		if current, wrong = public(entityType, r.DynamoDB.NewImage, "/dynamodb/NewImage"); wrong != nil {
			o.reason = wrong
			return
		}
		written = current.lastUpdated(created)
	}
	// The row before is shown only to the tenant that it belonged to.
	var previous attributes
	if before, ok := tenant(r.DynamoDB.OldImage); ok && r.DynamoDB.OldImage != nil && before == owner {
		previous, _ = public(entityType, r.DynamoDB.OldImage, "")
	}

	u := update{
		change: state.Change{
			Key:       state.Key{Tenant: owner, EntityType: o.entity.Type, EntityID: o.entity.ID},
			At:        state.Position{Label: r.label(), Sequence: r.DynamoDB.SequenceNumber},
			WrittenAt: written,
			Image:     current.json(),
		},
		event: contracts.MetricUpdateV1{
			SpecVersion:     contracts.MetricUpdateV1SpecVersion,
			ID:              id,
			Type:            contracts.MetricUpdateV1Type,
			Source:          source,
			Subject:         o.entity.Type + "/" + o.entity.ID,
			Time:            created.Format(timeLayout),
			DataContentType: contracts.MetricUpdateV1DataContentType,
			DataSchema:      contracts.MetricUpdateV1DataSchema,
			Tenant:          owner,
			TraceParent:     o.trace,
			Data: contracts.MetricUpdateDataV1{
				EntityType: entityType,
				EntityID:   o.entity.ID,
				Operation:  operation,
				Sequence:   r.DynamoDB.SequenceNumber,
				WrittenAt:  written.Format(timeLayout),
				Current:    current.json(),
				Previous:   previous.json(),
				Changed:    changed(previous, current),
			},
		},
	}
	wrong := validate(u.event)
	if wrong != nil && strings.HasPrefix(wrong.Pointer, "/data/previous") {
		u.event.Data.Previous, u.event.Data.Changed = nil, changed(nil, current)
		wrong = validate(u.event)
	}
	if wrong != nil {
		o.reason = &quarantine.Reason{Code: wrong.Keyword, Pointer: inRecord(wrong.Pointer), Message: wrong.Message}
		return
	}
	o.updates = append(o.updates, u)
}

// validate holds an event against the producer's schema with the longest version that there is, so
// that no version which the state table may assign can make it invalid or too large.
func validate(e contracts.MetricUpdateV1) *contracts.Invalid {
	const largest = 1<<53 - 1
	e.Data.Version = contracts.Version{Epoch: largest, Revision: largest}
	err := contracts.ValidateProducer(contracts.KindMetricUpdateV1, encode(e))
	if err == nil {
		return nil
	}
	if invalid, ok := errors.AsType[contracts.Invalid](err); ok {
		return &invalid
	}
	return &contracts.Invalid{Keyword: "schema", Message: "does not match its schema"}
}

// inRecord turns a pointer into the event into one to the part of the record that it came from.
func inRecord(pointer string) string {
	for _, part := range []struct{ event, record string }{
		{"/data/current", "/dynamodb/NewImage"},
		{"/data/entity_id", "/dynamodb/Keys/entity_id"},
		{"/subject", "/dynamodb/Keys/entity_id"},
		{"/id", "/eventID"},
	} {
		if rest, ok := strings.CutPrefix(pointer, part.event); ok {
			return part.record + rest
		}
	}
	return ""
}

// unpublished lists the attributes of a row that do not leave the table, sorted.
func unpublished(t contracts.EntityType, row image) []string {
	allowed := contracts.PublicAttributes(t)
	var names []string
	for name := range row {
		if !allowed.Has(name) && name != tenantAttribute && name != entityIDAttribute && name != entityTypeAttribute {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
