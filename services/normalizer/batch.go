package normalizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/topic"
)

// errBehind is why a record was not tried: one of its entity failed before it.
var errBehind = errors.New("an earlier record of the entity failed")

// item is one record of a batch on its way. A round has each item in one goroutine at a time.
type item struct {
	outcome
	payload  json.RawMessage
	messages []topic.Message // applied, not yet published
	applied  state.Outcome   // the best of its updates; 0 where there is none yet
	done     bool            // published, superseded or in quarantine
	err      error           // why it is not done
}

func (n *Normalizer) normalizeAll(ctx context.Context, payloads []json.RawMessage) []*item {
	items := make([]*item, len(payloads))
	for i, payload := range payloads {
		items[i] = &item{payload: payload, outcome: n.normalize(ctx, payload)}
	}
	return items
}

// normalize is the pure function, made safe: a record that makes it panic would do so again and
// again, so it is quarantined like any other that cannot become an event.
func (n *Normalizer) normalize(ctx context.Context, payload json.RawMessage) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			// The value of the panic may quote the payload; where it happened does not.
			n.config.Log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			r, _ := decode(payload)
			o = outcome{record: r, reason: &quarantine.Reason{Code: "panic", Message: "the normalizer failed on this record"}}
		}
	}()
	return n.tables.normalize(payload, n.config.Now())
}

// byEntity groups the items into queues, each with the records of one entity in their order. A
// record whose entity is not known is alone.
func byEntity(items []*item) [][]*item {
	var queues [][]*item
	index := map[entity]int{}
	for _, it := range items {
		at, seen := index[it.entity]
		if seen && it.entity.ID != "" {
			queues[at] = append(queues[at], it)
			continue
		}
		index[it.entity] = len(queues)
		queues = append(queues, []*item{it})
	}
	return queues
}

// advance drops the heads that are done, and the queues whose head is not.
func advance(queues [][]*item) [][]*item {
	var live [][]*item
	for _, queue := range queues {
		head, rest := queue[0], queue[1:]
		switch {
		case !head.done:
			for _, it := range rest {
				it.err = errBehind
			}
		case len(rest) > 0:
			live = append(live, rest)
		}
	}
	return live
}

// round takes each item, of distinct entities, as far as it gets.
func (n *Normalizer) round(ctx context.Context, heads []*item) {
	n.each(ctx, heads, func(it *item) error { return n.apply(ctx, it) })
	n.publish(ctx, heads)
	n.each(ctx, heads, func(it *item) error {
		if it.reason == nil {
			return nil
		}
		return n.quarantineItem(ctx, it)
	})
	for _, it := range heads {
		it.done = it.err == nil
	}
}

// each calls f for the items that have not failed, some at a time, and notes their errors. A panic
// is an error: the record is tried again.
func (n *Normalizer) each(ctx context.Context, items []*item, f func(*item) error) {
	slots := make(chan struct{}, n.config.Parallel)
	var group sync.WaitGroup
	for _, it := range items {
		if it.err != nil {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			it.err = n.safely(ctx, func() error { return f(it) })
		})
	}
	group.Wait()
}

func (n *Normalizer) safely(ctx context.Context, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			n.config.Log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = fault.Newf("normalizer", fault.Internal, "panic of type %T", p)
		}
	}()
	return f()
}

// apply stores the item's updates in the state table and prepares the messages of those that are
// not superseded.
func (n *Normalizer) apply(ctx context.Context, it *item) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, u := range it.updates {
		result, err := n.store(ctx, u.change)
		switch kind := fault.KindOf(err); {
		case err == nil:
		case kind == fault.Invalid || kind == fault.TooLarge:
			if it.reason == nil {
				it.reason = &quarantine.Reason{Code: "state", Message: err.Error()}
			}
			continue
		default:
			return err
		}
		if it.applied == 0 || result.Outcome < it.applied {
			it.applied = result.Outcome
		}
		if result.Outcome == state.Superseded {
			continue
		}
		events, err := messages(u, result.Version)
		if err != nil && it.reason == nil {
			it.reason = &quarantine.Reason{Code: "edition", Message: err.Error()}
		}
		it.messages = append(it.messages, events...)
	}
	return nil
}

func (n *Normalizer) store(ctx context.Context, c state.Change) (state.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, n.config.CallTimeout)
	defer cancel()
	return n.config.State.Apply(ctx, c)
}

// publish offers the messages of all items together, and offers those that an outage held back
// again, until the attempts or the time are spent.
func (n *Normalizer) publish(ctx context.Context, heads []*item) {
	type pending struct {
		it      *item
		message topic.Message
	}
	var left []pending
	for _, it := range heads {
		if it.err == nil {
			for _, m := range it.messages {
				left = append(left, pending{it, m})
			}
		}
	}
	var errs []error
	for attempt := 0; len(left) > 0; attempt++ {
		if attempt == n.config.Attempts || attempt > 0 && !n.wait(ctx, attempt) {
			break
		}
		messages := make([]topic.Message, len(left))
		for i, p := range left {
			messages[i] = p.message
		}
		errs = n.offer(ctx, messages)
		var again []pending
		var why []error
		for i, p := range left {
			switch kind := fault.KindOf(errs[i]); {
			case errs[i] == nil:
			case kind == fault.Invalid || kind == fault.TooLarge:
				if p.it.reason == nil {
					p.it.reason = &quarantine.Reason{Code: "topic", Message: errs[i].Error()}
				}
			case kind.Temporary():
				again, why = append(again, p), append(why, errs[i])
			default:
				p.it.err = errs[i]
			}
		}
		left, errs = again, why
	}
	for i, p := range left {
		p.it.err = errs[i]
	}
}

// offer publishes once. Its result has an error for each message whatever happens.
func (n *Normalizer) offer(ctx context.Context, messages []topic.Message) []error {
	ctx, cancel := context.WithTimeout(ctx, n.config.CallTimeout)
	defer cancel()
	var errs []error
	err := n.safely(ctx, func() error {
		errs = n.config.Topic.Publish(ctx, messages)
		return nil
	})
	if err == nil && len(errs) != len(messages) {
		err = fault.Newf("normalizer", fault.Internal, "%d answers for %d messages", len(errs), len(messages))
	}
	if err != nil {
		errs = make([]error, len(messages))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// wait sleeps before an attempt, and reports whether there is time for it.
func (n *Normalizer) wait(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(rand.N(n.config.Backoff << min(attempt-1, 6)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// quarantineItem puts the record where it can be looked at.
func (n *Normalizer) quarantineItem(ctx context.Context, it *item) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.CallTimeout)
	defer cancel()
	err := n.config.Quarantine.Put(ctx, quarantine.Record{
		Payload:     it.payload,
		Reason:      *it.reason,
		At:          n.config.Now(),
		Source:      it.record.EventSourceARN,
		EventID:     it.record.EventID,
		Sequence:    it.record.DynamoDB.SequenceNumber,
		Tenant:      it.tenant,
		EntityType:  it.entity.Type,
		EntityID:    it.entity.ID,
		TraceParent: it.trace,
	})
	if err != nil {
		return err
	}
	n.config.Log.WarnContext(ctx, "quarantined",
		"event_id", clip(it.record.EventID),
		"sequence", clip(it.record.DynamoDB.SequenceNumber),
		"entity_type", clip(it.entity.Type),
		"code", it.reason.Code,
		"pointer", clip(it.reason.Pointer))
	return nil
}
