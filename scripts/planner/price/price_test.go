package price

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func read(t *testing.T) List {
	t.Helper()
	l, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The examples of the price list, computed by hand: 100,000 connections for 30 days, and a message a minute to each.
func TestCosts(t *testing.T) {
	t.Parallel()
	p := read(t).Prices
	const minutes, messages = 100_000 * 30 * 24 * 60, 100_000 * 30 * 24 * 60
	for name, tc := range map[string]struct{ got, want float64 }{
		"minutes":                  {p.ConnectionMinute.Cost(minutes), 1080},
		"messages of two tiers":    {p.Message.Cost(messages), 1000 + 3320*0.80},
		"the end of a tier":        {p.Message.Cost(1e9), 1000},
		"one more":                 {p.Message.Cost(1e9 + 1e6), 1000.80},
		"gigabytes of three tiers": {p.GigabyteOut.Cost(61_200), 10_240*0.09 + 40_960*0.085 + 10_000*0.07},
		"nothing":                  {p.Message.Cost(0), 0},
	} {
		if math.Abs(tc.got-tc.want) > 1e-6 {
			t.Errorf("%s: $%v, want $%v", name, tc.got, tc.want)
		}
	}
}

// More never costs less, and never more than at the first price.
func TestCostGrows(t *testing.T) {
	t.Parallel()
	list := read(t)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Float64Range(0, 1e13).Draw(t, "a")
		b := a + rapid.Float64Range(0, 1e13).Draw(t, "more")
		list.Each(func(name string, p Price) {
			if p.Cost(b) < p.Cost(a) {
				t.Errorf("%s: %v cost $%v, and %v cost $%v", name, a, p.Cost(a), b, p.Cost(b))
			}
			if most := b * p.Tiers[0].USD / p.Per; p.Cost(b) > most*(1+1e-12) {
				t.Errorf("%s: %v cost $%v, more than $%v", name, b, p.Cost(b), most)
			}
		}, func(string, Number) {}, func(string, Number) {})
	})
}

func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, new, says string }{
		"no source":            {`"source": "https://aws.amazon.com/sns/pricing/"`, `"source": ""`, "publish: its source is no page"},
		"unknown name":         {`"publish": {`, `"publishes": {`, "unknown field"},
		"no price":             {`"tiers": [{"usd": 0.625}]`, `"tiers": []`, "write_unit: not complete"},
		"tiers in no order":    {`{"up_to": 51200, `, `{"up_to": 5120, `, "gigabyte_out: its tiers are not in order"},
		"an end to the tiers":  {`{"usd": 0.05}]`, `{"up_to": 999999, "usd": 0.05}]`, "gigabyte_out: its tiers are not in order"},
		"assumed and verified": {`"source": "assumed: AWS publishes no figure", "verified": false`, `"source": "assumed", "verified": true`, "post_seconds: assumed, and yet verified"},
		"no number":            {`"value": 0.02, "unit": "seconds from a post`, `"value": 0, "unit": "seconds from a post`, "post_seconds: not complete"},
		"limit of no page":     {`"source": "https://docs.aws.amazon.com/general/latest/gr/sns.html"`, `"source": "hearsay"`, "publishes: its source is no page"},
		"no date":              {`"date": "September 2026"`, `"date": ""`, "no date"},
	} {
		text := strings.Replace(string(file), tc.old, tc.new, 1)
		if text == string(file) {
			t.Errorf("%s: %s is not in the file", name, tc.old)
			continue
		}
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}
