package state

import (
	"encoding/json"

	"github.com/iops-dashboard/live/contracts"
)

// Readable reports whether a frame or page can carry the entry: the normalizer lets no other through.
func (e Entry) Readable() bool {
	return len(e.Image) <= contracts.MaxEventBytes && json.Valid(e.Image)
}
