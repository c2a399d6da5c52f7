package design

import (
	"math"

	"github.com/iops-dashboard/live/scripts/planner/price"
)

const (
	pageRows   = 1000 // of an answer to a poll
	shownRows  = 100  // insights that a poll asks for: the newest
	pollMemory = 512
)

// polling is dashboards that ask an HTTP API for all that they watch, and the newest 100 insights. A function reads just
// that from the tables, without reading anything in vain, and at half the price of consistent reads. Where nothing has
// changed, it answers without a body.
func polling(l Load, prices price.List) Plan {
	m, most := prices.Measures, prices.Limits
	n, open, poll := float64(l.Dashboards), l.open(), seconds(l.Poll)
	polls := n / poll
	requests := polls * (math.Ceil(l.watched()/pageRows) + 1)
	row := rowBytes + Attributes*m.AttributeBytes.Value
	units := eventual * (max(1, math.Ceil(l.watched()*row/unitBytes)) + max(1, math.Ceil(shownRows*m.InsightRowBytes.Value/unitBytes)))
	changed := 1 - math.Exp(-l.events()*l.Views*poll)
	if c := seconds(l.Cadence); c > 0 {
		changed = min(1, poll/c)
	}

	p := Plan{Shown: 1, FrameEvery: poll, Sweep: poll}
	p.PerFrame = distinct(l.metrics()*l.Views*poll, l.watched()) + l.insights()*l.Views*poll
	p.Messages, p.Commands = requests*open, requests*open
	answer := l.watched()*fragment(l, prices) + shownRows*l.Views*m.InsightBytes.Value // of both requests
	compressing := 0.0
	if l.Gzip {
		compressing = changed * answer / (1 << 20) * m.GzipSeconds.Value
		answer /= m.GzipRatio.Value
	}
	p.BytesOut = polls * open * changed * answer
	p.StateReads = polls * open * units

	p.bill("polls", prices.Prices.HTTPRequest, p.Commands)
	p.bill("answers to dashboards", prices.Prices.GigabyteOut, p.BytesOut/gigabyte)
	p.bill("reads of the tables", prices.Prices.ReadUnit, p.StateReads)
	busy := m.SmallSeconds.Value + (m.RowsSeconds.Value*(l.watched()+shownRows)/1000+compressing)*polls/requests
	p.invoke("polls", prices, p.Commands, busy, pollMemory)

	p.limit("requests to API Gateway", most.Requests, requests, "polls are refused, and what is shown is older")
	p.limit("functions at a time", most.Concurrency, requests*busy, "polls are refused, and what is shown is older", m.SmallSeconds)
	p.limit("reads of the metrics table", most.TableReads, polls*units, "polls fail until the table has grown")
	return p
}

// rowBytes are in a row of the metrics table, besides its attributes: its keys, and the numbers of DynamoDB are no text.
const rowBytes = 40

// fragment is how many bytes of a frame or an answer an entity takes.
func fragment(l Load, prices price.List) float64 {
	fields := l.Fields
	if fields == 0 {
		fields = Attributes
	}
	return prices.Measures.UpdateBytes.Value + float64(fields)*prices.Measures.AttributeBytes.Value
}
