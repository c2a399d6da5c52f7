package contracts

import (
	"cmp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Keywords that an [Invalid] carries besides those of JSON Schema.
const (
	KeywordSize         = "size"          // larger than the kind allows
	KeywordUTF8         = "utf8"          // not valid UTF-8
	KeywordSyntax       = "syntax"        // not JSON
	KeywordDepth        = "depth"         // nested deeper than MaxDepth
	KeywordNumber       = "number"        // a number with more digits, or a larger exponent, than anything here has
	KeywordUnknownType  = "unknown-type"  // an event whose type this version of the code does not know
	KeywordUnknownMajor = "unknown-major" // an event of a known type, in a major version that is not known
)

// Invalid says why a document was refused. It is the only error type of this package; find it with
// errors.As. The same document is refused for the same reason every time: never retry.
type Invalid struct {
	// Pointer is the JSON Pointer (RFC 6901) to the fault; empty for the whole document. A missing or an
	// undeclared member is pointed at as if it were there.
	Pointer string
	// Keyword is the rule that is broken: a keyword of JSON Schema, or one of the constants of this package.
	Keyword string
	// Message says it for people, without the document's content.
	Message string
}

// Error joins the three parts.
func (e Invalid) Error() string {
	pointer := e.Pointer
	if pointer == "" {
		pointer = "document"
	}
	return "invalid at " + pointer + " (" + e.Keyword + "): " + e.Message
}

// clipRunes is how much of a name or a number a fault may quote.
const clipRunes = 48

func clip(s string) string {
	if utf8.RuneCountInString(s) <= clipRunes {
		return s
	}
	return string([]rune(s)[:clipRunes]) + "…"
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

func pointerTo(tokens []string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(escapePointer.Replace(clip(token)))
	}
	return b.String()
}

// fault is an Invalid with what decides which of several is reported.
type fault struct {
	Invalid
	depth int
}

// closing keywords refuse a member for being undeclared. When something else is wrong in an object,
// validators call its other members undeclared too, so these come last.
func closing(keyword string) bool {
	return keyword == "additionalProperties" || keyword == "unevaluatedProperties"
}

// compareFaults orders the faults of one document, the one to report first: a wrong value before an
// undeclared member, then the deepest, then by pointer and keyword, so that the choice is the same in
// every language and on every run.
func compareFaults(a, b fault) int {
	if ca, cb := closing(a.Keyword), closing(b.Keyword); ca != cb {
		if cb {
			return -1
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(b.depth, a.depth),
		cmp.Compare(a.Pointer, b.Pointer),
		cmp.Compare(a.Keyword, b.Keyword),
	)
}

func quote(s string) string { return strconv.Quote(clip(s)) }
