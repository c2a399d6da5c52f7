package contracts

import (
	"encoding/json"
	"math"
	"testing"
)

func TestRiskBandOf(t *testing.T) {
	for score, want := range map[float64]RiskBand{
		0: RiskBandInfo, 59.999: RiskBandInfo, 60: RiskBandWarning, 79.999: RiskBandWarning, 80: RiskBandCritical, 100: RiskBandCritical,
	} {
		if got := RiskBandOf(score); got != want {
			t.Errorf("%v is %s, want %s", score, got, want)
		}
	}
	if got := RiskBandOf(math.NaN()); got != RiskBandInfo {
		t.Errorf("no number is %s", got)
	}
}

func TestValidateInsight(t *testing.T) {
	insight := func(change func(map[string]any)) map[string]any {
		out := map[string]any{
			"entity_id": "stu_4532", "prediction_type": "low_health_score", "risk_score": json.Number("71.5"), "risk_band": "warning",
			"timestamp": "2026-11-22T10:00:00.123Z", "recommendations": []any{"Call the family"},
		}
		change(out)
		return out
	}
	for name, c := range map[string]struct {
		change           func(map[string]any)
		pointer, keyword string
	}{
		"an unlisted prediction":    {func(m map[string]any) { m["prediction_type"] = "no_show_streak" }, "", ""},
		"a text among its advice":   {func(m map[string]any) { m["recommendations"] = []any{"Call", 7} }, "/recommendations/1", "type"},
		"a set of texts":            {func(m map[string]any) { m["recommendations"] = []string{"Call"} }, "/recommendations", "type"},
		"without a score":           {func(m map[string]any) { delete(m, "risk_score") }, "/risk_score", "required"},
		"a score out of range":      {func(m map[string]any) { m["risk_score"] = json.Number("100.1") }, "/risk_score", "maximum"},
		"a band of the future":      {func(m map[string]any) { m["risk_band"] = "severe" }, "/risk_band", "enum"},
		"what the table keeps":      {func(m map[string]any) { m["ttl"] = json.Number("1795000000") }, "/ttl", "additionalProperties"},
		"a prediction with a space": {func(m map[string]any) { m["prediction_type"] = "low health" }, "/prediction_type", "pattern"},
		"a time without a zone":     {func(m map[string]any) { m["timestamp"] = "2026-11-22T10:00:00" }, "/timestamp", "format"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := ValidateInsight(insight(c.change))
			if c.keyword == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantInvalid(t, err, c.pointer, c.keyword)
		})
	}
}

func TestInsightAttributes(t *testing.T) {
	set := InsightAttributes()
	if set.Len() < 10 || set.Has("ttl") || set.Has("pk") {
		t.Errorf("insights have %v", set.Names())
	}
	a, _ := set.Get("prediction_type")
	if a.Kind != AttributeChoice || len(a.KnownValues) < 3 {
		t.Errorf("prediction_type is %+v", a)
	}
	a, _ = set.Get("recommendations")
	if a.Kind != AttributeTexts {
		t.Errorf("recommendations is %+v", a)
	}
	a, _ = set.Get("risk_score")
	if a.Minimum != 0 || a.Maximum != 100 || a.Unit != "points" {
		t.Errorf("risk_score is %+v", a)
	}
}
