package memregistry

import (
	"context"

	"github.com/iops-dashboard/live/services/internal/registry"
)

// Revoked reports whether the permission of c was revoked.
func (r *Registry) Revoked(ctx context.Context, c registry.Connection) (bool, error) {
	if err := ended(ctx, "registry.Revoked", nil); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range c.Owners() {
		if at, ok := r.revoked[o]; ok && c.Revoked(at) {
			return true, nil
		}
	}
	return false, nil
}
