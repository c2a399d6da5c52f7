package queue

import (
	"maps"
	"slices"
	"strings"
)

// maxReason keeps the reason from making a message too large that just fitted before.
const maxReason = 512

// WithReason returns the attributes of a dead letter: those of the message and the reason. It is
// for adapters; see [Queue.DeadLetter] for what becomes of a message that has no room for it.
func WithReason(attributes map[string]Attribute, reason string) map[string]Attribute {
	marked := maps.Clone(attributes)
	if marked == nil {
		marked = map[string]Attribute{}
	}
	delete(marked, ReasonAttribute)
	if names := slices.Sorted(maps.Keys(marked)); len(names) >= MaxAttributes {
		last := names[len(names)-1]
		delete(marked, last)
		reason = "(attribute " + last + " had to make room) " + reason
	}
	marked[ReasonAttribute] = Text(sendable(reason))
	return marked
}

// sendable makes s a value that SQS accepts: not empty, and of XML's characters only.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func sendable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r', r >= 0x20 && r < 0xFFFE, r > 0xFFFF:
			return r
		}
		return '?'
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	if s == "" {
		return "unknown"
	}
	return s
}
