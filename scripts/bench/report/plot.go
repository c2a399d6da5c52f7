package report

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
)

// Measures of the plot, in pixels.
const (
	left, top, bottom = 70, 70, 60
	barWidth, gap     = 16, 26
	plotHeight        = 320
)

var colours = []string{"#8c8c8c", "#4878d0", "#82a6e6", "#2f9e6e", "#d65f5f", "#e8a33d", "#956cb4"}

// Plot writes an SVG of how many updates a CPU-second of the sender brings to a connection, for each
// variant in each cell of the grid, and below it of the curves, where they were run. The axes are logarithmic.
func Plot(w io.Writer, samples []sample.Sample) error {
	var cells []string
	values := map[sample.Set]sample.Statistics{}
	least, most := math.Inf(1), 1.0
	var rows []row
	for _, r := range rowsOf(samples, plan.Cells) {
		s := r.stat(sample.UpdatesPerCPU)
		if s.N == 0 || s.Median <= 0 {
			continue
		}
		rows = append(rows, r)
		values[r.set] = s
		least, most = min(least, s.Min), max(most, s.Max)
		if !slices.Contains(cells, r.set.Cell) {
			cells = append(cells, r.set.Cell)
		}
	}
	lines := curves(samples)
	if len(cells) == 0 && len(lines) == 0 {
		return fmt.Errorf("there is nothing to plot: no cell of %q or %q was run", plan.Cells, plan.Curves)
	}
	low, high := math.Floor(math.Log10(max(min(least, most), 1))), math.Ceil(math.Log10(most))
	high = max(high, low+1)
	y := func(v float64) float64 {
		return top + plotHeight*(high-math.Log10(max(v, 1)))/(high-low)
	}

	var b strings.Builder
	text := func(x, y float64, anchor, style, s string) {
		fmt.Fprintf(&b, `<text x="%.0f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, style, html.EscapeString(s))
	}
	x := float64(left + gap)
	var bars strings.Builder
	for _, cell := range cells {
		from := x
		for _, r := range rows {
			if r.set.Cell != cell {
				continue
			}
			v := values[r.set]
			fmt.Fprintf(&bars, `<rect x="%.0f" y="%.1f" width="%d" height="%.1f" fill="%s"><title>%s, %s: %s updates a CPU-second</title></rect>`+"\n",
				x, y(v.Median), barWidth-2, top+plotHeight-y(v.Median), colours[place(r.set.Variant)%len(colours)],
				html.EscapeString(cell), html.EscapeString(r.set.Variant), Spread(v))
			middle := x + barWidth/2 - 1
			fmt.Fprintf(&bars, `<path d="M%.0f %.1fV%.1f" stroke="#222"/>`+"\n", middle, y(v.Max), y(v.Min))
			x += barWidth
		}
		text((from+x)/2, top+plotHeight+18, "middle", "", cell)
		x += gap
	}
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(&b, `<path d="M%d %.1fH%.0f" stroke="#ddd"/>`+"\n", left, y(v), x)
		text(left-8, y(v)+4, "end", "", Number(v))
	}
	text(left, 24, "start", `font-size="16" font-weight="bold"`, "Updates delivered per CPU-second of the sender (log scale, median and range)")
	legend := float64(left)
	for i, v := range plan.Variants {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.set.Variant == v.Name }) {
			continue
		}
		fmt.Fprintf(&b, `<rect x="%.0f" y="38" width="12" height="12" fill="%s"/>`+"\n", legend, colours[i%len(colours)])
		text(legend+17, 48, "start", "", v.Name)
		legend += 34 + 8*float64(len(v.Name))
	}
	text((left+x)/2, top+plotHeight+42, "middle", "", "updates x connections @ milliseconds of server latency")
	height := float64(top + plotHeight + bottom)
	if len(lines) > 0 {
		at := float64(left)
		text(at, height+20, "start", `font-size="16" font-weight="bold"`, "CPU time of the engine as one number grows (the dashed line is linear growth)")
		for _, c := range lines {
			c.draw(&b, at, height+60)
			at += panelWidth + panelGap
		}
		x = max(x, at)
		height += 60 + panelHeight + 40
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
%s%s</svg>
`, max(x, 760), height, b.String(), bars.String())
	return err
}
