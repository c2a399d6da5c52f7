package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("boom")
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"unclassified":         {cause, fault.Internal},
		"classified":           {fault.New("op", fault.Gone, cause), fault.Gone},
		"wrapped":              {fmt.Errorf("more: %w", fault.New("op", fault.Throttled, nil)), fault.Throttled},
		"outermost decides":    {fault.New("outer", fault.Denied, fault.New("inner", fault.Transient, cause)), fault.Denied},
		"cancelled":            {fmt.Errorf("x: %w", context.Canceled), fault.Transient},
		"deadline":             {context.DeadlineExceeded, fault.Transient},
		"classified cancelled": {fault.New("op", fault.Invalid, context.Canceled), fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := fault.KindOf(tc.err); got != tc.want {
				t.Errorf("KindOf(%v) = %v, want %v", tc.err, got, tc.want)
			}
		})
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("boom")
	err := fault.Newf("registry.Close", fault.Transient, "page 2: %w", cause)
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got, want := err.Error(), "registry.Close: transient: page 2: boom"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
