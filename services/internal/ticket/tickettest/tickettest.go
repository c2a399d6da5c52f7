// Package tickettest is the conformance suite of the ticket port. Every adapter runs it.
package tickettest

import (
	"context"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/ticket"
)

// Run puts the stores that newTickets makes, empty ones, through the suite.
func Run(t *testing.T, newTickets func(t *testing.T) ticket.Tickets) {
	for _, c := range []struct {
		name string
		test func(*testing.T, ticket.Tickets)
	}{
		{"AForgedTicketIsGone", forged},
		{"ARedeemedTicketIsGone", redeemed},
		{"AnExpiredTicketIsGone", expired},
		{"AnIncompleteGrantIsInvalid", invalid},
		{"ASubjectGetsNoMoreThanItsLimit", limit},
		{"OneOfManyRedeemsATicket", racing},
		{"AnEndedContextIsTransient", ended},
		{"TheGrantComesBackAsItWas", grants},
		{"TicketsAreApart", apart},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newTickets(t))
		})
	}
}

// Grant is one of tenant acme to a page.
func Grant(subject string) ticket.Grant {
	return ticket.Grant{Tenant: "acme", Subject: subject, Session: "session of " + subject, Origin: "https://app.example.com"}
}

var form = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

func issue(t *testing.T, tickets ticket.Tickets, g ticket.Grant) ticket.Ticket {
	t.Helper()
	issued, err := tickets.Issue(t.Context(), g, ticket.Lifetime)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return issued
}

func gone(t *testing.T, tickets ticket.Tickets, text string) {
	t.Helper()
	g, err := tickets.Redeem(t.Context(), text)
	if err == nil || fault.KindOf(err) != fault.Gone || !reflect.DeepEqual(g, ticket.Grant{}) {
		t.Errorf("Redeem: %+v, %v, want kind gone", g, err)
	}
	if err != nil && len(text) > 20 && strings.Contains(err.Error(), text) {
		t.Error("the error tells the ticket")
	}
}

func forged(t *testing.T, tickets ticket.Tickets) {
	issued := issue(t, tickets, Grant("sub"))
	other, digest := ticket.New(ticket.Lifetime)
	for _, text := range []string{
		"", "ticket", other.Text, digest, ticket.Digest(issued.Text), issued.Text[:42], issued.Text + "=", " " + issued.Text,
		strings.ToUpper(issued.Text), strings.Repeat("x", 4000), "\x00", "Zoë",
	} {
		gone(t, tickets, text)
	}
	if _, err := tickets.Redeem(t.Context(), issued.Text); err != nil {
		t.Errorf("the true one: %v", err)
	}
}

func redeemed(t *testing.T, tickets ticket.Tickets) {
	issued := issue(t, tickets, Grant("sub"))
	if _, err := tickets.Redeem(t.Context(), issued.Text); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		gone(t, tickets, issued.Text)
	}
}

func expired(t *testing.T, tickets ticket.Tickets) {
	issued, err := tickets.Issue(t.Context(), Grant("sub"), time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, tickets, issued.Text)
	gone(t, tickets, issued.Text)
}

func invalid(t *testing.T, tickets ticket.Tickets) {
	for name, spoil := range map[string]func(*ticket.Grant){
		"no tenant":          func(g *ticket.Grant) { g.Tenant = "" },
		"a key's separator":  func(g *ticket.Grant) { g.Tenant = "acme#other" },
		"no subject":         func(g *ticket.Grant) { g.Subject = "" },
		"a long subject":     func(g *ticket.Grant) { g.Subject = strings.Repeat("x", 257) },
		"no session":         func(g *ticket.Grant) { g.Session = "" },
		"a long session":     func(g *ticket.Grant) { g.Session = strings.Repeat("x", 257) },
		"no type at all":     func(g *ticket.Grant) { g.EntityTypes = []string{} },
		"an empty type":      func(g *ticket.Grant) { g.EntityTypes = []string{""} },
		"types out of order": func(g *ticket.Grant) { g.EntityTypes = []string{"tutor", "student"} },
		"a type twice":       func(g *ticket.Grant) { g.EntityTypes = []string{"student", "student"} },
		"many types":         func(g *ticket.Grant) { g.EntityTypes = strings.Split("abcdefghijklmnopq", "") },
	} {
		g := Grant("sub")
		spoil(&g)
		if _, err := tickets.Issue(t.Context(), g, ticket.Lifetime); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
	}
	if _, err := tickets.Issue(t.Context(), Grant("sub"), 0); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no lifetime: %v, want kind invalid", err)
	}
}

