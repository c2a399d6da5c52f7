package report

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/iops-dashboard/live/scripts/planner/design"
	"github.com/iops-dashboard/live/scripts/planner/price"
)

// Measures of the plot, in pixels, and what it spans, in powers of ten.
const (
	plotLeft, plotTop, plotWidth, plotHeight = 80, 64, 560, 400
	plotRight, plotBottom                    = 120, 60
	mostDashboards                           = 5
	leastCost, mostCost                      = 1, 7
	steps                                    = 12 // points of a line in each power of ten
)

var colours = map[string]string{"plain": "#8c8c8c", "polling": "#d65f5f", "ours": "#2f9e6e"}

// Plot draws an SVG of what each design costs by the number of dashboards. Both axes are logarithmic. From its first limit
// on a line is dotted: it costs that, and does not do what it should.
func Plot(l design.Load, prices price.List) string {
	x := func(n float64) float64 { return plotLeft + plotWidth*math.Log10(n)/mostDashboards }
	y := func(usd float64) float64 {
		usd = min(max(usd, math.Pow(10, leastCost)), math.Pow(10, mostCost))
		return plotTop + plotHeight*(mostCost-math.Log10(usd))/(mostCost-leastCost)
	}
	var b strings.Builder
	text := func(x, y float64, anchor, style, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, style, html.EscapeString(s))
	}
	text(plotLeft, 26, "start", ` font-size="16" font-weight="bold"`, "US dollars a month, by dashboards that are open")
	text(plotLeft, 46, "start", ` fill="#555"`, fmt.Sprintf("%s updates a minute of %s entities, and %s insights; each dashboard shows %s, day and night",
		Number(l.Updates), Count(l.Entities), Number(l.Insights), shown(l.Views)))
	for e := range mostDashboards + 1 {
		n := math.Pow(10, float64(e))
		fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#e4e4e4"/>`+"\n", x(n), plotTop, plotTop+plotHeight)
		text(x(n), plotTop+plotHeight+18, "middle", "", grouped(n))
	}
	for e := leastCost; e <= mostCost; e++ {
		usd := math.Pow(10, float64(e))
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#e4e4e4"/>`+"\n", plotLeft, y(usd), plotLeft+plotWidth)
		text(plotLeft-8, y(usd)+4, "end", "", "$"+grouped(usd))
	}
	text(plotLeft+plotWidth/2, plotTop+plotHeight+40, "middle", "", "dashboards")
	text(plotLeft+plotWidth-10, plotTop+plotHeight-28, "end", ` fill="#555"`, "A point is the first limit that the design meets.")
	text(plotLeft+plotWidth-10, plotTop+plotHeight-12, "end", ` fill="#555"`, "Dotted: it costs that, and does not do what it should.")
	label := labels{}
	for _, d := range design.Designs {
		b.WriteString(line(d, l, prices, x, y, label))
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">
<title>Cost by dashboards</title>
<rect width="100%%" height="100%%" fill="white"/>
%[3]s</svg>
`, plotLeft+plotWidth+plotRight, plotTop+plotHeight+plotBottom, b.String())
}

// labels are the heights at which names of lines stand already.
type labels map[float64]bool

// free is a height near y at which no other name stands.
func (taken labels) free(y float64) float64 {
	for {
		next := y
		for at := range taken {
			if math.Abs(at-next) < 16 {
				next = at + 16
			}
		}
		if next == y {
			taken[y] = true
			return y
		}
		y = next
	}
}

func line(d design.Design, l design.Load, prices price.List, x, y func(float64) float64, taken labels) string {
	var b strings.Builder
	colour := colours[d.Name]
	at := func(n int) (float64, float64) {
		some := l
		some.Dashboards = n
		return x(float64(n)), y(d.Bill(some, prices).Total)
	}
	path := func(from, to int, style string) {
		var points []string
		add := func(n int) {
			px, py := at(n)
			points = append(points, fmt.Sprintf("%.1f %.1f", px, py))
		}
		last := from
		add(from)
		for e := 0; e <= steps*mostDashboards; e++ {
			if n := int(math.Round(math.Pow(10, float64(e)/steps))); n > last && n < to {
				add(n)
				last = n
			}
		}
		add(to)
		fmt.Fprintf(&b, `<path d="M%s" fill="none" stroke="%s" stroke-width="2.5"%s/>`+"\n", strings.Join(points, "L"), colour, style)
	}
	most := int(math.Pow(10, mostDashboards))
	limit, _ := d.Plan(l, prices).First()
	end := most
	if limit.Dashboards > 0 {
		end = min(limit.Dashboards, most)
	}
	path(1, end, "")
	if end < most {
		path(end, most, ` stroke-dasharray="2 5"`)
		px, py := at(end)
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="5" fill="%s"><title>%s: %s</title></circle>`+"\n", px, py, colour, d.Name, html.EscapeString(limit.Name))
		anchor, dx, dy := "end", -10.0, -6.0
		if d.Name == "plain" { // it is the lowest
			anchor, dx, dy = "start", 8, 18
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s: %s</text>`+"\n",
			px+dx, py+dy, anchor, colour, Count(end), html.EscapeString(limit.Name))
	}
	_, py := at(most)
	fmt.Fprintf(&b, `<text x="%d" y="%.1f" fill="%s" font-weight="bold">%s</text>`+"\n", plotLeft+plotWidth+10, taken.free(py+4), colour, d.Name)
	return b.String()
}
