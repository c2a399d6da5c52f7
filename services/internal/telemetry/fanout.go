package telemetry

import (
	"sync"
	"time"
)

// Post is a post of the fanout that has ended.
type Post struct {
	Verdict string
	Updates int // in the frame
	Bytes   int // of it
	// Age is the time since the oldest write in the frame, by the writer's clock; 0 if that is not known.
	Age time.Duration
	// Waited is how long the update that waited longest was in the mailbox, from the match to the post.
	Waited time.Duration
	// Took is the time of the post itself.
	Took time.Duration
}

// Round is the messages of a tenant that shared one read of the registry, when they are settled.
type Round struct {
	Outcome  string // done, failed or unfinished
	Messages int
	Rows     int // of the registry
	// Conflated is how many states that waited were replaced by newer ones.
	Conflated int
	// QueueAge is the time since the longest waiting of them was sent.
	QueueAge time.Duration
	// Waited is how long the first of them waited for the read to begin.
	Waited time.Duration
	// Took is the time from there to the last verdict.
	Took time.Duration
}

// Fanout measures the fanout, from the queue to the deletion: QueueAge, ReadWait, MailboxWait, PostDuration,
// SettleDuration are what the hand-over from each of its stages to the next takes. WriteToPostLatency is the
// time from the oldest write in a frame, by the writer's clock, to the end of its post. Make one with
// NewFanout; it may be used concurrently.
type Fanout struct {
	recorder *Recorder
	posts    sync.Map // *Counter by verdict

	frameBytes, updatesPosted, rowsRead, conflated, crossed               *Counter
	updatesPerFrame, mailboxWait, postDuration, writeToPost, queueAge     *Distribution
	readWait, roundDuration, settleDuration, messagesUnderWay, boxesDepth *Distribution
}

// NewFanout returns the metrics of a fanout that records with r.
func NewFanout(r *Recorder) *Fanout {
	return &Fanout{
		recorder:         r,
		frameBytes:       r.Counter("FrameBytes", Bytes),
		updatesPosted:    r.Counter("UpdatesPosted", Count),
		rowsRead:         r.Counter("RegistryRowsRead", Count),
		conflated:        r.Counter("UpdatesConflated", Count),
		crossed:          r.Counter(CrossTenant, Count),
		updatesPerFrame:  r.Distribution("UpdatesPerFrame", Count),
		mailboxWait:      r.Distribution("MailboxWait", Milliseconds),
		postDuration:     r.Distribution("PostDuration", Milliseconds),
		writeToPost:      r.Distribution("WriteToPostLatency", Milliseconds),
		queueAge:         r.Distribution("QueueAge", Milliseconds),
		readWait:         r.Distribution("ReadWait", Milliseconds),
		roundDuration:    r.Distribution("RoundDuration", Milliseconds),
		settleDuration:   r.Distribution("SettleDuration", Milliseconds),
		messagesUnderWay: r.Distribution("MessagesUnderWay", Count),
		boxesDepth:       r.Distribution("MailboxDepth", Count),
	}
}

// Post counts a post by its verdict, and what a delivered frame brought.
func (f *Fanout) Post(p Post) {
	posts, ok := f.posts.Load(p.Verdict)
	if !ok {
		posts, _ = f.posts.LoadOrStore(p.Verdict, f.recorder.Counter("Posts", Count, "verdict", p.Verdict))
	}
	posts.(*Counter).Add(1)
	f.postDuration.Observe(ms(p.Took))
	if p.Verdict != "delivered" {
		return
	}
	f.frameBytes.Add(p.Bytes)
	f.updatesPosted.Add(p.Updates)
	f.updatesPerFrame.Observe(float64(p.Updates))
	f.mailboxWait.Observe(ms(p.Waited))
	if p.Age > 0 {
		f.writeToPost.Observe(ms(p.Age))
	}
}

// Round counts messages by their outcome, and what they took.
func (f *Fanout) Round(r Round) {
	f.recorder.Counter("Messages", Count, "outcome", r.Outcome).Add(r.Messages)
	f.rowsRead.Add(r.Rows)
	f.conflated.Add(r.Conflated)
	f.queueAge.Observe(ms(r.QueueAge))
	f.readWait.Observe(ms(r.Waited))
	f.roundDuration.Observe(ms(r.Took))
}

// Settled observes how long it took to delete messages from the queue, or to hand them back.
func (f *Fanout) Settled(took time.Duration) { f.settleDuration.Observe(ms(took)) }

// Depth observes how many messages are under way, and how many mailboxes have something waiting.
func (f *Fanout) Depth(messages, mailboxes int) {
	f.messagesUnderWay.Observe(float64(messages))
	f.boxesDepth.Observe(float64(mailboxes))
}

// Crossed counts what was about to cross tenants, as [CrossTenant].
func (f *Fanout) Crossed(n int) { f.crossed.Add(n) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
