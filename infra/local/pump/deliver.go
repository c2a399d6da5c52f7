package pump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"
)

// deliver takes a batch to its end: every record is delivered or given up, in order. It is false if ctx ended first.
//
// Attempts are counted by checkpoint, which is the first record that is not done: each invocation that fails there is
// one. Progress past it starts a new count, in which the invocation that brought the progress is the first to have
// failed at the new checkpoint. A split starts a new count at nothing, so that it does not use up a retry.
func (r *reader) deliver(ctx context.Context, batch []record) bool {
	var (
		pieces   = [][]record{batch} // to deliver; the last is the next
		attempts int                 // at the present checkpoint
		latest   *Response           // of those attempts
		retry    = backoff{first: 50 * time.Millisecond, last: 5 * time.Second}
	)
	for len(pieces) > 0 {
		top := len(pieces) - 1
		piece := pieces[top]
		proceed := func(n int) { // the first n are done
			r.shard.done = piece[n-1].sequence
			if n == len(piece) {
				pieces = pieces[:top]
			} else {
				pieces[top] = piece[n:]
			}
			attempts, latest = 0, nil
		}

		if n := r.tooOld(piece); n > 0 {
			if !r.giveUp(ctx, piece[:n], conditionTooOld, attempts, latest) {
				return false
			}
			proceed(n)
			continue
		}
		payload := event(piece)
		if len(payload) > maxPayload { // one record alone: no invocation can carry it
			if !r.giveUp(ctx, piece, conditionTooLarge, attempts, latest) {
				return false
			}
			proceed(len(piece))
			continue
		}

		response, ok := r.invoke(ctx, piece, payload)
		if !ok {
			if ctx.Err() != nil {
				return false
			}
			continue // the records grew too old while the function could not be had
		}
		failed := r.verdict(response, piece)
		switch {
		case failed == len(piece):
			proceed(len(piece))
			retry.reset()
			continue
		case failed > 0:
			proceed(failed)
			retry.reset()
			piece = pieces[top]
			if r.mapping.Bisect {
				continue
			}
		case r.mapping.Bisect && len(piece) > 1:
			half := len(piece) / 2
			pieces = append(pieces[:top], piece[half:], piece[:half])
			attempts, latest = 0, nil
			continue
		}
		attempts++
		latest = &response
		if r.mapping.MaxRetries >= 0 && attempts > r.mapping.MaxRetries {
			if !r.giveUp(ctx, piece, conditionExhausted, attempts, latest) {
				return false
			}
			proceed(len(piece))
			retry.reset()
			continue
		}
		if attempts == 1 {
			r.logger.WarnContext(ctx, "batch failed; retrying", "request_id", response.RequestID, "function_error", response.FunctionError,
				"records", len(piece), "sequence", piece[0].sequence)
		}
		if !wait(ctx, retry.next()) {
			return false
		}
	}
	return true
}

// invoke tries until the function answers. Throttles and faults of the host are not the records' fault: they do not
// count, and end only with ctx or the records' age.
func (r *reader) invoke(ctx context.Context, piece []record, payload []byte) (Response, bool) {
	throttle := backoff{first: 5 * time.Millisecond, last: 200 * time.Millisecond}
	retry := backoff{first: 50 * time.Millisecond, last: 5 * time.Second}
	for {
		response, err := r.invoker.Invoke(ctx, r.mapping.Function, payload)
		if err == nil {
			r.invokes.end(ctx)
			return response, true
		}
		r.invokes.begin(ctx, err)
		pause := retry.next
		var throttled interface{ Throttled() bool }
		if errors.As(err, &throttled) && throttled.Throttled() {
			pause = throttle.next
		}
		if !wait(ctx, pause()) || r.tooOld(piece) > 0 {
			return Response{}, false
		}
	}
}

// tooOld counts the records at the head of the piece that are past their age.
func (r *reader) tooOld(piece []record) int {
	if r.mapping.MaxAge == 0 {
		return 0
	}
	for i, each := range piece {
		if each.created.IsZero() || time.Since(each.created) <= r.mapping.MaxAge {
			return i
		}
	}
	return len(piece)
}

// verdict is the index of the first record that is not done: len(piece) where all are, 0 where the whole piece failed.
//
// With ReportBatchItemFailures the function names what failed, and everything from the first of these on is to be
// delivered again. Nothing, null, {} and an empty or null list mean success; an answer that is not understood in every
// part means that the whole piece failed.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
func (r *reader) verdict(response Response, piece []record) int {
	const allFailed = 0
	allDone := len(piece)
	if response.FunctionError != "" {
		return allFailed
	}
	if !r.mapping.ReportBatchItemFailures {
		return allDone
	}
	switch string(bytes.TrimSpace(response.Payload)) {
	case "", `""`, "null", "[]":
		return allDone
	}
	// Go's decoder would take any spelling of a struct's members.
	var answer map[string]json.RawMessage
	if json.Unmarshal(response.Payload, &answer) != nil {
		return allFailed
	}
	var failures []map[string]json.RawMessage
	if list, present := answer["batchItemFailures"]; present && json.Unmarshal(list, &failures) != nil {
		return allFailed
	}
	places := make(map[string]int, len(piece))
	for i, each := range piece {
		places[each.sequence] = i
	}
	first := allDone
	for _, failure := range failures {
		var identifier *string
		if json.Unmarshal(failure["itemIdentifier"], &identifier) != nil || identifier == nil {
			return allFailed
		}
		place, known := places[*identifier]
		if !known {
			return allFailed
		}
		first = min(first, place)
	}
	return first
}
