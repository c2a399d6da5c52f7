// Package fault classifies errors by what the caller must do about them.
//
// An error's [Kind] is the decision; its text is for people who read logs. Adapters turn the
// errors of an SDK into kinds, stages act upon [KindOf] and never look at a message.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what to do about an error.
type Kind int

const (
	// Internal is a fault of ours or one that nobody classified: retry, then dead-letter.
	Internal Kind = iota
	// Invalid input stays invalid: never retry, dead-letter or quarantine it with the reason.
	Invalid
	// Denied means that a permission or the configuration is wrong: do not retry, raise an alarm.
	Denied
	// Gone means that the target no longer exists: forget it and count the work as done.
	Gone
	// Throttled means that the target asks for less: retry later and slower.
	Throttled
	// TooLarge means that the target refuses the size: split, never retry as it is.
	TooLarge
	// Transient is expected to heal by itself: retry with back-off.
	Transient
)

var names = [...]string{"internal", "invalid", "denied", "gone", "throttled", "too_large", "transient"}

// String is the kind's name in logs and metrics.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return names[k]
}

// Temporary reports whether the same call may succeed later.
func (k Kind) Temporary() bool { return k == Throttled || k == Transient || k == Internal }

// Error is an error with a kind and the operation that met it.
type Error struct {
	Op   string // what was attempted, as "registry.Close"
	Kind Kind
	Err  error // the cause; may be nil
}

// New returns an *Error. A nil cause is allowed; the operation and kind then say it all.
func New(op string, kind Kind, cause error) *Error {
	return &Error{Op: op, Kind: kind, Err: cause}
}

// Newf is New with a formatted cause; %w works as in fmt.Errorf.
func Newf(op string, kind Kind, format string, args ...any) *Error {
	return &Error{Op: op, Kind: kind, Err: fmt.Errorf(format, args...)}
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Op + ": " + e.Kind.String()
	}
	return e.Op + ": " + e.Kind.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost *Error in err's chain. A context that ended is
// Transient: the work was interrupted, it did not fail. Anything else is Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Transient
	}
	return Internal
}
