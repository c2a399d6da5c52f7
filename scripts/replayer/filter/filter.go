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

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// Options are conditions of which all must hold; empty ones hold always.
type Options struct {
	// JQ is a program that gets {id, cause, body, attributes, system} of a message, and keeps it if it yields anything but false
	// and null. The body is what its text says in JSON, or else the text. Attributes are texts, and base64 if binary.
	JQ           string
	ID           string    // of the message
	Since, Until time.Time // of when it was sent: from Since on, and before Until
	Cause        string    // a part of it, in small letters or capitals
	Entity       string    // type/id
	Tenant       string
}

// Filter holds messages against its options. It is not for concurrent use.
type Filter struct {
	options Options
	program *Program
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
	var err error
	if f.program, err = Compile(o.JQ); err != nil {
		return nil, fmt.Errorf("--jq: %w", err)
	}
	return f, nil
}

// Match holds a message against the filter: what is known of it, and the message as its queue would get it. A jq program
// that fails at a message does not match it; see [Filter.Failed]. The error is that of a program that takes too long.
func (f *Filter) Match(ctx context.Context, l deadletter.Letter, m redrive.Message) (bool, error) {
	o := f.options
	switch {
	case o.ID != "" && m.ID != o.ID,
		!o.Since.IsZero() && l.SentAt.Before(o.Since),
		!o.Until.IsZero() && !l.SentAt.Before(o.Until),
		o.Cause != "" && !strings.Contains(strings.ToLower(l.Cause), strings.ToLower(o.Cause)),
		o.Entity != "" && l.Entity != o.Entity,
		o.Tenant != "" && l.Tenant != o.Tenant:
		return false, nil
	}
	if f.program == nil {
		return true, nil
	}
	ok, err := f.program.any(ctx, document(l, m))
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, ErrEndless):
		return false, fmt.Errorf("--jq: %w for message %s", err, m.ID)
	case err != nil:
		if f.failed++; f.failed == 1 {
			f.first = m.ID
		}
		return false, nil
	}
	return ok, nil
}

// Failed tells at how many messages the jq program failed, and the id of the first. How it failed would quote the message.
func (f *Filter) Failed() (n int, first string) { return f.failed, f.first }

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
