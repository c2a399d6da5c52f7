// Package filter chooses among dead letters.
package filter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// Patience is how long a jq program may take for one message.
const Patience = time.Second

// Options are conditions of which all must hold; empty ones hold always.
type Options struct {
	// JQ is a program that gets {id, cause, body, attributes, system} of a message, and keeps it if it yields anything but false
	// and null. The body is what its text says in JSON, or else the text. Attributes are texts, and base64 if binary.
	JQ           string
	Since, Until time.Time // of when it was sent: from Since on, and before Until
	Cause        string    // a part of it, in small letters or capitals
	Entity       string    // type/id
	Tenant       string
}

// Filter holds messages against its options. It is not for concurrent use.
type Filter struct {
	options Options
	code    *gojq.Code
	failed  int
	first   string
}

// New refuses a jq program that cannot be compiled, and says where the fault is.
func New(o Options) (*Filter, error) {
	f := &Filter{options: o}
	if !o.Since.IsZero() && !o.Until.IsZero() && !o.Since.Before(o.Until) {
		return nil, errors.New("nothing was sent since a time that is not before --until")
	}
	if kind, id, ok := strings.Cut(o.Entity, "/"); o.Entity != "" && (!ok || kind == "" || id == "") {
		return nil, fmt.Errorf("--entity %q: want a type, a slash and an id, as student/stu_4532", o.Entity)
	}
	if o.JQ == "" {
		return f, nil
	}
	query, err := gojq.Parse(o.JQ)
	if err != nil {
		return nil, fmt.Errorf("--jq: %w%s", err, position(o.JQ, err))
	}
	// Neither the environment, nor modules, nor further input: a filter sees the message alone.
	if f.code, err = gojq.Compile(query); err != nil {
		return nil, fmt.Errorf("--jq: %w", err)
	}
	return f, nil
}

// position shows where a program cannot be read.
func position(program string, err error) string {
	fault, ok := errors.AsType[*gojq.ParseError](err)
	if !ok {
		return ""
	}
	at := max(0, min(fault.Offset-len(fault.Token), len(program)))
	start := strings.LastIndexByte(program[:at], '\n') + 1
	line, _, _ := strings.Cut(program[start:], "\n")
	column := len([]rune(program[start:at]))
	return fmt.Sprintf(", in line %d, column %d\n  %s\n  %s^", 1+strings.Count(program[:at], "\n"), column+1, line, strings.Repeat(" ", column))
}

// Empty reports that every message matches.
func (f *Filter) Empty() bool { return f.options == Options{} }

// Match holds a message against the filter: what is known of it, and the message as its queue would get it. A jq program
// that fails at a message does not match it; see [Filter.Failed]. The error is that of a program that takes too long.
func (f *Filter) Match(ctx context.Context, l deadletter.Letter, m redrive.Message) (bool, error) {
	o := f.options
	switch {
	case !o.Since.IsZero() && l.SentAt.Before(o.Since),
		!o.Until.IsZero() && !l.SentAt.Before(o.Until),
		o.Cause != "" && !strings.Contains(strings.ToLower(l.Cause), strings.ToLower(o.Cause)),
		o.Entity != "" && l.Entity != o.Entity,
		o.Tenant != "" && l.Tenant != o.Tenant:
		return false, nil
	}
	if f.code == nil {
		return true, nil
	}
	return f.run(ctx, l, m)
}

// Failed tells at how many messages the jq program failed, and how first.
func (f *Filter) Failed() (int, string) { return f.failed, f.first }

func (f *Filter) run(ctx context.Context, l deadletter.Letter, m redrive.Message) (bool, error) {
	bounded, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for results := f.code.RunWithContext(bounded, document(l, m)); ; {
		v, ok := results.Next()
		if !ok {
			return false, nil
		}
		err, failed := v.(error)
		switch {
		case failed && ctx.Err() != nil:
			return false, ctx.Err()
		case failed && bounded.Err() != nil:
			return false, fmt.Errorf("--jq: it takes longer than %s for message %s", Patience, m.ID)
		case failed:
			if f.failed++; f.failed == 1 {
				f.first = err.Error()
			}
			return false, nil
		case v != nil && v != false:
			return true, nil
		}
	}
}

// document is a message as jq sees it.
func document(l deadletter.Letter, m redrive.Message) map[string]any {
	attributes, system := map[string]any{}, map[string]any{}
	for name, a := range m.Attributes {
		if strings.HasPrefix(a.Type, "Binary") {
			attributes[name] = base64.StdEncoding.EncodeToString(a.Value)
		} else {
			attributes[name] = string(a.Value)
		}
	}
	for name, value := range m.System {
		system[name] = value
	}
	return map[string]any{"id": m.ID, "cause": l.Cause, "body": body(m.Body), "attributes": attributes, "system": system}
}

func body(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber() // a float64 would change numbers of many digits
	var v any
	if !json.Valid([]byte(text)) || decoder.Decode(&v) != nil {
		return text
	}
	return v
}
