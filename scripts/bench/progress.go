package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/iops-dashboard/live/scripts/bench/plan"
)

// progress tells how far the bench is: on a terminal in a line that it writes again, elsewhere in a
// line now and then.
type progress struct {
	out         io.Writer
	terminal    bool
	began, said time.Time
	all, spent  time.Duration // by the guesses of the plan
	done, runs  int
}

const sayEvery = 10 * time.Second

func newProgress(out *os.File, runs []plan.Run) *progress {
	p := &progress{out: out, began: time.Now(), runs: len(runs)}
	if info, err := out.Stat(); err == nil {
		p.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	for _, r := range runs {
		p.all += r.Cost
	}
	return p
}

// next says what is about to run.
func (p *progress) next(r plan.Run) {
	if !p.terminal && p.done > 0 && time.Since(p.said) < sayEvery {
		return
	}
	p.said = time.Now()
	line := fmt.Sprintf("%d of %d, %s left: %s, %s, %s, round %d", p.done+1, p.runs, p.left(), r.Scenario, r.Cell, r.Variant.Name, r.Round+1)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// left is the plan's guess, corrected by how wrong it was so far.
func (p *progress) left() time.Duration {
	rest := p.all - p.spent
	if p.spent > time.Second {
		rest = time.Duration(float64(rest) * float64(time.Since(p.began)) / float64(p.spent))
	}
	return rest.Round(time.Second)
}

func (p *progress) finished(r plan.Run) {
	p.done++
	p.spent += r.Cost
}

// end leaves the line.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
