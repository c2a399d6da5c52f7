package contracts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"pgregory.net/rapid"
)

// The reference is a general validator of JSON Schema, and how its complaints become the fault to report.

const schemaBase = "https://iops-dashboard.dev/contracts/"

var reference = sync.OnceValue(func() map[string]*jsonschema.Schema {
	out := map[string]*jsonschema.Schema{}
	for _, k := range Kinds() {
		for _, role := range []string{"", "consumer/"} {
			out[role+string(k)] = compileReference(schemaBase + role + string(k) + ".json")
		}
	}
	return out
})

func judgeByReference(role string, k Kind, document []byte) error {
	tree, err := parse(document, k.MaxBytes())
	if err != nil {
		return err
	}
	if err := checkTree(tree, nil); err != nil {
		return err
	}
	if err := reference()[role+string(k)].Validate(tree); err != nil {
		return explain(err)
	}
	return nil
}

// compareFaultsWithReference wants the same fault, to the letter.
func compareFaultsWithReference(t failer, k Kind, document []byte) {
	t.Helper()
	for _, role := range []string{"", "consumer/"} {
		got, want := judge(role, k, document), judgeByReference(role, k, document)
		if got == want {
			continue
		}
		// The reference forgives an hour of +1, and leaves it to the pattern.
		var g, w Invalid
		if errors.As(got, &g) && errors.As(want, &w) && g.Pointer == w.Pointer && g.Keyword == "format" && w.Keyword == "pattern" {
			continue
		}
		t.Fatalf("%s%s: %v, want %v\n%s", role, k, got, want, document)
	}
}

func TestFaultsAreThoseOfAGeneralValidator(t *testing.T) {
	all := everyDocument(t)
	for _, k := range Kinds() {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			for own, list := range all {
				for i, document := range list {
					if own == k || i%5 == 0 {
						compareFaultsWithReference(t, k, document)
					}
				}
			}
			small := slices.DeleteFunc(slices.Clone(all[k]), func(document []byte) bool { return len(document) > MaxFrameBytes+1 })
			rapid.Check(t, func(t *rapid.T) {
				compareFaultsWithReference(t, k, drawMutant(t, small, 5))
			})
		})
	}
}

// A general validator compiles the schemas of JSON Schema itself when a program starts, for 6 ms.
func TestNoProgramCarriesAGeneralValidator(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		if strings.Contains(name, "santhosh-tekuri") {
			t.Errorf("it imports %s", name)
		}
	}
}

func compileReference(id string) *jsonschema.Schema {
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
