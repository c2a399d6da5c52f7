package failure

import (
	"context"
	"errors"
)

// MaxDocument is the largest document, in bytes, that is read. The event in it has 6 MB at most, and may grow as it is
// written into a string.
const MaxDocument = 20 << 20

var (
	// ErrMissing says that the object is gone.
	ErrMissing = errors.New("the object is gone")
	// ErrTooLarge says that the object is larger than a document can be.
	ErrTooLarge = errors.New("the object is larger than a document of Lambda can be")
)

// Store keeps documents.
type Store interface {
	// Get returns an object of up to [MaxDocument]. An adapter may retry a failing call for a short time. An error is
	// [ErrMissing], [ErrTooLarge] or redrive.ErrDenied, or may pass.
	Get(ctx context.Context, o Object) ([]byte, error)
}
