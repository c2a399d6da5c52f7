package contracts

import "fmt"

// DecodeEvent reads one METRIC_UPDATE event of major version 1 as a consumer does. It holds the
// document against, in this order: its size, UTF-8, JSON, nesting and numbers, the type and major
// version, the open schema. It reads a valid document once, and keeps nothing of it: texts are copies,
// and Current and Previous are copies of the document's own bytes.
//
// The error is nil or an [Invalid]; its keyword is [KeywordUnknownType] or [KeywordUnknownMajor] for an
// event that a later version of this code may be able to read.
func DecodeEvent(document []byte) (MetricUpdateV1, error) {
	if fits(KindMetricUpdateV1, document) {
		var event MetricUpdateV1
		s := scanner{document: document}
		if s.openMetricUpdateV1(&event); s.done() {
			return event, nil
		}
	}
	return judgeEvent(document)
}

// judgeEvent is DecodeEvent by way of the schemas themselves; see judge.
func judgeEvent(document []byte) (MetricUpdateV1, error) {
	tree, err := parse(document, MaxEventBytes)
	if err != nil {
		return MetricUpdateV1{}, err
	}
	if err := checkContract(tree); err != nil {
		return MetricUpdateV1{}, err
	}
	if err := validateTree("consumer/", KindMetricUpdateV1, tree); err != nil {
		return MetricUpdateV1{}, err
	}
	var event MetricUpdateV1
	if err := event.UnmarshalJSON(document); err != nil {
		return MetricUpdateV1{}, Invalid{Keyword: "type", Message: "does not fit its Go type"}
	}
	return event, nil
}

// checkContract tells an event of another contract from a malformed one. What is not even a text is
// left to the schema.
func checkContract(tree any) error {
	envelope, _ := tree.(map[string]any)
	if name, ok := envelope["type"].(string); ok && name != MetricUpdateV1Type {
		return Invalid{Pointer: "/type", Keyword: KeywordUnknownType, Message: fmt.Sprintf("no event type %s is known here", quote(name))}
	}
	if schema, ok := envelope["dataschema"].(string); ok && schema != MetricUpdateV1DataSchema {
		return Invalid{Pointer: "/dataschema", Keyword: KeywordUnknownMajor, Message: fmt.Sprintf("%s is known here, this is not", MetricUpdateV1DataSchema)}
	}
	return nil
}
