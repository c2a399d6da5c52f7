// Package access lets clients in. A page sends its token to POST /tickets and gets a ticket, which it puts into
// the address of the WebSocket; the authorizer of $connect takes the ticket, once, and tells $connect who
// comes. [Revoker] sends them away again.
//
// Browsers let any page open a WebSocket to any server, so the Origin header is looked at twice: a ticket is
// for the page that asked for it, and both times it must be one of the pages that may. Whoever sends no
// Origin is no browser: it needs a token that says it is a service's.
//
// Nothing here logs a token, a ticket, a query string, or who somebody is.
package access

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
)

// origins are the pages that may connect, exactly as browsers write them.
type origins []string

// newOrigins refuses what no browser would ever send: a trailing slash, capitals, the port that goes without
// saying. It would match nothing, and whoever wrote it would wonder.
func newOrigins(allowed []string) (origins, error) {
	for _, text := range allowed {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !originPattern.MatchString(text) ||
			u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
			return nil, fmt.Errorf("access: %q is not an origin as browsers send it, like https://app.example.com", text)
		}
	}
	return allowed, nil
}

var originPattern = regexp.MustCompile(`^https?://[a-z0-9.\-\[\]:]+$`)

// allow compares byte by byte: no case is folded, no default added, no suffix matched.
func (o origins) allow(origin string) bool { return slices.Contains(o, origin) }
