package contracts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

const schemaBase = "https://iops-dashboard.dev/contracts/"

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
	if err := compiled().Validate(tree); err != nil {
		return explain(err)
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
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
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
var compiledSchemas = sync.OnceValue(func() map[string]func() *jsonschema.Schema {
	out := map[string]func() *jsonschema.Schema{}
	for _, k := range kinds {
		for _, role := range []string{"", "consumer/"} {
			name := role + string(k.kind)
			out[name] = sync.OnceValue(func() *jsonschema.Schema { return compile(schemaBase + name + ".json") })
		}
	}
	return out
})

// compile panics where the embedded schemas do not compile: no test would have passed.
func compile(id string) *jsonschema.Schema {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	err := fs.WalkDir(Schemas, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := Schemas.ReadFile(path)
		if err != nil {
			return err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			return err
		}
		return compiler.AddResource(schemaBase+strings.TrimPrefix(path, "schemas/"), document)
	})
	if err != nil {
		panic("contracts: " + err.Error())
	}
	return compiler.MustCompile(id)
}

// explain picks the fault to report out of a validator's tree of complaints.
func explain(err error) error {
	verr, ok := err.(*jsonschema.ValidationError)
	if !ok {
		return Invalid{Keyword: "type", Message: "cannot be validated"}
	}
	faults := collect(nil, verr)
	if len(faults) == 0 {
		return Invalid{Keyword: "type", Message: "does not match its schema"}
	}
	return slices.MinFunc(faults, compareFaults).Invalid
}

// collect walks to the leaves, which are the faults; what is above only says how they were reached.
func collect(faults []fault, e *jsonschema.ValidationError) []fault {
	if len(e.Causes) > 0 {
		_, nullable := e.ErrorKind.(*kind.AnyOf)
		for _, cause := range e.Causes {
			// An anyOf is "this, or null". Of a value that is not null only the first says anything useful.
			if t, isType := cause.ErrorKind.(*kind.Type); nullable && isType && slices.Equal(t.Want, []string{"null"}) {
				continue
			}
			faults = collect(faults, cause)
		}
		return faults
	}
	add := func(keyword, message string, member ...string) {
		at := append(slices.Clone(e.InstanceLocation), member...)
		faults = append(faults, fault{Invalid{pointerTo(at), keyword, message}, len(at)})
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			add("required", "is missing", name)
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			add("additionalProperties", "is not declared in the schema", name)
		}
	case *kind.FalseSchema:
		if strings.HasSuffix(e.SchemaURL, "/unevaluatedProperties") {
			add("unevaluatedProperties", "is not declared in the schema")
		} else {
			add("false", "must not be here")
		}
	case *kind.Type:
		add("type", "must be "+strings.Join(k.Want, " or ")+", not "+k.Got)
	case *kind.Enum:
		add("enum", fmt.Sprintf("must be one of %v", k.Want))
	case *kind.Const:
		add("const", fmt.Sprintf("must be %v", k.Want))
	case *kind.Format:
		add("format", "is not a valid "+k.Want)
	case *kind.Pattern:
		add("pattern", "must match "+k.Want)
	case *kind.Minimum:
		add("minimum", "must be at least "+decimal(k.Want)+", not "+decimal(k.Got))
	case *kind.Maximum:
		add("maximum", "must be at most "+decimal(k.Want)+", not "+decimal(k.Got))
	case *kind.MinLength:
		add("minLength", fmt.Sprintf("must have at least %d characters, not %d", k.Want, k.Got))
	case *kind.MaxLength:
		add("maxLength", fmt.Sprintf("must have at most %d characters, not %d", k.Want, k.Got))
	case *kind.MinItems:
		add("minItems", fmt.Sprintf("must have at least %d items, not %d", k.Want, k.Got))
	case *kind.MaxItems:
		add("maxItems", fmt.Sprintf("must have at most %d items, not %d", k.Want, k.Got))
	case *kind.UniqueItems:
		add("uniqueItems", fmt.Sprintf("items %d and %d are equal", k.Duplicates[0], k.Duplicates[1]))
	default:
		path := e.ErrorKind.KeywordPath()
		keyword := "schema"
		if len(path) > 0 {
			keyword = path[0]
		}
		add(keyword, "does not match its schema")
	}
	return faults
}
