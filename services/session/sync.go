package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/summary"
	"github.com/iops-dashboard/live/services/internal/view"
)

// SyncConfig is what a Sync needs; Registry, State, Gateway and Log must be given.
type SyncConfig struct {
	Registry registry.Registry
	State    state.Table
	Gateway  gateway.Gateway
	Log      *slog.Logger
	// Summaries are what this process and others tell each other of what they have read. Nil: each reads by itself.
	Summaries summary.Store
	// Closer closes connections that send what no client does. Nil: they stay open.
	Closer gateway.Closer
	// Frames are the contracts that can be served. Defaults to [contracts.Frames].
	Frames []string
	// Lifetime is the longest that the gateway lets a connection be open. Defaults to 2 h, which is API
	// Gateway's:
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
	Lifetime time.Duration
	// ReconnectAfter is how old a connection is when it is told to move. It is up to a twentieth less for
	// some, so that those which were opened together do not move together. Defaults to 11/12 of Lifetime, but
	// half a minute or half of Lifetime before its end at the latest: to move takes a few seconds, and a sync to
	// hear of it.
	ReconnectAfter time.Duration
	// PostTimeout is how long one post may take. Defaults to 2 s.
	PostTimeout time.Duration
	// PostTries is how often a frame is posted that meets an outage, a time-out or a slow reader. Defaults
	// to 4.
	PostTries int
	// Crossed is told of rows that were about to be posted and are of another tenant, or of a type that the
	// connection may not see. Defaults to nobody.
	Crossed func(rows int)
	// Random draws from [0, 1) by how much a pause differs from others. Defaults to [rand.Float64].
	Random func() float64
}

func (c SyncConfig) withDefaults() SyncConfig {
	if c.Frames == nil {
		c.Frames = contracts.Frames()
	}
	c.Lifetime = cmp.Or(c.Lifetime, 2*time.Hour)
	c.ReconnectAfter = cmp.Or(c.ReconnectAfter, c.Lifetime-max(c.Lifetime/12, min(30*time.Second, c.Lifetime/2)))
	c.PostTimeout = cmp.Or(c.PostTimeout, 2*time.Second)
	c.PostTries = cmp.Or(c.PostTries, 4)
	if c.Crossed == nil {
		c.Crossed = func(int) {}
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	return c
}

// Sync answers what clients send: the sync command, on the route of that name, and whatever else, on the
// route $default. It may be used concurrently.
//
// A sync is subscription, repair and heartbeat in one. What the client watches is stored first, then the
// state table is read, and then the answer is posted: whatever is written before the read is in it, and
// whatever is written later meets the new views in the fan-out. SYNCED says that the client's digest is that
// of the table; else a SNAPSHOT brings all that the views hold, or what is in those slices that differ from the
// client's. A client that may have missed something, or whose views or contracts are other than with the sync
// before, is sent a snapshot of everything whatever its digest, until one was posted in full. With the first sync
// of a connection the digest counts: a client that has changed its views between two connections sends none.
// One that may see some types only, and asks for everything, gets these.
//
// Of many who say the same digest of the same views at the same time, one reads the table and lets the others know, in
// this process and in others: see SyncConfig.Summaries. Only SYNCED can come of that. Whoever is to get a snapshot reads.
//
// A refusal is posted as ERROR, which says what the client can mend and nothing of what is inside. What is no
// command, or may not be served, uses up the connection's pace as a sync does, and when that is used up it is
// not answered. A sync is told so then, once until there is something to pay with. The second message that is binary or
// too large closes the connection, and so does the second after the end of its permission: the first is answered by
// RECONNECT. A snapshot of many parts costs more than one sync.
type Sync struct {
	config SyncConfig
	reads  *reads
}

// NewSync returns a Sync, or an error if config is not complete.
func NewSync(config SyncConfig) (*Sync, error) {
	switch {
	case config.Registry == nil || config.State == nil || config.Gateway == nil || config.Log == nil:
		return nil, fmt.Errorf("session: no registry, state, gateway or log")
	case config.Lifetime < 0 || config.ReconnectAfter < 0 || config.PostTimeout < 0 || config.PostTries < 0:
		return nil, fmt.Errorf("session: a time or number is negative")
	}
	return &Sync{config: config.withDefaults(), reads: newReads(config.State)}, nil
}

// Handle answers one message with frames, which it posts. It returns no error, and always the status 200:
// API Gateway tells the client of an error, and of the connection's id, in a form of its own. The outcome is
// a log line.
func (s *Sync) Handle(ctx context.Context, request events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	start := time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-lastWords))
		defer cancel()
	}
	o := s.serve(ctx, request.RequestContext.ConnectionID, request)
	log(ctx, s.config.Log, "sync", request, o.err,
		"answer", o.answer, "reason", o.reason, "read", o.read, "frames", o.frames, "bytes", o.bytes, "slices", o.slices,
		"entities", o.entities, "insights", o.insights, "unreadable", o.unreadable,
		"duration_ms", time.Since(start).Milliseconds())
	return events.APIGatewayProxyResponse{StatusCode: http.StatusOK}, nil
}

