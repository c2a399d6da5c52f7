package view

import (
	"cmp"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

var (
	errOperator = errors.New("not an operator for this kind of attribute")
	errValue    = errors.New("not a value of this kind of attribute")
)

// instantForm is what instants look like in the contracts. time.Parse forgives more, such as a comma.
var instantForm = regexp.MustCompile(`^.{10}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-9]{2})$`)

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
	if !json.Valid(c.Value) {
		return out, errValue
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
			if out.instant, err = time.Parse(time.RFC3339, out.text); err != nil || !instantForm.MatchString(out.text) {
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
		return value.isNumber && c.ordered(value.number.compare(c.number))
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

// decimal is a number with its exact value: sign × 0.digits × 10^point, where digits neither start nor
// end with a 0. Zero has none. Whatever the point, it takes no more room or time than its literal.
type decimal struct {
	sign   int // -1, 0 or 1
	point  int
	digits string
}

// maxPoint bounds the point of a number, far beyond those that the contracts allow.
const maxPoint = 1_000

// readDecimal reads a valid JSON value. It refuses what is no number, or one beyond maxPoint.
func readDecimal(raw []byte) (decimal, bool) {
	if !digit(raw[0]) && raw[0] != '-' || !digit(raw[len(raw)-1]) {
		return decimal{}, false
	}
	mantissa, negative := strings.CutPrefix(string(raw), "-")
	exponent := 0
	if at := strings.IndexAny(mantissa, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(mantissa[at+1:]); err != nil {
			return decimal{}, false
		}
		mantissa = mantissa[:at]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	d := decimal{sign: 1, point: exponent + len(digits) - len(fraction), digits: strings.TrimRight(digits, "0")}
	if d.digits == "" {
		return decimal{}, true
	}
	if negative {
		d.sign = -1
	}
	return d, -maxPoint <= d.point && d.point <= maxPoint
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func (d decimal) compare(other decimal) int {
	return cmp.Or(
		cmp.Compare(d.sign, other.sign),
		d.sign*cmp.Compare(d.point, other.point),
		d.sign*strings.Compare(d.digits, other.digits),
	)
}

// plainZeros is how many zeros are written before there is an exponent.
const plainZeros = 20

// String is the JSON number that stands for all literals of this value.
func (d decimal) String() string {
	sign := ""
	if d.sign < 0 {
		sign = "-"
	}
	exponent := d.point - len(d.digits)
	switch {
	case d.sign == 0:
		return "0"
	case exponent > plainZeros || d.point < -plainZeros:
		return sign + d.digits + "e" + strconv.Itoa(exponent)
	case exponent >= 0:
		return sign + d.digits + strings.Repeat("0", exponent)
	case d.point > 0:
		return sign + d.digits[:d.point] + "." + d.digits[d.point:]
	}
	return sign + "0." + strings.Repeat("0", -d.point) + d.digits
}

// readText reads a valid JSON value. It refuses what is no text.
func readText(raw []byte) (string, bool) {
	if raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
