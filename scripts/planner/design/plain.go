package design

import (
	"math"

	"github.com/iops-dashboard/live/scripts/planner/price"
)

const (
	// coreMB is how much memory comes with one core of a function:
	// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
	coreMB = 1769
	// eventual is what an eventually consistent read costs of a consistent one.
	eventual = 0.5
	// unitBytes are in one read unit.
	unitBytes = 4096
	// lifetime is how long API Gateway lets a connection be open, in seconds.
	lifetime = 2 * 3600
)

// plain is a function on the streams that scans the connections, once for each batch, and posts each record to each of
// them. Nothing is filtered, packed or repeated; clients connect, and say nothing.
func plain(l Load, prices price.List) Plan {
	m, most := prices.Measures, prices.Limits
	n, open := float64(l.Dashboards), l.open()
	reached := min(n, most.ScanPage.Value/m.PlainRowBytes.Value)
	core := m.StreamShards.Value / m.PlainCPUSeconds.Value // posts a second of one stream
	wanted := l.events() * reached
	posts := min(min(l.metrics()*reached, core)+min(l.insights()*reached, core), most.Requests.Value)

	p := Plan{Shown: posts / (l.events() * n), PerFrame: 1, FrameEvery: n / posts, Sweep: reached * m.PlainCPUSeconds.Value}
	p.Messages = posts * open
	update := m.UpdateBytes.Value + Attributes*m.AttributeBytes.Value
	p.BytesOut = p.Messages * (m.FrameBytes.Value + l.metricsShare()*update + (1-l.metricsShare())*m.InsightBytes.Value)
	p.Audiences = (batches(l.metrics(), seconds(l.Cadence), prices) + batches(l.insights(), seconds(l.Cadence), prices)) * month
	page := max(1, math.Ceil(reached*m.PlainRowBytes.Value/unitBytes)) * eventual
	p.Registry.Reads = p.Audiences * (page*open + eventual*(month-open)) / month
	connects := n * (1/float64(lifetime) + l.opens())
	p.Connects = connects * open
	p.Registry.Writes = 2 * p.Connects

	p.bill("messages to dashboards", prices.Prices.Message, p.Messages)
	p.connected(l, prices)
	p.bill("scans of the connections", prices.Prices.ReadUnit, p.Registry.Reads)
	p.bill("connections that come and go", prices.Prices.WriteUnit, p.Registry.Writes)
	p.invoke("posts", prices, p.Audiences, p.Messages*m.PlainCPUSeconds.Value/p.Audiences, coreMB)
	p.invoke("connect, disconnect", prices, 2*p.Connects, m.SmallSeconds.Value, 128)

	p.limit("posts by one core for each shard", price.Number{
		Value: core, Unit: "posts a second of one stream, which has " + count(m.StreamShards.Value) + " shards and so as many functions",
		Origin: m.PlainCPUSeconds.Origin,
	}, max(l.metrics(), l.insights())*reached, "it falls behind, further and further; after 24 hours records are lost", m.StreamShards)
	p.limit("requests to API Gateway", most.Requests, wanted+connects, "posts are refused, and after three tries updates are lost")
	p.limit("one page of a Scan", most.ScanPage, n*m.PlainRowBytes.Value, "the others get nothing, without an error")
	p.limit("new connections", most.Connects, connects, "handshakes are refused")
	return p
}
