package resync

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/contracts"
)

// riskBand is the public attribute of insights that no row has: it follows from the score.
const riskBand = "risk_band"

// shows reports whether a tenant is shown this row as it is.
func (t Table) shows(e entity, row item) bool {
	if e.image == nil {
		return false
	}
	public, shown := contracts.PublicAttributes(contracts.EntityType(e.key[1])), maps.Clone(e.image)
	if t.insights {
		public = contracts.InsightAttributes()
		if shown[riskBand] != bandOf(row) {
			return false
		}
		delete(shown, riskBand)
	}
	for _, name := range public.Names() {
		if t.insights && name == riskBand {
			continue
		}
		value := row[name]
		if _, null := value.(*types.AttributeValueMemberNULL); null {
			value = nil
		}
		image, ok := shown[name]
		if attribute, _ := public.Get(name); ok != (value != nil) || ok && !same(attribute.Kind, image, value) {
			return false
		}
		delete(shown, name)
	}
	return len(shown) == 0
}

// same compares what is shown with an attribute. One of another type than it ought to have cannot be shown.
func same(kind contracts.AttributeKind, shown any, value types.AttributeValue) bool {
	switch kind {
	case contracts.AttributeInteger, contracts.AttributeNumber:
		a, ok := shown.(json.Number)
		b, is := value.(*types.AttributeValueMemberN)
		if !ok || !is {
			return false
		}
		x, ok := new(big.Rat).SetString(a.String())
		y, is := new(big.Rat).SetString(b.Value)
		return ok && is && x.Cmp(y) == 0
	case contracts.AttributeTexts:
		a, ok := shown.([]any)
		b, is := value.(*types.AttributeValueMemberL)
		return ok && is && slices.EqualFunc(a, b.Value, func(a any, b types.AttributeValue) bool { return same(contracts.AttributeText, a, b) })
	default:
		a, ok := shown.(string)
		b, is := value.(*types.AttributeValueMemberS)
		return ok && is && a == b.Value
	}
}

// bandOf is the band of a row's score, or nil where it has none.
func bandOf(row item) any {
	score, ok := row["risk_score"].(*types.AttributeValueMemberN)
	if !ok {
		return nil
	}
	f, err := json.Number(score.Value).Float64()
	if err != nil {
		return nil
	}
	return string(contracts.RiskBandOf(f))
}
