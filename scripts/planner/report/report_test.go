package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/iops-dashboard/live/scripts/planner/design"
	"github.com/iops-dashboard/live/scripts/planner/price"
)

func read(t *testing.T) price.List {
	t.Helper()
	prices, err := price.Read()
	if err != nil {
		t.Fatal(err)
	}
	return prices
}

func plans(l design.Load, prices price.List) []design.Plan {
	var all []design.Plan
	for _, d := range design.Designs {
		all = append(all, d.Plan(l, prices))
	}
	return all
}

// wide are loads whose numbers are as long as they get.
func wide() []design.Load {
	large := design.Load{
		Dashboards: 10_000_000, Updates: 60_000_000, Insights: 2_000_000, Entities: 100_000_000, Views: 0.123, Fields: 10,
		Cadence: 24*time.Hour - time.Second, Hours: 23.9, Opens: 999, Poll: 100 * time.Millisecond, Shards: 16, Tasks: 100, Worker: true,
	}
	small := design.Default()
	small.Dashboards, small.Updates, small.Insights, small.Views, small.Hours = 1, 0.001, 0, 0.0001, 0.1
	functions := large
	functions.Worker = false
	return []design.Load{design.Default(), large, functions, small}
}

func TestTextFits(t *testing.T) {
	t.Parallel()
	prices := read(t)
	for _, l := range wide() {
		var out bytes.Buffer
		all := plans(l, prices)
		if err := errors.Join(Compare(&out, l, all, prices), Text(&out, l, all[2], prices)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > Width && !strings.Contains(line, "https://") {
				t.Errorf("%d columns: %s", n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("blanks at the end of %q", line)
			}
			for _, bad := range []string{"NaN", "Inf", "%!"} {
				if strings.Contains(line, bad) {
					t.Errorf("%s", line)
				}
			}
		}
	}
}

func TestTextTells(t *testing.T) {
	t.Parallel()
	prices := read(t)
	l := design.Default()
	p := design.Ours.Plan(l, prices)
	var out bytes.Buffer
	if err := Text(&out, l, p, prices); err != nil {
		t.Fatal(err)
	}
	limit, _ := p.First()
	for _, want := range []string{
		"100 dashboards that show everything", "500 updates a minute of 1,000 entities", "us-east-1, September 2026", "API Gateway", "DynamoDB",
		USD(p.Total), "First limit: " + limit.Name, Count(limit.Dashboards) + " dashboards", limit.Source, "reads of the audience",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// What rests on a number that nobody has seen at its source is marked, and nothing else.
func TestUnverifiedIsMarked(t *testing.T) {
	t.Parallel()
	prices := read(t)
	l := design.Default()
	count := func() int {
		var out bytes.Buffer
		if err := Text(&out, l, design.Ours.Plan(l, prices), prices); err != nil {
			t.Fatal(err)
		}
		return strings.Count(out.String(), mark)
	}
	before := count()
	prices.Prices.Message.Verified = false
	if after := count(); after != before+2 { // frames, and syncs
		t.Errorf("%d marks, and %d before", after, before)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0": Number(0), "0.003": Number(0.003), "0.25": Number(0.25), "1": Number(0.9999), "8.61": Number(8.611), "12.3": Number(12.34), "100": Number(99.97), "4,560": Number(4560),
		"999,000": Number(999_000), "1 M": Number(999_999), "7.89 M": Number(7.891e6), "2.19 G": Number(2.19e9), "1.5 T": Number(1.5e12),
		"512 B": Bytes(512), "1 KB": Bytes(1024), "0.98 KB": Bytes(1001), "2.5 TB": Bytes(2.5 * (1 << 40)),
		"$0": USD(0), "under $0.01": USD(0.001), "$3.21": USD(3.2123), "$12": USD(12.3), "$1,234,568": USD(1234567.8),
		"100%": Share(1), "over 99.9%": Share(0.99999), "under 0.1%": Share(0.0001), "12.5%": Share(0.125), "250%": Share(2.5),
		"10 ms": Seconds(0.01), "1.5 s": Seconds(1.5), "110 s": Seconds(110), "5 min": Seconds(300), "3 h": Seconds(10_800),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	prices := read(t)
	l := design.Default()
	var out bytes.Buffer
	if err := JSON(&out, l, plans(l, prices), prices); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Load    design.Load   `json:"load"`
		Plans   []design.Plan `json:"plans"`
		Numbers price.List    `json:"numbers"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Load != l || len(got.Plans) != 3 || got.Plans[2].Total <= 0 ||
		len(got.Plans[2].Limits) < 5 || got.Numbers.Prices.Message.Source == "" {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestPlot(t *testing.T) {
	t.Parallel()
	text := Plot(design.Default(), read(t))
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range design.Designs {
		if !strings.Contains(text, ">"+d.Name+"</text>") || strings.Count(text, colours[d.Name]) < 4 { // two lines, a point, a name
			t.Errorf("%s is not drawn", d.Name)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("a point is nowhere")
	}
}

// What infra/COST.md says below the costs of the designs, of which is dearer, is what they cost.
func TestDesignsCostInTheOrderThatThePageClaims(t *testing.T) {
	t.Parallel()
	prices := read(t)
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		l := with(n)
		compressed := l
		compressed.Gzip = true
		plain, polling, gzip := design.Plain.Bill(l, prices), design.Polling.Bill(l, prices), design.Polling.Bill(compressed, prices)
		functions, tasks := design.Ours.Bill(l, prices), design.Ours.Bill(onFargate(l), prices)
		for name, ours := range map[string]struct {
			design.Plan
			dearest bool
		}{"on Lambda": {functions, n <= 1000}, "on Fargate": {tasks, n <= 100}} {
			if dearer := ours.Total > polling.Total; dearer != ours.dearest {
				t.Errorf("%d dashboards: ours %s costs %s, and polling %s", n, name, USD(ours.Total), USD(polling.Total))
			}
			if ours.Total <= plain.Total || ours.Total <= gzip.Total {
				t.Errorf("%d dashboards: ours %s costs %s, plain %s, and polling compressed %s", n, name, USD(ours.Total), USD(plain.Total), USD(gzip.Total))
			}
			if ours.Exceeded() != (n > 100) {
				t.Errorf("%d dashboards: beyond a limit of ours %s: %t", n, name, ours.Exceeded())
			}
		}
	}
}

func TestPageWantsItsParts(t *testing.T) {
	t.Parallel()
	prices := read(t)
	all := "# Cost\n"
	for name := range blocks {
		all += "\n<!-- plan: " + name + " -->\nOLD\n<!-- end -->\nkept\n"
	}
	made, err := Page(all, prices)
	if err != nil || strings.Contains(made, "OLD") || strings.Count(made, "kept") != len(blocks) {
		t.Fatalf("%v\n%s", err, made)
	}
	if again, err := Page(made, prices); err != nil || again != made {
		t.Errorf("%v: made again it is another", err)
	}
	for name, text := range map[string]string{
		"none": "# Cost", "an unknown one": all + "<!-- plan: weather -->\n<!-- end -->", "one twice": all + "<!-- plan: views -->\n<!-- end -->",
		"one not ended": strings.Replace(all, "<!-- end -->", "", 1),
	} {
		if _, err := Page(text, prices); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
