package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
)

// Measures of a curve's panel, in pixels.
const (
	panelWidth, panelHeight = 220, 200
	panelGap                = 80
)

// curve is how the CPU time of the engine grows with one number while the others stay.
type curve struct {
	title  string
	x      func(sample.Workload) int
	varies func(sample.Workload) bool // whether a cell is on it
	points []point
}

type point struct {
	x int
	y sample.Statistics // CPU in seconds
}

// together is how many updates a cell has, each time that it is gone through.
func together(w sample.Workload) int {
	if w.Together > 0 {
		return w.Together
	}
	return w.Updates
}

// curves finds those of the samples that have points.
func curves(samples []sample.Sample) []curve {
	all := []curve{
		{
			title: "connections", x: func(w sample.Workload) int { return w.Connections },
			varies: func(w sample.Workload) bool { return together(w) == 10 && w.Entities == 10 },
		},
		{
			title: "entities, of 1,000 updates", x: func(w sample.Workload) int { return w.Entities },
			varies: func(w sample.Workload) bool { return together(w) == 1000 && w.Connections == 1000 },
		},
		{
			title: "updates, of 10 entities", x: together,
			varies: func(w sample.Workload) bool { return w.Entities == 10 && w.Connections == 1000 },
		},
	}
	rows := rowsOf(samples, plan.Curves)
	for i := range all {
		c := &all[i]
		for _, r := range rows {
			if w := r.runs[0].Workload; c.varies(w) {
				c.points = append(c.points, point{c.x(w), r.stat(sample.CPU)})
			}
		}
		slices.SortFunc(c.points, func(a, b point) int { return a.x - b.x })
	}
	return slices.DeleteFunc(all, func(c curve) bool { return len(c.points) < 2 })
}

// draw writes the curve with its left upper corner there. Both axes are logarithmic, and of one scale: a line
// that rises by 45 degrees is linear growth.
func (c curve) draw(b *strings.Builder, left, top float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range c.points {
		low, high = min(low, p.y.Min), max(high, p.y.Max)
	}
	decades := max(math.Log10(float64(c.points[len(c.points)-1].x)/float64(c.points[0].x)), math.Log10(high/low), 1)
	x := func(v int) float64 { return left + panelWidth*math.Log10(float64(v)/float64(c.points[0].x))/decades }
	y := func(v float64) float64 { return top + panelHeight - panelHeight*math.Log10(v/low)/decades }
	fmt.Fprintf(b, `<rect x="%.0f" y="%.0f" width="%d" height="%d" fill="none" stroke="#ddd"/>`+"\n", left, top, panelWidth, panelHeight)
	fmt.Fprintf(b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="#ccc" stroke-dasharray="4"/>`+"\n",
		left, top+panelHeight, left+panelWidth, top+panelHeight-float64(panelHeight))
	var line strings.Builder
	for i, p := range c.points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", command, x(p.x), y(p.y.Median))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="#2f9e6e"><title>%s: %s s of CPU</title></circle>`+"\n",
			x(p.x), y(p.y.Median), Number(float64(p.x)), Spread(p.y))
		fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" stroke="#222"/>`+"\n", x(p.x), y(p.y.Min), y(p.y.Max))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#2f9e6e"/>`+"\n", line.String())
	first, last := c.points[0], c.points[len(c.points)-1]
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f">%s to %s %s</text>`+"\n", left, top+panelHeight+18, Number(float64(first.x)), Number(float64(last.x)), c.title)
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f">%s to %s s of CPU</text>`+"\n", left, top-8, Number(first.y.Median), Number(last.y.Median))
}
