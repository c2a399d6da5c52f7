package nextmajor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/iops-dashboard/live/contracts"
)

// Validate holds an event or a frame of version 2 against the closed schema of its kind.
func Validate(kind contracts.Kind, document []byte) error {
	schemas, err := compiled()
	if err != nil {
		return err
	}
	schema := schemas[kind]
	if schema == nil {
		return fmt.Errorf("version 2 has no %s", kind)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return schema.Validate(tree)
}

// The kinds that version 2 adds.
const (
	KindEvent contracts.Kind = "events/metric-update/v2"
	KindFrame contracts.Kind = "frames/metric-update/v2"
)

var compiled = sync.OnceValues(func() (map[contracts.Kind]*jsonschema.Schema, error) {
	const base = "https://iops-dashboard.dev/contracts/"
	files, err := Schemas()
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(contracts.Schemas, "schemas", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[strings.TrimPrefix(path, "schemas/")], err = fs.ReadFile(contracts.Schemas, path)
		return err
	})
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for path, content := range files {
		tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		if err := compiler.AddResource(base+path, tree); err != nil {
			return nil, err
		}
	}
	all := map[contracts.Kind]*jsonschema.Schema{}
	for _, k := range []contracts.Kind{KindEvent, KindFrame} {
		if all[k], err = compiler.Compile(base + string(k) + ".json"); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// Decode reads an event of version 2. Its attributes, and nothing else, differ from those of the type
// that it returns. The error is a [contracts.Invalid], as that of contracts.DecodeEvent.
func Decode(document []byte) (event contracts.MetricUpdateV1, err error) {
	var envelope struct{ Type, DataSchema string }
	switch err := json.Unmarshal(document, &envelope); {
	case err != nil:
		return event, contracts.Invalid{Keyword: contracts.KeywordSyntax, Message: "is not one JSON value"}
	case envelope.Type != contracts.MetricUpdateV1Type:
		return event, contracts.Invalid{Pointer: "/type", Keyword: contracts.KeywordUnknownType, Message: "is no METRIC_UPDATE"}
	case envelope.DataSchema != DataSchema:
		return event, contracts.Invalid{Pointer: "/dataschema", Keyword: contracts.KeywordUnknownMajor, Message: "is not version 2"}
	}
	if err := Validate(KindEvent, document); err != nil {
		return event, contracts.Invalid{Keyword: "schema", Message: "does not match its schema"}
	}
	if err := json.Unmarshal(document, &event); err != nil {
		return event, contracts.Invalid{Keyword: "type", Message: "does not fit its Go type"}
	}
	return event, nil
}