// lastWords is the time before the function is cut off that is left for the log line.
const lastWords = 500 * time.Millisecond

// outcome is what became of a message, for the log.
type outcome struct {
	answer     string // the type of the frame that was posted, or of an ERROR its code
	reason     string // why it was this one
	read       string // how the state was had: fresh, joined, recent or shared; empty if it was not asked for
	frames     int    // posted
	bytes      int    // of these
	slices     int    // that they cover; 0: all
	entities   int    // that the views hold
	insights   int    // that they hold, and that count
	unreadable int    // rows that were left out
	err        error  // that is not the client's
}

func (s *Sync) serve(ctx context.Context, id string, request events.APIGatewayWebsocketProxyRequest) outcome {
	const op = "session.Sync"
	if id == "" {
		return outcome{err: fault.Newf(op, fault.Invalid, "no connection id")}
	}
	c, refused := s.read([]byte(request.Body))
	if refused != nil {
		// API Gateway closes a connection that sends a binary frame, unless it was told otherwise.
		refused.gross = refused.code == contracts.ErrorCodeTooLarge || request.IsBase64Encoded
		return s.blame(ctx, id, *refused)
	}
	status, err := s.config.Registry.Subscribe(ctx, id, c.subscription())
	switch {
	case errors.Is(err, registry.ErrEnded):
		return s.move(ctx, id, err)
	case errors.Is(err, registry.ErrTold):
		return outcome{reason: "too fast"}
	case errors.Is(err, registry.ErrForbidden), errors.Is(err, registry.ErrSuperseded):
		return s.blame(ctx, id, s.refusalOf(err, c.SyncID))
	case err != nil:
		return s.refuse(ctx, id, s.refusalOf(err, c.SyncID))
	}
	h, reason, err := s.look(ctx, c, status)
	if err != nil {
		o := s.refuse(ctx, id, s.refusalOf(err, c.SyncID))
		o.read = h.read
		return o
	}

	o := outcome{answer: contracts.SyncedFrameV1Type, reason: reason, read: h.read, entities: len(h.entities), insights: len(h.insights), unreadable: h.unreadable}
	var charged error
	if reason == upToDate {
		o.err = s.post(ctx, id, &o, syncedFrame(c.SyncID, time.Now()))
	} else {
		o.answer = contracts.SnapshotFrameV1Type
		var covers []int
		if reason == differs && c.Slices != nil {
			covers = h.differing(*c.Slices)
		}
		o.slices = len(covers)
		frames := h.frames(c.SyncID, covers, time.Now())
		charged = s.charge(ctx, id, len(frames))
		o.err = s.post(ctx, id, &o, frames...)
		if o.err == nil && status.Resync {
			o.err = s.config.Registry.ClearResync(ctx, id, status.Marks)
		}
	}
	now := time.Now()
	if moveAt, end := s.end(status.Connection); o.err == nil && !now.Before(moveAt) {
		o.err = s.post(ctx, id, &o, frame.Reconnect(contracts.ReconnectReasonLifetime, end.Sub(now), now))
	}
	o.err = cmp.Or(o.err, charged)
	return o
}

