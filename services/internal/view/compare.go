package view

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

var (
	errOperator = errors.New("not an operator for this kind of attribute")
	errValue    = errors.New("not a value of this kind of attribute")
)

// comparison is one condition, ready to be asked.
type comparison struct {
	attribute string
	operator  contracts.ComparisonOperator
	kind      contracts.AttributeKind
	number    decimal
	text      string
	instant   time.Time
}

func compileComparison(c contracts.ComparisonV1, a contracts.Attribute) (comparison, error) {
	out := comparison{attribute: c.Attribute, operator: c.Operator, kind: a.Kind}
	switch c.Operator {
	case contracts.ComparisonOperatorEq, contracts.ComparisonOperatorNe:
	case contracts.ComparisonOperatorLt, contracts.ComparisonOperatorLe, contracts.ComparisonOperatorGt, contracts.ComparisonOperatorGe:
		if a.Kind == contracts.AttributeText || a.Kind == contracts.AttributeChoice {
			return out, errOperator
		}
	default:
		return out, errOperator
	}
	var ok bool
	switch a.Kind {
	case contracts.AttributeTexts:
		return out, errOperator
	case contracts.AttributeInteger, contracts.AttributeNumber:
		if out.number, ok = readDecimal(c.Value); !ok {
			return out, errValue
		}
	default:
		if out.text, ok = readText(c.Value); !ok {
			return out, errValue
		}
		if a.Kind == contracts.AttributeInstant {
			var err error
			if out.instant, err = time.Parse(time.RFC3339, out.text); err != nil {
				return out, errValue
			}
		}
	}
	return out, nil
}

// holds reports whether the condition is met. It is not where the attribute is absent, or is not of its
// kind.
func (c *comparison) holds(image *Image) bool {
	value, ok := image.attribute(c.attribute)
	if !ok {
		return false
	}
	switch c.kind {
	case contracts.AttributeInteger, contracts.AttributeNumber:
		if !value.isNumber {
			return false
		}
		return c.ordered(value.number.compare(c.number))
	case contracts.AttributeInstant:
		if !value.isText {
			return false
		}
		at, err := time.Parse(time.RFC3339, value.text)
		return err == nil && c.ordered(at.Compare(c.instant))
	}
	return value.isText && c.ordered(strings.Compare(value.text, c.text))
}

func (c *comparison) ordered(order int) bool {
	switch c.operator {
	case contracts.ComparisonOperatorEq:
		return order == 0
	case contracts.ComparisonOperatorNe:
		return order != 0
	case contracts.ComparisonOperatorLt:
		return order < 0
	case contracts.ComparisonOperatorLe:
		return order <= 0
	case contracts.ComparisonOperatorGt:
		return order > 0
	}
	return order >= 0
}

// decimal is a number with its exact value.
type decimal struct {
	near    float64
	literal string
	short   bool // has so few digits that near tells it from every other short one
}

// shortDigits is how many significant digits a float64 always keeps apart (IEEE 754 binary64: 15).
const shortDigits = 15

func readDecimal(raw []byte) (decimal, bool) {
	literal := string(raw)
	if literal == "" || literal[0] != '-' && (literal[0] < '0' || literal[0] > '9') {
		return decimal{}, false
	}
	near, err := strconv.ParseFloat(literal, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return decimal{}, false
	}
	digits := 0
	for _, c := range literal {
		if c == 'e' || c == 'E' {
			digits = shortDigits + 1
		}
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	return decimal{near, literal, digits <= shortDigits}, true
}

func (d decimal) compare(other decimal) int {
	if d.short && other.short {
		switch {
		case d.near < other.near:
			return -1
		case d.near > other.near:
			return 1
		}
		return 0
	}
	a, okA := new(big.Rat).SetString(d.literal)
	b, okB := new(big.Rat).SetString(other.literal)
	if !okA || !okB {
		return -2 // neither less nor equal nor greater; see Image.attribute, which lets none through
	}
	return a.Cmp(b)
}

func readText(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
