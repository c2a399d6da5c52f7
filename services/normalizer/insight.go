package normalizer

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/state"
)

// riskBand is the public attribute of insights that no row has: it follows from the score.
const riskBand = "risk_band"

// insights are the rows of the insights table: what was found about an entity at one time.
type insights struct{ editions []Edition }

func (i insights) form() form {
	return form{
		key:       [2]string{"pk", "sk"},
		expiry:    "ttl",
		writtenAt: "timestamp",
		eventType: contracts.InsightCreatedV1Type,
		major:     1,
		contract:  contracts.KindInsightCreatedV1,
		editions:  i.editions,
		pointers: []origin{
			{"/data/insight_id", "/dynamodb/Keys"},
			{"/subject", "/dynamodb/Keys/pk"},
		},
	}
}

func (insights) entity(key [2]string) (entity, *quarantine.Reason) {
	k := state.InsightKey("", contracts.InsightID{Pk: key[0], Sk: key[1]})
	e := entity{Type: k.EntityType, ID: k.EntityID}
	if len(e.ID) > state.MaxIDBytes {
		return e, &quarantine.Reason{Code: "maxLength", Pointer: "/dynamodb/Keys/pk", Message: fmt.Sprintf("and sk must have at most %d bytes together", state.MaxIDBytes-1)}
	}
	return e, nil
}

func (insights) attribute(_ entity, name string) (contracts.Attribute, bool) {
	if name == riskBand {
		return contracts.Attribute{}, false
	}
	return contracts.InsightAttributes().Get(name)
}

func (insights) complete(a attributes) {
	score := math.NaN() // where there is none the schema says so, and of the score
	if n, ok := a["risk_score"].(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			score = f
		}
	}
	a[riskBand] = string(contracts.RiskBandOf(score))
}

func (insights) event(d draft, v contracts.Version) any {
	return contracts.InsightCreatedV1{
		SpecVersion:     contracts.InsightCreatedV1SpecVersion,
		ID:              d.id,
		Type:            contracts.InsightCreatedV1Type,
		Source:          source,
		Subject:         d.Type + "/" + d.key[0] + "/" + d.key[1],
		Time:            d.time,
		DataContentType: contracts.InsightCreatedV1DataContentType,
		DataSchema:      contracts.InsightCreatedV1DataSchema,
		Tenant:          d.tenant,
		TraceParent:     d.traceParent,
		Data: contracts.InsightCreatedDataV1{
			InsightID: contracts.InsightID{Pk: d.key[0], Sk: d.key[1]},
			Operation: d.operation,
			Version:   v,
			Sequence:  d.sequence,
			WrittenAt: d.writtenAt,
			Current:   d.current,
			Previous:  d.previous,
			Changed:   d.changed,
		},
	}
}
