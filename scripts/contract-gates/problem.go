package main

import (
	"fmt"
	"strings"
)

// problem is one broken promise, told to somebody who has not met it before.
type problem struct {
	at   string // a file below contracts/, and a JSON Pointer into it where there is one
	rule string
	text string
	mend string // what to do
}

// line is the problem without what to do.
func (p problem) line() string { return fmt.Sprintf("contracts/%s: %s: %s.", p.at, p.rule, p.text) }

// problems is the error that lists them.
type problems []problem

// Error says what to do once for all neighbours that need the same.
func (p problems) Error() string {
	var b strings.Builder
	b.WriteString("the contracts break their promises:\n")
	for i, one := range p {
		fmt.Fprintf(&b, "  %s\n", one.line())
		if i == len(p)-1 || p[i+1].mend != one.mend {
			fmt.Fprintf(&b, "    -> %s.\n", one.mend)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
