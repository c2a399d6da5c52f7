package contracts

import (
	"bytes"
	"cmp"
	"strconv"
)

// number is a numeric literal within the bounds of [boundedNumber]. It is compared by its exact decimal
// value, never by a rounded one.
type number struct {
	literal  []byte
	plain    bool // has no exponent, and at most plainDigits before the point; else only literal counts
	negative bool
	whole    uint64 // the digits before the point
	fraction bool   // some digit behind the point is not 0
}

// plainDigits always fit a uint64, and an int64.
const plainDigits = 18

// zero is what a number is that could not be read.
var zero = number{literal: []byte("0"), plain: true}

// number reads a number. Where there is none it fails, and returns zero.
func (s *scanner) number() (n number) {
	rest := s.document[s.at:]
	i := 0
	if i < len(rest) && rest[i] == '-' {
		n.negative = true
		i++
	}
	first := i
	for ; i < len(rest) && digit(rest[i]); i++ {
		n.whole = n.whole*10 + uint64(rest[i]-'0')
	}
	digits := i - first
	if digits == 0 || digits > 1 && rest[first] == '0' {
		s.fail()
		return zero
	}
	n.plain = digits <= plainDigits
	if i < len(rest) && rest[i] == '.' {
		i++
		first = i
		for ; i < len(rest) && digit(rest[i]); i++ {
			n.fraction = n.fraction || rest[i] != '0'
		}
		if i == first {
			s.fail()
			return zero
		}
	}
	if i < len(rest) && (rest[i] == 'e' || rest[i] == 'E') {
		n.plain = false
		i++
		if i < len(rest) && (rest[i] == '+' || rest[i] == '-') {
			i++
		}
		first = i
		exponent := 0
		for ; i < len(rest) && digit(rest[i]); i++ {
			exponent = min(exponent*10+int(rest[i]-'0'), maxExponent+1)
		}
		if i == first || exponent > maxExponent {
			s.fail()
			return zero
		}
	}
	if i > maxNumberLength {
		s.fail()
		return zero
	}
	n.literal = rest[:i]
	s.at += i
	return n
}

// numberIn reads a number of at least least and at most most; see compare.
func (s *scanner) numberIn(least, most int64) number {
	n := s.number()
	s.check(n.compare(least) >= 0 && n.compare(most) <= 0)
	return n
}

// integerIn reads a whole number of at least least and at most most.
func (s *scanner) integerIn(least, most int64) number {
	n := s.numberIn(least, most)
	s.check(n.integer())
	return n
}

// integer reports whether n is a whole number, as 12.0 and 1e2 are.
func (n number) integer() bool {
	if n.plain {
		return !n.fraction
	}
	var d exactNumber
	d.read(n.literal)
	return d.count <= d.point || d.count == 0
}

// compare orders n and an integer of at most plainDigits digits.
func (n number) compare(bound int64) int {
	if !n.plain {
		return n.compareText(strconv.FormatInt(bound, 10))
	}
	if n.whole == 0 && !n.fraction {
		return cmp.Compare(0, bound)
	}
	if n.negative != (bound < 0) {
		if n.negative {
			return -1
		}
		return 1
	}
	away := 1 // from zero
	if n.negative {
		bound, away = -bound, -1
	}
	switch {
	case n.whole > uint64(bound), n.whole == uint64(bound) && n.fraction:
		return away
	case n.whole == uint64(bound):
		return 0
	}
	return -away
}

// compareText orders n and a literal within the bounds of [boundedNumber].
func (n number) compareText(bound string) int {
	var a, b exactNumber
	a.read(n.literal)
	b.read([]byte(bound))
	return a.compare(&b)
}

// int64 is the value of an integer. It gives up beyond what a float64 holds exactly.
func (s *scanner) int64(n number) int64 {
	if n.plain && n.whole <= 1<<53 {
		if n.negative {
			return -int64(n.whole)
		}
		return int64(n.whole)
	}
	var v int64
	s.check(readInteger(n.literal, &v) == nil)
	return v
}

// exactNumber is the value of a literal: ±0.digits × 10^point, where digits neither starts nor ends with
// a 0. Zero has no digits.
type exactNumber struct {
	negative bool
	digits   [maxNumberLength]byte
	count    int // of digits
	point    int
}

func (d *exactNumber) read(literal []byte) {
	rest := literal
	if rest[0] == '-' {
		d.negative = true
		rest = rest[1:]
	}
	exponent := 0
	if at := bytes.IndexAny(rest, "eE"); at >= 0 {
		exponent, _ = strconv.Atoi(string(rest[at+1:])) // a number within bounds
		rest = rest[:at]
	}
	d.point = len(rest)
	if at := bytes.IndexByte(rest, '.'); at >= 0 {
		d.point = at
	}
	d.point += exponent
	for _, c := range rest {
		switch {
		case c == '.':
		case c == '0' && d.count == 0:
			d.point--
		default:
			d.digits[d.count] = c
			d.count++
		}
	}
	for d.count > 0 && d.digits[d.count-1] == '0' {
		d.count--
	}
}

func (d *exactNumber) compare(other *exactNumber) int {
	sign := d.sign()
	if order := cmp.Compare(sign, other.sign()); order != 0 || sign == 0 {
		return order
	}
	return sign * cmp.Or(
		cmp.Compare(d.point, other.point),
		bytes.Compare(d.digits[:d.count], other.digits[:other.count]),
	)
}

func (d *exactNumber) sign() int {
	switch {
	case d.count == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}
