package redrive

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
)

// The attributes that a replayed message carries.
const (
	RunAttribute    = "x-replay-run"       // the latest run that sent it
	CountAttribute  = "x-replay-count"     // how often it was replayed since it was edited, or at all
	OfAttribute     = "x-replay-of"        // the id of the message at rest that it was sent for
	EditedAttribute = "x-replay-edited-by" // who edited it last
)

// MaxReplays is how often a message is replayed before it goes to the quarantine, or is left: it is not the cause that was mended then.
const MaxReplays = 3

// Replays is how often m was replayed already.
func Replays(m Message) int {
	n, err := strconv.Atoi(string(m.Attributes[CountAttribute].Value))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// mark returns what is sent for m: all that it has, and the marks of its replay. Those that have no room are named
// in without; room is never made at the cost of an attribute of the message's own.
func mark(m Message, run, of string, count int) (e Entry, without []string) {
	e = Entry{ID: of, Body: m.Body, Trace: m.Trace, Attributes: maps.Clone(m.Attributes)}
	if e.Attributes == nil {
		e.Attributes = map[string]Attribute{}
	}
	all := []struct { // the first is the last to go
		name  string
		value Attribute
	}{
		{CountAttribute, Attribute{Type: "Number", Value: strconv.AppendInt(nil, int64(count), 10)}},
		{RunAttribute, Text(run)},
		{OfAttribute, Text(of)},
	}
	for _, a := range all {
		delete(e.Attributes, a.name)
	}
	for _, a := range all {
		if e.Attributes[a.name] = a.value; !e.Fits() {
			delete(e.Attributes, a.name)
			without = append(without, a.name)
		}
	}
	return e, without
}

// Fits reports whether SQS takes e as one message.
func (e Entry) Fits() bool { return len(e.Attributes) <= MaxAttributes && e.size() <= MaxBytes }

// size is what SQS counts of a message: its body, and the names, types and values of its attributes.
func (e Entry) size() int {
	n := len(e.Body)
	for name, a := range e.Attributes {
		n += len(name) + len(a.Type) + len(a.Value)
	}
	return n
}

// digest names a body in the log.
func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}
