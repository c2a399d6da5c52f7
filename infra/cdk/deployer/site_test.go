package main

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestPageFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files []string
		want  string // in the error
	}{
		"no page":                       {[]string{"assets/a.js"}, "no index.html"},
		"a file of a kind nobody knows": {[]string{"index.html", "assets/a.xyz"}, "assets/a.xyz, and nobody knows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dist := fstest.MapFS{}
			for _, f := range tc.files {
				dist[f] = &fstest.MapFile{}
			}
			if _, err := pageFiles(dist); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("it says %v, want %q", err, tc.want)
			}
		})
	}
	files, err := pageFiles(fstest.MapFS{"index.html": {}, ".built": {}, "assets/a.js": {}})
	if err != nil || len(files) != 2 {
		t.Errorf("it finds %v, %v", files, err)
	}
}

// An asset goes only when nobody can have a page open any more that wants it.
func TestRetired(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const day = 24 * time.Hour
	files := []object{{key: "assets/new.js"}, {key: "assets/shared.js"}, {key: "index.html"}}
	for name, tc := range map[string]struct {
		before []stored
		want   []string
	}{
		"nothing is there": {},
		"the page was published a day ago": {before: []stored{
			{key: "index.html", modified: ago(day)}, {key: "assets/last.js", modified: ago(day + time.Minute)}, {key: "assets/older.js", modified: ago(90 * day)},
		}},
		"the page was published long ago": {before: []stored{
			{key: "index.html", modified: ago(30 * day)}, {key: "assets/last.js", modified: ago(30*day + time.Minute)},
			{key: "assets/older.js", modified: ago(90 * day)}, {key: "favicon.svg", modified: ago(90 * day)}, {key: "assets/shared.js", modified: ago(90 * day)},
		}, want: []string{"assets/older.js"}},
		"there are assets, and no page": {before: []stored{{key: "assets/older.js", modified: ago(90 * day)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, s := range retired(tc.before, files, now) {
				got = append(got, s.key)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("it removes %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRetiredAssetsAreRemovedWhenThePageIsUp(t *testing.T) {
	t.Parallel()
	for name, denied := range map[string]string{"all goes well": "", "the page is not uploaded": "index.html"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.aws.deployAll("prod")
			r.aws.publish(nil)
			r.aws.denyPut = denied
			r.aws.objects["assets/older.js"] = object{}
			r.aws.times["index.html"] = time.Now().Add(-2 * keepAssets)
			r.aws.times["assets/older.js"] = time.Now().Add(-3 * keepAssets)
			r.run(t, "site")
			var want []string
			if denied == "" {
				want = []string{"assets/older.js"}
			}
			if !slices.Equal(r.aws.deleted, want) {
				t.Errorf("it deletes %v, want %v", r.aws.deleted, want)
			}
		})
	}
}

func TestIsNarrow(t *testing.T) {
	t.Parallel()
	const origins = "wss://a.example.com,https://b.example.com"
	for policy, want := range map[string]bool{
		"connect-src 'self' wss://a.example.com https://b.example.com":                                  true,
		"default-src 'self'; connect-src 'self' https://b.example.com wss://a.example.com https://more": true,
		"connect-src 'self' wss://a.example.com https://b.example.com https://*.example.com":            false,
		"connect-src 'self' wss://a.example.com":                                                        false,
		"connect-src 'self' wss://a.example.com https://b.example.com.evil.io":                          false,
		"img-src wss://a.example.com https://b.example.com":                                             false,
		"": false,
	} {
		if got := isNarrow(policy, origins); got != want {
			t.Errorf("%q is narrow: %v, want %v", policy, got, want)
		}
	}
}

func TestServers(t *testing.T) {
	t.Parallel()
	outputs := map[string]string{"WebSocketURL": "wss://abc.execute-api.us-east-1.amazonaws.com/prod", "ApiURL": apiURL}
	const apis = "wss://abc.execute-api.us-east-1.amazonaws.com,https://def.execute-api.us-east-1.amazonaws.com"
	for name, tc := range map[string]struct{ document, want, fault string }{
		"tokens elsewhere":   {`{"token_endpoint":"https://tokens.example.com/oauth/token"}`, apis + ",https://tokens.example.com", ""},
		"tokens where it is": {`{"token_endpoint":"ISSUER/token"}`, apis, ""},
		"no tokens":          {`{}`, "", "names no token_endpoint"},
		"no JSON":            {`<html>`, "", "names no token_endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newFakeAWS(t)
			a.discovery = strings.ReplaceAll(tc.document, "ISSUER", a.URL)
			got, err := servers(t.Context(), outputs, a.URL+"/issuer")
			if got != tc.want || (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("they are %q, %v; want %q, %q", got, err, tc.want, tc.fault)
			}
		})
	}
	if _, err := servers(t.Context(), outputs, "http://127.0.0.1:9"); err == nil || !strings.Contains(err.Error(), "is the setting issuer right?") {
		t.Errorf("of an issuer that is not there it says %v", err)
	}
	if got, err := servers(t.Context(), outputs, ""); got != apis || err != nil {
		t.Errorf("without an issuer they are %q, %v", got, err)
	}
}

func TestPermits(t *testing.T) {
	t.Parallel()
	const origin = "wss://a.execute-api.us-east-1.amazonaws.com"
	for policy, want := range map[string]bool{
		"connect-src 'self' " + origin: true,
		"default-src 'self'; connect-src wss://*.execute-api.us-east-1.amazonaws.com": true,
		"connect-src 'self' https://*.execute-api.us-east-1.amazonaws.com":            false,
		"connect-src 'self' wss://b.execute-api.us-east-1.amazonaws.com":              false,
		"default-src *": false,
		"":              false,
	} {
		if got := permits(policy, origin); got != want {
			t.Errorf("%q permits it: %v, want %v", policy, got, want)
		}
	}
}
