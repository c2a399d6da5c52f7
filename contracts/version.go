package contracts

import "cmp"

// Compare returns -1, 0 or +1 as v is older than, the same as, or newer than other: epoch first, then
// revision. Of two states of one entity the one with the higher version is shown; equal versions are
// the same state.
func (v Version) Compare(other Version) int {
	return cmp.Or(cmp.Compare(v.Epoch, other.Epoch), cmp.Compare(v.Revision, other.Revision))
}
