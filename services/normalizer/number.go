package normalizer

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Bounds of a number. DynamoDB's have up to 38 digits and exponents from -130 to 125.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	maxDigits   = 38
	maxExponent = 130
	maxPlain    = 48 // characters up to which a number is written without an exponent
)

// exactNumber returns the one form of a DynamoDB number, as a JSON number of exactly the same
// value: 100 for 1E+2, 1.0e2 and 0100.00. It reports false for what is not a finite number within
// DynamoDB's bounds.
func exactNumber(s string) (json.Number, bool) {
	rest, negative := s, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		negative, rest = rest[0] == '-', rest[1:]
	}
	exponent := 0
	if at := strings.IndexAny(rest, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(rest[at+1:]); err != nil || exponent < -2*maxExponent || exponent > 2*maxExponent {
			return "", false
		}
		rest = rest[:at]
	}
	whole, fraction, _ := strings.Cut(rest, ".")
	digits := whole + fraction
	if digits == "" || len(digits) > 2*maxExponent || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	// The value is 0.digits × 10^point from here on.
	point := len(whole) + exponent
	significant := strings.TrimLeft(digits, "0")
	point -= len(digits) - len(significant)
	significant = strings.TrimRight(significant, "0")
	if significant == "" {
		return "0", true
	}
	if len(significant) > maxDigits || point < -maxExponent || point > maxExponent {
		return "", false
	}
	text := layOut(significant, point)
	if negative {
		text = "-" + text
	}
	return json.Number(text), true
}

// layOut writes 0.digits × 10^point.
func layOut(digits string, point int) string {
	n := len(digits)
	switch {
	case point >= n && point <= maxPlain:
		return digits + strings.Repeat("0", point-n)
	case 0 < point && point < n:
		return digits[:point] + "." + digits[point:]
	case point <= 0 && n-point+2 <= maxPlain:
		return "0." + strings.Repeat("0", -point) + digits
	}
	mantissa := digits[:1]
	if n > 1 {
		mantissa += "." + digits[1:]
	}
	return mantissa + "e" + strconv.Itoa(point-1)
}
