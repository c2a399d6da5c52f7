package contracts

// Risk scores from which a band begins.
const (
	criticalRisk = 80
	warningRisk  = 60
)

// RiskBandOf returns the band of a risk score: critical from 80, warning from 60, info below. A score
// that is no number is info; the contract refuses the score itself.
func RiskBandOf(score float64) RiskBand {
	switch {
	case score >= criticalRisk:
		return RiskBandCritical
	case score >= warningRisk:
		return RiskBandWarning
	}
	return RiskBandInfo
}

// ValidateInsight checks one insight against its closed schema, as the normalizer is about to publish
// it; see [ValidateEntity] for the values that it takes. The pointer of an [Invalid] starts at the
// attribute: /risk_score.
func ValidateInsight(attributes map[string]any) error {
	return validateTree("", KindInsight, attributes)
}
