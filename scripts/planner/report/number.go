package report

import (
	"fmt"
	"math"
	"strings"
)

// Number has three digits that matter: 12.3, 4,560 or 7.89 M.
func Number(v float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e12, " T"}, {1e9, " G"}, {1e6, " M"}} {
		if math.Abs(v) >= unit.of*0.9995 {
			return digits(v/unit.of) + unit.name
		}
	}
	return digits(v)
}

// Bytes are with a unit of 1,024.
func Bytes(v float64) string {
	units := []string{" B", " KB", " MB", " GB", " TB", " PB"}
	for len(units) > 1 && v >= 1000 {
		v /= 1024
		units = units[1:]
	}
	return digits(v) + units[0]
}

// USD is an amount of dollars, in full from ten on.
func USD(v float64) string {
	switch {
	case v == 0:
		return "$0"
	case v < 0.005:
		return "under $0.01"
	case v < 10:
		return fmt.Sprintf("$%.2f", v)
	}
	return "$" + grouped(v)
}

// Share is a part of something in percent.
func Share(v float64) string {
	switch {
	case v > 0 && v < 0.001:
		return "under 0.1%"
	case v > 0.9995 && v < 1:
		return "over 99.9%"
	}
	return digits(100*v) + "%"
}

// Seconds is a time.
func Seconds(v float64) string {
	switch {
	case v >= 7200:
		return digits(v/3600) + " h"
	case v >= 120:
		return digits(v/60) + " min"
	case v >= 1:
		return digits(v) + " s"
	}
	return digits(1000*v) + " ms"
}

// Count is a whole number, in full.
func Count(v int) string { return grouped(float64(v)) }

func digits(v float64) string {
	switch abs := math.Abs(v); {
	case v == 0:
		return "0"
	case abs < 0.01:
		return fmt.Sprintf("%.1g", v)
	case abs < 0.9995:
		return trimmed(fmt.Sprintf("%.2g", v))
	case abs < 9.995:
		return trimmed(fmt.Sprintf("%.2f", v))
	case abs < 99.95:
		return trimmed(fmt.Sprintf("%.1f", v))
	}
	return grouped(v)
}

func trimmed(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func grouped(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
