package contracts

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// ValidateProducer checks a document that is about to be sent against the closed schema of its kind.
// It returns nil or an [Invalid].
func ValidateProducer(k Kind, document []byte) error {
	if fits(k, document) {
		s := scanner{document: document}
		if s.producer(k); s.done() {
			return nil
		}
	}
	return judge("", k, document)
}

// ValidateConsumer checks a document that was received against the open schema of its kind: fields and
// enum values that it does not know pass. It returns nil or an [Invalid].
func ValidateConsumer(k Kind, document []byte) error {
	if fits(k, document) {
		s := scanner{document: document}
		if s.consumer(k); s.done() {
			return nil
		}
	}
	return judge("consumer/", k, document)
}

func fits(k Kind, document []byte) bool {
	limit := k.MaxBytes()
	return limit == 0 || len(document) <= limit
}

// ValidateEntity checks the public attributes of one entity against the closed schema of its type, as
// the normalizer is about to publish them. Numbers are json.Number, float64 or any Go integer; values of
// a type that JSON does not have are refused. It does not keep or change attributes.
//
// It returns nil or an [Invalid], whose pointer starts at the attribute: /health_score.
func ValidateEntity(entityType EntityType, attributes map[string]any) error {
	k, err := entityKind(entityType)
	if err != nil {
		return err
	}
	return validateTree("", k, attributes)
}

// ValidateEntityJSON is [ValidateEntity] for attributes that are JSON already.
func ValidateEntityJSON(entityType EntityType, attributes []byte) error {
	k, err := entityKind(entityType)
	if err != nil {
		return err
	}
	return ValidateProducer(k, attributes)
}

func entityKind(t EntityType) (Kind, error) {
	k, ok := entityKinds[t]
	if !ok {
		return "", Invalid{Pointer: "/entity_type", Keyword: "enum", Message: fmt.Sprintf("must be one of %v", entityTypes)}
	}
	return k, nil
}

// judge holds a document against the schemas themselves. It takes tens of times as long as a scanner, and
// it has the last word: on what a scanner did not accept, and on what is wrong with it.
func judge(role string, k Kind, document []byte) error {
	tree, err := parse(document, k.MaxBytes())
	if err != nil {
		return err
	}
	return validateTree(role, k, tree)
}

func validateTree(role string, k Kind, tree any) error {
	if err := checkTree(tree, nil); err != nil {
		return err
	}
	compiled, ok := compiledSchemas()[role+string(k)]
	if !ok {
		return Invalid{Keyword: KeywordUnknownType, Message: "no schema for " + quote(string(k))}
	}
	if faults, _ := compiled().check(tree, nil); len(faults) > 0 {
		return slices.MinFunc(faults, compareFaults).Invalid
	}
	return nil
}

// parse reads one JSON document that is at most maxBytes long; 0 means any length.
func parse(document []byte, maxBytes int) (any, error) {
	if maxBytes > 0 && len(document) > maxBytes {
		return nil, Invalid{Keyword: KeywordSize, Message: fmt.Sprintf("has %d bytes; the limit is %d", len(document), maxBytes)}
	}
	if !utf8.Valid(document) {
		return nil, Invalid{Keyword: KeywordUTF8, Message: "is not valid UTF-8"}
	}
	tree, err := decode(document)
	if err != nil {
		// The decoder's own text may quote the document.
		return nil, Invalid{Keyword: KeywordSyntax, Message: "is not one JSON value"}
	}
	return tree, nil
}

// Bounds of a numeric literal. DynamoDB's numbers have up to 38 digits and exponents up to 125
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html); beyond that,
// comparing a number with its limits costs time in proportion to the exponent.
const (
	maxNumberLength = 64
	maxExponent     = 400
)

// checkTree refuses what no schema needs to see: deep nesting, absurd numbers, and Go values that are
// not JSON.
func checkTree(v any, at []string) error {
	refuse := func(keyword, message string) error {
		return Invalid{Pointer: pointerTo(at), Keyword: keyword, Message: message}
	}
	switch v := v.(type) {
	case map[string]any:
		if len(at) >= MaxDepth {
			return refuse(KeywordDepth, "is nested too deep")
		}
		var first error
		for name, value := range v {
			if err := checkTree(value, append(at, name)); err != nil && (first == nil || err.Error() < first.Error()) {
				first = err
			}
		}
		return first
	case []any:
		if len(at) >= MaxDepth {
			return refuse(KeywordDepth, "is nested too deep")
		}
		for i, item := range v {
			if err := checkTree(item, append(at, strconv.Itoa(i))); err != nil {
				return err
			}
		}
	case json.Number:
		if !boundedNumber(string(v)) {
			return refuse(KeywordNumber, "is not a number that can be handled")
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return refuse("type", "is not a finite number")
		}
	case nil, bool, string, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
	default:
		return refuse("type", fmt.Sprintf("is a Go %T, which JSON has no form for", v))
	}
	return nil
}

// boundedNumber reports whether a literal, which may come from elsewhere than a JSON decoder, is a JSON
// number within the bounds.
func boundedNumber(literal string) bool {
	if len(literal) > maxNumberLength || !json.Valid([]byte(literal)) {
		return false
	}
	// json.Valid forgives space around a value, and knows values that are not numbers.
	if !digit(literal[len(literal)-1]) || !digit(literal[0]) && literal[0] != '-' {
		return false
	}
	at := strings.IndexAny(literal, "eE")
	if at < 0 {
		return true
	}
	exponent, err := strconv.Atoi(literal[at+1:])
	return err == nil && -maxExponent <= exponent && exponent <= maxExponent
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// decimal writes a number as people do, with as many digits as a fault may quote.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return clip(r.Num().String())
	}
	return clip(strings.TrimRight(r.FloatString(9), "0"))
}

// compiledSchemas maps role and kind to a schema that is compiled when it is first used.
var compiledSchemas = sync.OnceValue(func() map[string]func() *schema {
	out := map[string]func() *schema{}
	for _, k := range kinds {
		for role, folder := range map[string]string{"": "schemas/", "consumer/": "consumer/"} {
			out[role+string(k.kind)] = sync.OnceValue(func() *schema { return compile(folder + string(k.kind) + ".json") })
		}
	}
	return out
})