// A new window may begin meanwhile, but not two.
func limit(t *testing.T, tickets ticket.Tickets) {
	sessions := []string{"one", "two"}
	n := 0
	for ; n < 2*ticket.Limit; n++ {
		g := Grant("sub")
		g.Session = sessions[n%2]
		_, err := tickets.Issue(t.Context(), g, ticket.Lifetime)
		if errors.Is(err, ticket.ErrTooMany) && fault.KindOf(err) == fault.Throttled {
			break
		}
		if err != nil {
			t.Fatalf("ticket %d: %v", n, err)
		}
	}
	if n < ticket.Limit {
		t.Errorf("only %d tickets", n)
	}
	issue(t, tickets, Grant("another"))
	g := Grant("sub")
	g.Tenant = "umbrella" // whose subject of that name is somebody else
	issue(t, tickets, g)
}

func racing(t *testing.T, tickets ticket.Tickets) {
	issued := issue(t, tickets, Grant("sub"))
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch _, err := tickets.Redeem(t.Context(), issued.Text); {
			case err == nil:
				won.Add(1)
			case fault.KindOf(err) != fault.Gone:
				t.Errorf("Redeem: %v, want kind gone", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d have redeemed one ticket", won.Load())
	}
}

func ended(t *testing.T, tickets ticket.Tickets) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tickets.Issue(ctx, Grant("sub"), ticket.Lifetime); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("Issue: %v, want kind transient", err)
	}
	if _, err := tickets.Redeem(ctx, "any"); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("Redeem: %v, want kind transient", err)
	}
}

func grants(t *testing.T, tickets ticket.Tickets) {
	long := strings.Repeat("x", 256)
	for name, g := range map[string]ticket.Grant{
		"of a page":       Grant("sub"),
		"of a service":    {Tenant: "acme", Subject: "importer", Session: "s"},
		"to few types":    {Tenant: "acme", Subject: "few", Session: "s", EntityTypes: []string{"insight", "student"}, Origin: "http://127.0.0.1:5173"},
		"with odd names":  {Tenant: "a-c.m_e", Subject: "auth0|Zoë #1", Session: "{\"a\":1}", Origin: "https://xn--zo-8ma.example"},
		"until an end":    {Tenant: "acme", Subject: "ends", Session: "s", Until: time.UnixMilli(1_795_000_000_123)},
		"with long names": {Tenant: "acme", Subject: long, Session: long},
		"issued later":    {Tenant: "acme", Subject: "forger", Session: "s", IssuedAt: time.Now().Add(time.Hour)},
	} {
		before := time.Now()
		issued := issue(t, tickets, g)
		after := time.Now()
		if !form.MatchString(issued.Text) {
			t.Errorf("%s: not a ticket", name)
		}
		if at := issued.ExpiresAt; at.Before(before.Add(ticket.Lifetime-time.Millisecond)) || at.After(after.Add(ticket.Lifetime)) {
			t.Errorf("%s: expires at %v", name, at)
		}
		if at := issued.IssuedAt; at.Before(before.Truncate(time.Millisecond)) || at.After(after) {
			t.Errorf("%s: issued at %v", name, at)
		}
		got, err := tickets.Redeem(t.Context(), issued.Text)
		if g.IssuedAt = issued.IssuedAt; err != nil || !reflect.DeepEqual(got, g) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, g)
		}
	}
}

func apart(t *testing.T, tickets ticket.Tickets) {
	one, two := issue(t, tickets, Grant("one")), issue(t, tickets, Grant("two"))
	if one.Text == two.Text {
		t.Fatal("the same ticket twice")
	}
	for subject, text := range map[string]string{"two": two.Text, "one": one.Text} {
		if g, err := tickets.Redeem(t.Context(), text); err != nil || g.Subject != subject {
			t.Errorf("%s: %+v, %v", subject, g, err)
		}
	}
}
