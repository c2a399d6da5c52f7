package contracts

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
)

// The generated types read themselves with these instead of reflection for two reasons: encoding/json
// matches names without regard to case, so that a field "TENANT", which no schema knows, would replace
// the "tenant" that was validated; and it refuses 12.0 for an integer, which JSON Schema accepts.

var errSyntax = errors.New("contracts: malformed JSON")

// readObject calls member with each name and value of an object. Null has no members. Names that are
// repeated are reported each time, so the last one counts, as it does for a browser.
func readObject(document []byte, member func(name, value []byte) error) error {
	rest := skipSpace(document)
	if string(bytes.TrimSpace(rest)) == "null" {
		return nil
	}
	if len(rest) == 0 || rest[0] != '{' {
		return errSyntax
	}
	rest = skipSpace(rest[1:])
	if len(rest) > 0 && rest[0] == '}' {
		return nil
	}
	for {
		end := valueEnd(rest)
		if end < 2 || rest[0] != '"' {
			return errSyntax
		}
		name := rest[1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var unescaped string
			if err := json.Unmarshal(rest[:end], &unescaped); err != nil {
				return errSyntax
			}
			name = []byte(unescaped)
		}
		rest = skipSpace(rest[end:])
		if len(rest) == 0 || rest[0] != ':' {
			return errSyntax
		}
		rest = skipSpace(rest[1:])
		end = valueEnd(rest)
		if end < 1 {
			return errSyntax
		}
		if err := member(name, rest[:end]); err != nil {
			return err
		}
		rest = skipSpace(rest[end:])
		if len(rest) == 0 {
			return errSyntax
		}
		switch rest[0] {
		case ',':
			rest = skipSpace(rest[1:])
		case '}':
			return nil
		default:
			return errSyntax
		}
	}
}

func skipSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// valueEnd is the length of the JSON value at the start of b, or -1. It does not check what is inside.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if i >= len(b) {
				return -1
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what the value is in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	if depth > 0 {
		return -1
	}
	return len(b)
}

func isNull(value []byte) bool { return string(value) == "null" }

func readRaw(value []byte, dst *json.RawMessage) error {
	if isNull(value) {
		*dst = nil
		return nil
	}
	*dst = bytes.Clone(value)
	return nil
}

func readJSON(value []byte, dst any) error { return json.Unmarshal(value, dst) }

func readText[T ~string](value []byte, dst *T) error {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return errSyntax
	}
	if inner := value[1 : len(value)-1]; plain(inner) {
		*dst = T(inner)
		return nil
	}
	return json.Unmarshal(value, dst)
}

// plain reports whether the inside of a JSON string is its own value.
func plain(inner []byte) bool {
	for _, c := range inner {
		if c == '\\' || c == '"' || c < 0x20 || c >= 0x80 {
			return false
		}
	}
	return true
}

func readInteger(value []byte, dst *int64) error {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		*dst = n
		return nil
	}
	// 12.0 and 1e3 are integers too. Every integer of a contract is one that a float64 holds exactly.
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return errors.New("contracts: not an integer in range")
	}
	*dst = int64(f)
	return nil
}

func readNumber(value []byte, dst *float64) error {
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return errors.New("contracts: not a number in range")
	}
	*dst = f
	return nil
}

func readOptionalText[T ~string](value []byte, dst **T) error {
	return readOptional(value, dst, readText)
}
func readOptionalInteger(value []byte, dst **int64) error {
	return readOptional(value, dst, readInteger)
}
func readOptionalNumber(value []byte, dst **float64) error {
	return readOptional(value, dst, readNumber)
}

func readOptional[T any](value []byte, dst **T, read func([]byte, *T) error) error {
	if isNull(value) {
		*dst = nil
		return nil
	}
	v := new(T)
	if err := read(value, v); err != nil {
		return err
	}
	*dst = v
	return nil
}
