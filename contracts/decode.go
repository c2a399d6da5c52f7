package contracts

import "fmt"

// DecodeEvent reads one METRIC_UPDATE event of major version 1 as a consumer does. It holds the
// document against, in this order: its size, UTF-8, JSON, nesting and numbers, the type and major
// version, the open schema. It reads a valid document once, and keeps nothing of it: texts are copies,
// and Current and Previous are copies of the document's own bytes.
//
// The error is nil or an [Invalid]; its keyword is [KeywordUnknownType] or [KeywordUnknownMajor] for an
// event that a later version of this code may be able to read, or another function of this package.
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

// DecodeInsight is [DecodeEvent] for INSIGHT_CREATED events.
func DecodeInsight(document []byte) (InsightCreatedV1, error) {
	if fits(KindInsightCreatedV1, document) {
		var event InsightCreatedV1
		s := scanner{document: document}
		if s.openInsightCreatedV1(&event); s.done() {
			return event, nil
		}
	}
	return judgeInsight(document)
}

// judgeEvent is DecodeEvent by way of the schemas themselves; see judge.
func judgeEvent(document []byte) (event MetricUpdateV1, err error) {
	err = judgeContract(KindMetricUpdateV1, MetricUpdateV1Type, MetricUpdateV1DataSchema, document, event.UnmarshalJSON)
	return event, err
}

// judgeInsight is DecodeInsight by way of the schemas themselves.
func judgeInsight(document []byte) (event InsightCreatedV1, err error) {
	err = judgeContract(KindInsightCreatedV1, InsightCreatedV1Type, InsightCreatedV1DataSchema, document, event.UnmarshalJSON)
	return event, err
}

// judgeContract holds a document against the contract of one event, and has it read if it keeps that.
func judgeContract(k Kind, eventType, dataSchema string, document []byte, read func([]byte) error) error {
	tree, err := parse(document, k.MaxBytes())
	if err != nil {
		return err
	}
	if err := checkContract(tree, eventType, dataSchema); err != nil {
		return err
	}
	if err := validateTree("consumer/", k, tree); err != nil {
		return err
	}
	if err := read(document); err != nil {
		return Invalid{Keyword: "type", Message: "does not fit its Go type"}
	}
	return nil
}

// checkContract tells an event of another contract from a malformed one. What is not even a text is
// left to the schema.
func checkContract(tree any, eventType, dataSchema string) error {
	envelope, _ := tree.(map[string]any)
	if name, ok := envelope["type"].(string); ok && name != eventType {
		return Invalid{Pointer: "/type", Keyword: KeywordUnknownType, Message: fmt.Sprintf("this is no %s, but %s", eventType, quote(name))}
	}
	if schema, ok := envelope["dataschema"].(string); ok && schema != dataSchema {
		return Invalid{Pointer: "/dataschema", Keyword: KeywordUnknownMajor, Message: fmt.Sprintf("%s is known here, this is not", dataSchema)}
	}
	return nil
}