// freeParts is how many parts of a snapshot the sync has paid for. Each as many more cost as much as another sync, so
// that nobody keeps all of the function's sandboxes busy: a snapshot of 41 parts costs three syncs, which a connection
// gains in 1.8 s, and a browser that changes its views gets six or seven of them at once.
const freeParts = 16

// charge makes a connection pay for a large answer. If that fails it is not charged, and gets its answer.
func (s *Sync) charge(ctx context.Context, id string, parts int) error {
	if tokens := (parts - 1) / freeParts; tokens > 0 {
		return s.config.Registry.Charge(ctx, id, tokens)
	}
	return nil
}

// move tells a connection whose permission has ended to make room for one with a new ticket. It is sent nothing
// else, and if it stays and says something else it is closed.
func (s *Sync) move(ctx context.Context, id string, why error) outcome {
	if errors.Is(why, registry.ErrTold) {
		if s.config.Closer == nil {
			return outcome{reason: "ended"}
		}
		return outcome{reason: "closed", err: end(ctx, s.config.Closer, s.config.Registry, id)}
	}
	o := outcome{answer: contracts.ReconnectFrameV1Type, reason: "ended"}
	o.err = s.post(ctx, id, &o, frame.Reconnect(contracts.ReconnectReasonLifetime, 0, time.Now()))
	return o
}

// notice is how long before the end of its permission a connection is told to move: time for a sync, of which
// a browser sends one a minute at least, and to move.
const notice = 90 * time.Second

// end returns when a connection ends, because the gateway closes it or its permission ends, and when it is told
// to move.
func (s *Sync) end(c registry.Connection) (moveAt, end time.Time) {
	moveAt, end = c.ConnectedAt.Add(s.reconnectAfter(c.ID)), c.ConnectedAt.Add(s.config.Lifetime)
	if c.Until.IsZero() || !c.Until.Before(end) {
		return moveAt, end
	}
	beforeEnd := c.Until.Add(-min(notice, c.Until.Sub(c.ConnectedAt)/2))
	if beforeEnd.Before(moveAt) {
		moveAt = beforeEnd
	}
	return moveAt, c.Until
}

// Why a sync is answered as it is.
const (
	upToDate = "up to date"
	wanted   = "wanted"  // the client sent no digest
	resync   = "resync"  // the client may have missed something, or its views have changed
	differs  = "differs" // the client's digest is another
)

// look finds out what the views of c hold, and why that must be sent, or that the client holds it: then it need not tell
// what that is.
func (s *Sync) look(ctx context.Context, c command, status registry.Status) (held, string, error) {
	types := slices.DeleteFunc(c.types(), func(t string) bool { return !status.May(t) })
	var of turn
	if c.Digest != nil && !status.Resync {
		// A heartbeat, mostly. What was read a moment ago can confirm it, as long as these views were
		// stored before; it cannot refute it, since the client may know more.
		if all, ok := s.reads.recent(status.Tenant, types, status.Since.Add(registry.MaxSkew)); ok {
			if h := hold(all, c.set); h.digest == *c.Digest {
				return h, upToDate, s.keepOwn(h, status.Connection)
			}
		}
		// Nor can what others have read.
		if of = s.share(ctx, c, status, types); of.digest == *c.Digest {
			return held{digest: of.digest, read: readShared}, upToDate, nil
		}
	}
	all, err := s.reads.fresh(ctx, status.Tenant, types)
	if err != nil {
		return held{read: all.read}, "", err
	}
	h := hold(all, c.set)
	if err := s.keepOwn(h, status.Connection); err != nil {
		return h, "", err
	}
	s.tell(ctx, of, h.digest)
	switch {
	case status.Resync:
		return h, resync, nil
	case c.Digest == nil:
		return h, wanted, nil
	case h.digest != *c.Digest:
		return h, differs, nil
	}
	return h, upToDate, nil
}

