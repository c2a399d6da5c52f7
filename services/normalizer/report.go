package normalizer

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
)

// Bounds of what a row's writer can have us log.
const (
	maxNames     = 20 // attributes named in the line of a batch
	maxNameBytes = 128
)

// report logs one line for the batch. Its fields are stable: metrics will be made of them. Each
// record counts once, so records = applied + repeated + superseded + quarantined + failed.
func (n *Normalizer) report(ctx context.Context, items []*item, took time.Duration) {
	var applied, repeated, superseded, quarantined, failed, dropped int
	byName := map[string]int{}
	var first error
	for _, it := range items {
		switch {
		case !it.done:
			failed++
			if first == nil {
				first = it.err
			}
		case it.reason != nil:
			quarantined++
		case it.applied == state.Superseded:
			superseded++
		case it.applied == state.Repeated:
			repeated++
		default:
			applied++
		}
		for _, name := range it.dropped {
			dropped++
			byName[clip(it.entity.Type+"."+name)]++
		}
	}
	fields := []any{
		"records", len(items), "applied", applied, "repeated", repeated, "superseded", superseded,
		"quarantined", quarantined, "failed", failed, "dropped_attributes", dropped,
		"duration_ms", took.Milliseconds(),
	}
	if dropped > 0 {
		var names []any
		for i, name := range slices.Sorted(maps.Keys(byName)) {
			if i == maxNames {
				break
			}
			names = append(names, slog.Int(name, byName[name]))
		}
		fields = append(fields, slog.Group("dropped", names...))
	}
	level := slog.LevelInfo
	if first != nil {
		level = slog.LevelError
		fields = append(fields, "kind", fault.KindOf(first).String(), "error", first.Error())
	}
	n.config.Log.Log(ctx, level, "batch", fields...)
}

// clip bounds a text of the payload that is logged.
func clip(s string) string {
	if len(s) <= maxNameBytes {
		return s
	}
	s = s[:maxNameBytes]
	for !utf8.ValidString(s) && s != "" {
		s = s[:len(s)-1]
	}
	return strings.Clone(s) + "…"
}
