package issuer

import (
	"sync"
	"time"
)

// capacity of a vault.
const capacity = 1000

// vault keeps values under keys that nobody can guess, each for a lifetime at most, and the newest [capacity] of them.
// It may be used concurrently.
type vault[T any] struct {
	lifetime time.Duration

	mu    sync.Mutex
	items map[string]item[T]
}

type item[T any] struct {
	value T
	until time.Time
}

func newVault[T any](lifetime time.Duration) *vault[T] {
	return &vault[T]{lifetime: lifetime, items: map[string]item[T]{}}
}

// put returns the key of what it keeps.
func (v *vault[T]) put(value T) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.items) >= capacity {
		oldest := ""
		for key, item := range v.items {
			if oldest == "" || item.until.Before(v.items[oldest].until) {
				oldest = key
			}
		}
		delete(v.items, oldest)
	}
	key := newID()
	v.items[key] = item[T]{value, time.Now().Add(v.lifetime)}
	return key
}

// get returns what is kept under that key.
func (v *vault[T]) get(key string) (T, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	item, ok := v.items[key]
	return item.value, ok && time.Now().Before(item.until)
}

// take is get, for the one who comes first.
func (v *vault[T]) take(key string) (T, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	item, ok := v.items[key]
	delete(v.items, key)
	return item.value, ok && time.Now().Before(item.until)
}
