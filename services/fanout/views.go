package fanout

import (
	"context"
	"log/slog"
	"sync"

	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/view"
)

// viewSets compiles each text of views once. It may be used concurrently.
type viewSets struct {
	mu    sync.Mutex
	known map[string]*view.Set
}

// maxViewSets bounds the memory: beyond it they are all compiled anew.
const maxViewSets = 10_000

func newViewSets() *viewSets { return &viewSets{known: map[string]*view.Set{}} }

// get returns what the text says. A text that cannot be read is one of a later release: then all is
// sent, since views are a filter and no permission, and the browser applies them, too.
func (v *viewSets) get(ctx context.Context, log *slog.Logger, text string) *view.Set {
	v.mu.Lock()
	defer v.mu.Unlock()
	if set := v.known[text]; set != nil {
		return set
	}
	set := view.Everything()
	if text != registry.Everything {
		parsed, err := view.Parse(text)
		if err != nil {
			log.WarnContext(ctx, "views not understood, everything is sent", "error", err.Error())
		} else {
			set = parsed
		}
	}
	if len(v.known) >= maxViewSets {
		clear(v.known)
	}
	v.known[text] = set
	return set
}
