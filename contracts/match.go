package contracts

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// hasRunes reports whether a text has at least least and at most most characters.
func hasRunes(text []byte, least, most int) bool {
	if len(text) < least {
		return false
	}
	if least <= 1 && len(text) <= most {
		return true
	}
	n := utf8.RuneCount(text)
	return least <= n && n <= most
}

// byteSet is a set of ASCII characters.
type byteSet [256]bool

// bytesIn makes a set of ranges, each given by its first and its last character.
func bytesIn(ranges string) *byteSet {
	var set byteSet
	for ; ranges != ""; ranges = ranges[2:] {
		for c := ranges[0]; c <= ranges[1]; c++ {
			set[c] = true
		}
	}
	return &set
}

// match holds a text against a pattern from front to back. The generated patterns never have to go
// back: at each point the next character decides.
type match struct {
	rest   []byte
	failed bool
}

func (m *match) fail() {
	m.failed = true
	m.rest = nil
}

// take reads between least and most characters of a set, as many as there are.
func (m *match) take(set *byteSet, least, most int) {
	n := 0
	for n < len(m.rest) && n < most && set[m.rest[n]] {
		n++
	}
	if n < least {
		m.fail()
		return
	}
	m.rest = m.rest[n:]
}

func (m *match) literal(text string) {
	if len(m.rest) < len(text) || string(m.rest[:len(text)]) != text {
		m.fail()
		return
	}
	m.rest = m.rest[len(text):]
}

// next reports whether the next character is one of a set.
func (m *match) next(set *byteSet) bool { return len(m.rest) > 0 && set[m.rest[0]] }

func (m *match) atEnd() bool { return len(m.rest) == 0 }

func (m *match) end() {
	if !m.atEnd() {
		m.fail()
	}
}

// isDateTime reports whether a text is a date-time of RFC 3339.
// https://www.rfc-editor.org/rfc/rfc3339#section-5.6
func isDateTime(text []byte) bool {
	if len(text) < len("2006-01-02T15:04:05Z") {
		return false
	}
	century, year, month, day := twoDigits(text), twoDigits(text[2:]), twoDigits(text[5:]), twoDigits(text[8:])
	hour, minute, second := twoDigits(text[11:]), twoDigits(text[14:]), twoDigits(text[17:])
	if min(century, year, hour, minute, second) < 0 || hour > 23 || minute > 59 || second > 60 {
		return false
	}
	if text[4] != '-' || text[7] != '-' || text[10]|0x20 != 't' || text[13] != ':' || text[16] != ':' {
		return false
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(time.Month(month), century*100+year) {
		return false
	}
	zone := text[19:]
	if zone[0] == '.' {
		n := 1
		for n < len(zone) && digit(zone[n]) {
			n++
		}
		if n == 1 {
			return false
		}
		zone = zone[n:]
	}
	offset := 0 // minutes east of UTC
	switch {
	case len(zone) == 1 && zone[0]|0x20 == 'z':
	case len(zone) == len("+00:00") && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':':
		hours, minutes := twoDigits(zone[1:]), twoDigits(zone[4:])
		if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
			return false
		}
		offset = hours*60 + minutes
		if zone[0] == '-' {
			offset = -offset
		}
	default:
		return false
	}
	if second < 60 {
		return true
	}
	// A leap second ends a day in UTC.
	const lastMinute = 23*60 + 59
	utc := hour*60 + minute - offset
	return utc == lastMinute || utc == lastMinute-24*60
}

// twoDigits is the number that b starts with, or negative.
func twoDigits(b []byte) int {
	if len(b) < 2 || !digit(b[0]) || !digit(b[1]) {
		return -1
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}

func daysIn(month time.Month, year int) int {
	switch month {
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case time.April, time.June, time.September, time.November:
		return 30
	}
	return 31
}

// distinct reports whether no two texts are the same. It is quick where they are sorted, as they are
// wherever we write them.
func distinct(texts [][]byte) bool {
	for i := 1; i < len(texts); i++ {
		if bytes.Compare(texts[i-1], texts[i]) < 0 {
			continue
		}
		for ; i < len(texts); i++ { // no longer sorted
			for _, earlier := range texts[:i] {
				if bytes.Equal(earlier, texts[i]) {
					return false
				}
			}
		}
	}
	return true
}

// asStrings copies texts, all of them into one allocation.
func asStrings(texts [][]byte) []string {
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	var b strings.Builder
	b.Grow(size)
	for _, text := range texts {
		b.Write(text)
	}
	joined := b.String()
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i], joined = joined[:len(text)], joined[len(text):]
	}
	return out
}
