package session

import (
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// keepOwn returns an error of kind Internal if one of the rows is of another tenant than the connection, or of a type
// that it may not see. Then nothing that was read can be trusted, and none of it may be posted: nothing may cross a
// tenant, even if the table or a cache is wrong.
func (s *Sync) keepOwn(h held, c registry.Connection) error {
	crossed := 0
	for r := range h.all() {
		if r.Tenant != c.Tenant || !c.May(r.EntityType) {
			crossed++
		}
	}
	if crossed == 0 {
		return nil
	}
	s.config.Crossed(crossed)
	return fault.Newf("session.Sync", fault.Internal, "%d rows were read that are another tenant's, or hidden", crossed)
}
