package normalizer

import (
	"encoding/json"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// kind is a kind of rows, those of one table: all that its records do not share with others. Its
// methods are pure.
type kind interface {
	// form says what there is to read and to write.
	form() form
	// entity is what a row's key names in the state table, as far as the key was read, and the reason
	// why it can name nothing.
	entity(key [2]string) (entity, *quarantine.Reason)
	// attribute returns the attribute of this name that may leave the table with such a row.
	attribute(e entity, name string) (contracts.Attribute, bool)
	// complete adds to a row's public attributes what is worked out from them.
	complete(attributes)
	// event is the whole event that tells of an update.
	event(draft, contracts.Version) any
}

// form is the part of a kind that is data.
type form struct {
	key       [2]string // names of the attributes that are a row's key: partition, sort
	expiry    string    // of the attribute with which a row's time to live ends; empty for none
	writtenAt string    // of the public attribute with the writer's own time

	eventType string
	major     int // of the event
	contract  contracts.Kind
	editions  []Edition
	// pointers lead from a part of the event to the part of the record that it came from.
	pointers []origin
}

type origin struct{ event, record string }

// own reports whether an attribute of a row has its use here, though it is not public.
func (f form) own(name string) bool {
	return name == tenantAttribute || name == f.key[0] || name == f.key[1] || name != "" && name == f.expiry
}

// draft is what an event says whatever it is about. It lacks only its version.
type draft struct {
	entity
	key               [2]string // of the row
	id, time          string
	tenant            string
	traceParent       string
	operation         contracts.MetricUpdateOperation
	sequence          string
	writtenAt         string
	current, previous json.RawMessage
	changed           []string
}
