package query

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/state"
)

// A cursor is the base64url of a checksum and a position: the parts of the place behind which a page begins,
// in an order that depends on the route, with line feeds between. The checksum covers the question, so that a
// cursor of another one, of another tenant, or one that was changed by accident is refused. It keeps nobody
// from making one, and need not: tenant and types are taken from the request alone, and a position, which is
// checked like the rest of a request, only says where to begin in what the caller may see.
const checksumBytes = 9

func (q question) checksum(position string) string {
	sum := sha256.Sum256([]byte(q.text() + "\n" + position))
	return string(sum[:checksumBytes])
}

// cursor writes a position.
func (q question) cursor(position ...string) string {
	text := strings.Join(position, "\n")
	return base64.RawURLEncoding.EncodeToString([]byte(q.checksum(text) + text))
}

// position reads one of two parts; both are empty where there is no cursor. The first has no line feed.
func (q question) position(cursor string) (first, second string, err error) {
	if cursor == "" {
		return "", "", nil
	}
	bytes, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(bytes) > checksumBytes {
		if text := string(bytes[checksumBytes:]); q.checksum(text) == string(bytes[:checksumBytes]) {
			first, second, ok := strings.Cut(text, "\n")
			if ok && q.place(first, second) {
				return first, second, nil
			}
		}
	}
	return "", "", contracts.Invalid{Pointer: "/cursor", Keyword: contracts.KeywordSyntax, Message: "belongs to another question, or to another release: begin without it"}
}

// place reports whether a position is one: a type and an id, or the time and the key of an insight. The table takes
// no others.
func (q question) place(first, second string) bool {
	if q.route == routeInsights {
		_, err := strconv.ParseInt(first, 10, 64)
		return err == nil && utf8.ValidString(second)
	}
	return slices.Contains(q.types, first) && len(second) <= state.MaxIDBytes && utf8.ValidString(second)
}
