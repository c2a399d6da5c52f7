// Package row is the port to the metrics table as its writers have it: one row for each entity. What the system shows comes
// from there, by way of the table's stream.
package row

import (
	"context"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
)

// Row is what is written of an entity.
type Row struct {
	EntityType contracts.EntityType
	EntityID   string
	Tenant     string
	// Attributes are those that change, at least one, as the entity's schema has them: a string, a float64 or an int.
	Attributes map[string]any
}

// Writer writes rows. Its methods may be called concurrently.
type Writer interface {
	// Write sets the attributes of an entity's row and its tenant, and leaves the other attributes as they are; the row is
	// made if there is none. The kind of its error is Invalid for what [Check] refuses, Denied where configuration or
	// permissions are wrong, Throttled and Transient where a later call may succeed; after those it is unknown whether the
	// call had an effect. The caller decides about retries, beyond the short ones of an adapter.
	Write(ctx context.Context, r Row) error
}

// maxID is the longest id of an entity, in characters: see contracts/schemas/defs/entity-id.json.
const maxID = 256

// Check returns an error of kind Invalid unless the normalizer would take the row: whatever else is written is a matter for
// quarantine.
func Check(op string, r Row) error {
	switch n := len([]rune(r.EntityID)); {
	case n == 0 || n > maxID:
		return fault.Newf(op, fault.Invalid, "an entity's id has 1 to %d characters, not %d", maxID, n)
	case !contracts.TenantPattern.MatchString(r.Tenant):
		return fault.Newf(op, fault.Invalid, "no tenant")
	case len(r.Attributes) == 0:
		return fault.Newf(op, fault.Invalid, "no attributes")
	}
	for name, value := range r.Attributes {
		switch value.(type) {
		case string, float64, int:
		default:
			return fault.Newf(op, fault.Invalid, "%s is a %T", name, value)
		}
	}
	if err := contracts.ValidateEntity(r.EntityType, r.Attributes); err != nil {
		return fault.New(op, fault.Invalid, err)
	}
	return nil
}
