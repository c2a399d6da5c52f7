package memticket_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/ticket"
	"github.com/iops-dashboard/live/services/internal/ticket/memticket"
	"github.com/iops-dashboard/live/services/internal/ticket/tickettest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	tickettest.Run(t, func(*testing.T) ticket.Tickets { return &memticket.Tickets{} })
}

func TestExpiresToTheMillisecond(t *testing.T) {
	t.Parallel()
	for wait, good := range map[time.Duration]bool{
		0: true, ticket.Lifetime - time.Millisecond: true, ticket.Lifetime: false, time.Hour: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			tickets := &memticket.Tickets{}
			issued, err := tickets.Issue(t.Context(), tickettest.Grant("sub"), ticket.Lifetime)
			if err != nil || !issued.ExpiresAt.Equal(time.Now().Add(ticket.Lifetime)) {
				t.Fatalf("%v, %v", issued.ExpiresAt, err)
			}
			<-time.After(wait)
			_, err = tickets.Redeem(t.Context(), issued.Text)
			if good != (err == nil) || !good && fault.KindOf(err) != fault.Gone {
				t.Errorf("after %v: %v", wait, err)
			}
		})
	}
}

func TestTheNextWindowHasTicketsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tickets := &memticket.Tickets{}
		<-time.After(time.Until(ticket.Begin(time.Now()).Add(ticket.Window)))
		for range 3 {
			for n := range ticket.Limit + 2 {
				_, err := tickets.Issue(t.Context(), tickettest.Grant("sub"), ticket.Lifetime)
				if good := n < ticket.Limit; good != (err == nil) || !good && !errors.Is(err, ticket.ErrTooMany) {
					t.Errorf("ticket %d: %v", n, err)
				}
			}
			<-time.After(ticket.Window)
		}
	})
}