// reconnectAfter is how old this connection may get before it is told to move.
func (s *Sync) reconnectAfter(id string) time.Duration {
	sum := sha256.Sum256([]byte(id))
	spread := float64(s.config.ReconnectAfter) / 20
	return s.config.ReconnectAfter - time.Duration(spread*float64(binary.BigEndian.Uint32(sum[:]))/(1<<32))
}

// command is a sync that can be served.
type command struct {
	contracts.SyncCommandV1
	set   *view.Set
	parts map[string]*view.Set
}

func (c command) subscription() registry.Subscription {
	s := registry.Subscription{SyncID: c.SyncID, Contracts: c.Contracts, Views: map[string]string{}}
	for partition, part := range c.parts {
		s.Views[partition] = part.Spec()
	}
	return s
}

// types are those of the state table that the views are on.
func (c command) types() []string {
	var types []string
	for partition := range c.parts {
		if partition == view.Partition {
			types = append(types, state.InsightType)
			for _, t := range contracts.EntityTypes() {
				types = append(types, string(t))
			}
			return types
		}
		types = append(types, partition)
	}
	return types
}

// read returns a command, or why it is refused.
func (s *Sync) read(document []byte) (command, *refusal) {
	if len(document) > contracts.MaxCommandBytes {
		return command{}, &refusal{code: contracts.ErrorCodeTooLarge}
	}
	var c command
	action, syncID := peek(document)
	if action != "" && action != contracts.SyncCommandV1Action {
		return c, &refusal{code: contracts.ErrorCodeUnknownAction, syncID: syncID}
	}
	err := contracts.ValidateProducer(contracts.KindSyncCommandV1, document)
	if err == nil {
		err = json.Unmarshal(document, &c.SyncCommandV1)
	}
	if err == nil {
		c.Contracts, err = servable(c.Contracts, s.config.Frames)
	}
	if err == nil {
		c.set, err = view.Compile(c.Views)
	}
	if err != nil {
		refused := refusal{code: contracts.ErrorCodeInvalid, syncID: syncID}
		if invalid, ok := errors.AsType[contracts.Invalid](err); ok {
			refused.pointer, refused.rule = &invalid.Pointer, &invalid.Keyword
		}
		return c, &refused
	}
	c.parts = c.set.Split()
	return c, nil
}

// peek reads the action and the sync id of a document that may not be valid, as far as they are there.
func peek(document []byte) (action string, syncID int64) {
	var members map[string]json.RawMessage
	if json.Unmarshal(document, &members) != nil {
		return "", 0
	}
	_ = json.Unmarshal(members["action"], &action) // another kind of value names no action
	const largest = 1<<53 - 1                      // of the contract
	if json.Unmarshal(members["sync_id"], &syncID) != nil || syncID < 1 || syncID > largest {
		syncID = 0
	}
	return action, syncID
}

// refusal is what an ERROR frame says, and what it does not.
type refusal struct {
	code          contracts.ErrorCode
	pointer, rule *string
	syncID        int64 // 0 if it is not known
	retryAfter    time.Duration
	gross         bool  // no client sends it by mistake
	cause         error // nil if the client is to blame
}

// The time after which a client is to try again when the fault is ours: it differs, so that not all come
// back at the same time.
const (
	minRetry = time.Second
	maxRetry = 4 * time.Second
)

