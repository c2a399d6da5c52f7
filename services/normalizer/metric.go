package normalizer

import (
	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// metrics are the rows of the metrics table: the state of one entity each.
type metrics struct{ editions []Edition }

func (m metrics) form() form {
	return form{
		key:       [2]string{"entity_id", "entity_type"},
		writtenAt: "last_updated",
		eventType: contracts.MetricUpdateV1Type,
		major:     1,
		contract:  contracts.KindMetricUpdateV1,
		editions:  m.editions,
		pointers: []origin{
			{"/data/entity_id", "/dynamodb/Keys/entity_id"},
			{"/subject", "/dynamodb/Keys/entity_id"},
		},
	}
}

func (metrics) entity(key [2]string) (entity, *quarantine.Reason) {
	e := entity{Type: key[1], ID: key[0]}
	if contracts.PublicAttributes(contracts.EntityType(e.Type)).Len() == 0 {
		return e, &quarantine.Reason{Code: "enum", Pointer: "/dynamodb/Keys/entity_type", Message: "is no entity type that is known here"}
	}
	return e, nil
}

func (metrics) attribute(e entity, name string) (contracts.Attribute, bool) {
	return contracts.PublicAttributes(contracts.EntityType(e.Type)).Get(name)
}

func (metrics) complete(attributes) {}

func (metrics) event(d draft, v contracts.Version) any {
	return contracts.MetricUpdateV1{
		SpecVersion:     contracts.MetricUpdateV1SpecVersion,
		ID:              d.id,
		Type:            contracts.MetricUpdateV1Type,
		Source:          source,
		Subject:         d.Type + "/" + d.ID,
		Time:            d.time,
		DataContentType: contracts.MetricUpdateV1DataContentType,
		DataSchema:      contracts.MetricUpdateV1DataSchema,
		Tenant:          d.tenant,
		TraceParent:     d.traceParent,
		Data: contracts.MetricUpdateDataV1{
			EntityType: contracts.EntityType(d.Type),
			EntityID:   d.ID,
			Operation:  d.operation,
			Version:    v,
			Sequence:   d.sequence,
			WrittenAt:  d.writtenAt,
			Current:    d.current,
			Previous:   d.previous,
			Changed:    d.changed,
		},
	}
}
