package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/scripts/replayer/filter"
)

func TestOneValue(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]any{
		`.a`: "b", `.a = "c" | .a`: "c", `.none`: nil, `false`: false,
	} {
		p, err := filter.Compile(program)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.One(t.Context(), map[string]any{"a": "b"}); err != nil || got != want {
			t.Errorf("%s yields %v, %v, want %v", program, got, err, want)
		}
	}
	for program, says := range map[string]string{
		`.a, .a`: "one is wanted", `empty`: "one is wanted", `.a.b`: "expected an object", `repeat(.)`: "one is wanted", `[repeat(1)]`: "longer than 1s",
	} {
		p, err := filter.Compile(program)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.One(t.Context(), map[string]any{"a": "b"}); err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, filter.ErrEndless) != (says == "longer than 1s") {
			t.Errorf("%s yields %v, %v, want an error that says %q", program, got, err, says)
		}
	}
}
