package redrive

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
)

// The attributes that a replayed message carries.
const (
	RunAttribute   = "x-replay-run"   // the latest run that sent it
	CountAttribute = "x-replay-count" // how often it was replayed
)

// reasonAttribute says why a message was dead-lettered, which is over when it is sent again: the first to make room.
const reasonAttribute = "dead_letter_reason"

// MaxReplays is how often a message is replayed before it is left: it is not the cause that was mended then.
const MaxReplays = 3

// replays is how often m was replayed already.
func replays(m Message) int {
	n, err := strconv.Atoi(string(m.Attributes[CountAttribute].Value))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// mark returns what is sent for m: all that it has, and that this run replayed it. What has no room is named in
// without: the reason of the dead-lettering goes first, then the marks are left off, and never an attribute of
// the message's own.
func mark(m Message, run string) (e Entry, without []string) {
	e = Entry{Body: m.Body, Trace: m.Trace, Attributes: maps.Clone(m.Attributes)}
	if e.Attributes == nil {
		e.Attributes = map[string]Attribute{}
	}
	count := Attribute{Type: "Number", Value: strconv.AppendInt(nil, int64(replays(m)+1), 10)}
	for _, a := range []struct {
		name  string
		value Attribute
	}{{CountAttribute, count}, {RunAttribute, Text(run)}} {
		before, had := e.Attributes[a.name]
		e.Attributes[a.name] = a.value
		if fits(e) {
			continue
		}
		if reason, ok := e.Attributes[reasonAttribute]; ok {
			delete(e.Attributes, reasonAttribute)
			if fits(e) {
				without = append(without, reasonAttribute)
				continue
			}
			e.Attributes[reasonAttribute] = reason
		}
		delete(e.Attributes, a.name)
		if had {
			e.Attributes[a.name] = before
		}
		without = append(without, a.name)
	}
	return e, without
}

func fits(e Entry) bool { return len(e.Attributes) <= MaxAttributes && e.size() <= MaxBytes }

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
