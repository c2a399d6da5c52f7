package topology_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/topology"
)

// A page that somebody has put a script into can neither load more nor send anything elsewhere.
func TestPageMayDoWhatItNeedsOnly(t *testing.T) {
	for given, connect := range map[string]string{
		"": "'self'", "https://a.example.com wss://b.example.com": "'self' https://a.example.com wss://b.example.com",
	} {
		got := map[string]string{}
		for directive := range strings.SplitSeq(topology.PagePolicy(strings.Fields(given)), "; ") {
			name, sources, _ := strings.Cut(directive, " ")
			got[name] = sources
		}
		want := map[string]string{
			"default-src": "'self'", "connect-src": connect, "img-src": "'self' data:", "style-src": "'self' 'unsafe-inline'",
			"base-uri": "'none'", "frame-ancestors": "'none'", "form-action": "'none'", "object-src": "'none'",
		}
		if !maps.Equal(got, want) {
			t.Errorf("to %q: %v, want %v", given, got, want)
		}
	}
}
