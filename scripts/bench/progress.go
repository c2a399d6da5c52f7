package main

import (
	"fmt"
	"os"
	"time"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/progress"
)

// runs tells which of them is going on.
type runs struct{ *progress.Line }

func newProgress(out *os.File, all []plan.Run) runs {
	var cost time.Duration
	for _, r := range all {
		cost += r.Cost
	}
	return runs{progress.New(out, len(all), cost)}
}

func (p runs) next(r plan.Run) {
	p.Say(fmt.Sprintf("%s, %s, %s, round %d", r.Scenario, r.Cell, r.Variant.Name, r.Round+1))
}

func (p runs) finished(r plan.Run) { p.Finished(r.Cost) }

func (p runs) end() { p.End() }
