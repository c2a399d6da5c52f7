package filter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// Patience is how long a jq program may take for one document.
const Patience = time.Second

// ErrEndless says that a program takes longer than [Patience].
var ErrEndless = fmt.Errorf("it takes longer than %s", Patience)

// Program is a jq program. It may be used concurrently.
type Program struct{ code *gojq.Code }

// Compile refuses a text that is no program, and says where the fault is. The program sees what it is given alone: neither
// the environment, nor modules, nor further input.
func Compile(text string) (*Program, error) {
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, position(text, err))
	}
	code, err := gojq.Compile(query)
	return &Program{code}, err
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

// One returns the one value that the program yields for a document, which is what [json.Unmarshal] makes of JSON. The
// error is that of the program, [ErrEndless], or says that it yields none or several.
func (p *Program) One(ctx context.Context, document any) (value any, err error) {
	n := 0
	err = p.each(ctx, document, func(v any) bool {
		value = v
		n++
		return n == 1
	})
	if err == nil && n != 1 {
		err = errors.New("it yields several values, or none: one is wanted")
	}
	return value, err
}

// any reports whether the program yields anything but false and null.
func (p *Program) any(ctx context.Context, document any) (found bool, err error) {
	err = p.each(ctx, document, func(v any) bool {
		found = v != nil && v != false
		return !found
	})
	return found, err
}

// each visits the values until visit has enough.
func (p *Program) each(ctx context.Context, document any, visit func(any) bool) error {
	bounded, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for results := p.code.RunWithContext(bounded, document); ; {
		v, ok := results.Next()
		if !ok {
			return nil
		}
		if err, failed := v.(error); failed {
			if ctx.Err() == nil && bounded.Err() != nil {
				return ErrEndless
			}
			return err
		}
		if !visit(v) {
			return nil
		}
	}
}
