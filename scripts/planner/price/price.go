// Package price is what AWS asks, what it allows, and what was measured or assumed of the system: data, each number with
// its source. What was not seen at the source itself is marked as unverified.
package price

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

//go:embed prices.json
var file []byte

// List is the whole of it. Prices are without any free tier, discount or tax.
type List struct {
	Date     string   `json:"date"`
	Region   string   `json:"region"`
	Prices   Prices   `json:"prices"`
	Limits   Limits   `json:"limits"`
	Measures Measures `json:"measures"`
}

// Prices are by what is counted.
type Prices struct {
	Message          Price `json:"message"`
	ConnectionMinute Price `json:"connection_minute"`
	HTTPRequest      Price `json:"http_request"`
	Invocation       Price `json:"invocation"`
	FunctionSecond   Price `json:"function_second"`
	WriteUnit        Price `json:"write_unit"`
	ReadUnit         Price `json:"read_unit"`
	Publish          Price `json:"publish"`
	QueueRequest     Price `json:"queue_request"`
	GigabyteOut      Price `json:"gigabyte_out"`
	GigabyteLogged   Price `json:"gigabyte_logged"`
	Metric           Price `json:"metric"`
	Alarm            Price `json:"alarm"`
	ProcessorHour    Price `json:"processor_hour"`
	MemoryHour       Price `json:"memory_hour"`
	AddressHour      Price `json:"address_hour"`
}

// Limits are those of AWS.
type Limits struct {
	Requests       Number `json:"requests"`
	Connects       Number `json:"connects"`
	Concurrency    Number `json:"concurrency"`
	PartitionReads Number `json:"partition_reads"`
	TableReads     Number `json:"table_reads"`
	TableWrites    Number `json:"table_writes"`
	Publishes      Number `json:"publishes"`
	ScanPage       Number `json:"scan_page"`
	StreamPolls    Number `json:"stream_polls"`
}

// Measures are what the arithmetic needs to know of the system besides its topology.
type Measures struct {
	PostSeconds        Number `json:"post_seconds"`
	ReadSeconds        Number `json:"read_seconds"`
	TransitSeconds     Number `json:"transit_seconds"`
	StreamShards       Number `json:"stream_shards"`
	BatchSeconds       Number `json:"batch_seconds"`
	RoundSeconds       Number `json:"round_seconds"`
	RowsSeconds        Number `json:"rows_seconds"`
	SmallSeconds       Number `json:"small_seconds"`
	PlainCPUSeconds    Number `json:"plain_cpu_seconds"`
	PlainRowBytes      Number `json:"plain_row_bytes"`
	StateRowBytes      Number `json:"state_row_bytes"`
	InsightRowBytes    Number `json:"insight_row_bytes"`
	UpdateBytes        Number `json:"update_bytes"`
	AttributeBytes     Number `json:"attribute_bytes"`
	InsightBytes       Number `json:"insight_bytes"`
	FrameBytes         Number `json:"frame_bytes"`
	WatcherRowBytes    Number `json:"watcher_row_bytes"`
	InvocationLogBytes Number `json:"invocation_log_bytes"`
	BatchLogBytes      Number `json:"batch_log_bytes"`
	PostLogBytes       Number `json:"post_log_bytes"`
	GzipRatio          Number `json:"gzip_ratio"`
	GzipSeconds        Number `json:"gzip_seconds"`
	Metrics            Number `json:"metrics"`
	Alarms             Number `json:"alarms"`
	TaskProcessors     Number `json:"task_processors"`
	TaskGigabytes      Number `json:"task_gigabytes"`
}

// Price is what units of one kind cost in a month.
type Price struct {
	Service string  `json:"service"` // on whose bill it is
	Unit    string  `json:"unit"`    // what one is
	Per     float64 `json:"per"`     // so many units cost what the tiers say
	Tiers   []Tier  `json:"tiers"`   // the first units of a month cost the first price, and so on
	Origin
}

// Tier is a price in US dollars, for units up to so many of a month.
type Tier struct {
	UpTo float64 `json:"up_to,omitempty"` // 0 in the last: all others
	USD  float64 `json:"usd"`
}

// Number is a limit or a measure.
type Number struct {
	Value      float64 `json:"value"`
	Unit       string  `json:"unit"`
	Adjustable bool    `json:"adjustable,omitempty"` // a limit that AWS raises if it is asked
	Grows      bool    `json:"grows,omitempty"`      // a limit that AWS raises by itself, as it is used
	Origin
}

// Origin is where a number is from: a page of the Web, a file of this repository, or "assumed: why".
type Origin struct {
	Source   string `json:"source"`
	Verified bool   `json:"verified"` // it was seen there, and not only quoted or assumed
	Note     string `json:"note,omitempty"`
}

// Cost is what so many units in a month cost, in US dollars.
func (p Price) Cost(units float64) float64 {
	cost, from := 0.0, 0.0
	for _, t := range p.Tiers {
		if t.UpTo == 0 || units <= t.UpTo {
			return cost + (units-from)*t.USD/p.Per
		}
		cost += (t.UpTo - from) * t.USD / p.Per
		from = t.UpTo
	}
	return cost
}

// Read returns the list that is part of the program. Its error names all that is wrong with it.
func Read() (List, error) { return parse(file) }

func parse(text []byte) (List, error) {
	var l List
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, fmt.Errorf("prices: %w", err)
	}
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(l.Date != "" && l.Region != "", "no date or region")
	each(l.Prices, func(name string, p Price) {
		check(p.Service != "" && p.Unit != "" && p.Per > 0 && len(p.Tiers) > 0, "%s: not complete", name)
		check(strings.HasPrefix(p.Source, "https://"), "%s: its source is no page", name)
		for i, t := range p.Tiers {
			last := i == len(p.Tiers)-1
			check(t.USD > 0 && last == (t.UpTo == 0) && (last || i == 0 || t.UpTo > p.Tiers[i-1].UpTo), "%s: its tiers are not in order", name)
		}
	})
	number := func(name string, n Number) {
		check(n.Value > 0 && n.Unit != "" && n.Source != "", "%s: not complete", name)
		check(!n.Verified || !strings.HasPrefix(n.Source, "assumed"), "%s: assumed, and yet verified", name)
	}
	each(l.Limits, func(name string, n Number) {
		number(name, n)
		check(strings.HasPrefix(n.Source, "https://"), "%s: its source is no page", name)
	})
	each(l.Measures, number)
	if len(wrong) > 0 {
		return l, fmt.Errorf("prices: %s", strings.Join(wrong, "; "))
	}
	return l, nil
}

// Each calls f with every price, limit and measure, in the order of the list, by the name that each has there.
func (l List) Each(price func(name string, p Price), limit, measure func(name string, n Number)) {
	each(l.Prices, price)
	each(l.Limits, limit)
	each(l.Measures, measure)
}

func each[T any](of any, f func(name string, v T)) {
	v := reflect.ValueOf(of)
	for i := range v.NumField() {
		f(v.Type().Field(i).Tag.Get("json"), v.Field(i).Interface().(T))
	}
}