// refusalOf tells what a client is told of an error. Its code is empty if there is nobody to tell.
func (s *Sync) refusalOf(err error, syncID int64) refusal {
	r := refusal{syncID: syncID}
	if soon, ok := errors.AsType[registry.TooSoon](err); ok {
		r.code, r.retryAfter = contracts.ErrorCodeRateLimited, soon.After
		return r
	}
	switch {
	case errors.Is(err, registry.ErrSuperseded):
		r.code = contracts.ErrorCodeSuperseded
	case errors.Is(err, registry.ErrForbidden):
		pointer := "/views"
		r.code, r.pointer = contracts.ErrorCodeForbidden, &pointer
	case fault.KindOf(err) == fault.Gone:
		r.cause = err
	default:
		r.code, r.cause = contracts.ErrorCodeUnavailable, err
		r.retryAfter = minRetry + s.upTo(maxRetry-minRetry)
	}
	return r
}

// upTo is any time that is less than limit.
func (s *Sync) upTo(limit time.Duration) time.Duration {
	return time.Duration(s.config.Random() * float64(limit))
}

// tolerated is how many gross messages a connection may send: the next one closes it.
const tolerated = 1

// blame has the client pay for a message that is refused, and tells it why as long as it can pay. An ERROR for each
// of any number would be as many posts, of which the account has so many for all.
func (s *Sync) blame(ctx context.Context, id string, r refusal) outcome {
	gross, err := s.config.Registry.Blame(ctx, id, r.gross)
	switch {
	case errors.As(err, new(registry.TooSoon)):
		return outcome{reason: "too many errors"}
	case errors.Is(err, registry.ErrEnded):
		return s.move(ctx, id, err)
	case err != nil && fault.KindOf(err) == fault.Gone:
		return outcome{err: err}
	case r.gross && gross > tolerated && s.config.Closer != nil:
		return outcome{answer: string(r.code), reason: "closed", err: end(ctx, s.config.Closer, s.config.Registry, id)}
	}
	o := s.refuse(ctx, id, r)
	o.err = cmp.Or(err, o.err)
	return o
}

// refuse posts an ERROR.
func (s *Sync) refuse(ctx context.Context, id string, r refusal) outcome {
	o := outcome{answer: string(r.code)}
	if r.rule != nil {
		o.reason = *r.rule // the pointer may quote the client's own names
	}
	if r.code != "" {
		o.err = s.post(ctx, id, &o, r.frame(time.Now()))
	}
	o.err = cmp.Or(r.cause, o.err)
	return o
}

// The pauses before a frame is posted again, before jitter. They double.
const (
	outagePause    = 100 * time.Millisecond
	throttledPause = 250 * time.Millisecond
)

// post posts frames one after the other, each again if that may help, and adds them to the outcome. It stops
// at the first that does not get through.
func (s *Sync) post(ctx context.Context, id string, o *outcome, frames ...[]byte) error {
	for _, text := range frames {
		f := gateway.NewFrame(text)
		for try := 1; ; try++ {
			err := s.config.Gateway.Post(ctx, id, f, s.config.PostTimeout)
			if err == nil {
				break
			}
			kind := fault.KindOf(err)
			if !kind.Temporary() || try == s.config.PostTries {
				return err
			}
			pause := outagePause
			if kind == fault.Throttled {
				pause = throttledPause
			}
			pause <<= try - 1
			select {
			case <-time.After(pause/2 + s.upTo(pause)):
			case <-ctx.Done():
				return err
			}
		}
		o.frames++
		o.bytes += len(text)
	}
	return nil
}

// servable returns the names of contracts sorted and without repetitions, or a [contracts.Invalid]. Types
// that are not known here are a newer client's and do no harm; but one that reads no major of a type which
// can be served would wait in vain.
func servable(named, frames []string) ([]string, error) {
	for _, frame := range frames {
		sameType := func(name string) bool { return typeOf(name) == typeOf(frame) }
		served := func(name string) bool { return sameType(name) && slices.Contains(frames, name) }
		if slices.ContainsFunc(named, sameType) && !slices.ContainsFunc(named, served) {
			return nil, contracts.Invalid{
				Pointer: "/contracts", Keyword: contracts.KeywordUnknownMajor,
				Message: "no major version of " + typeOf(frame) + " that it reads can be served",
			}
		}
	}
	slices.Sort(named)
	return slices.Compact(named), nil
}
