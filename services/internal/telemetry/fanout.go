package telemetry

import "time"

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
// SettleDuration are what the hand-over from each of its stages to the next takes.
type Fanout struct{ *Recorder }

// Post counts a post by its verdict, and what a delivered frame brought: WriteToPostLatency is the time
// from the oldest write in the frame, by the writer's clock, to the end of the post.
func (f Fanout) Post(p Post) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add("Posts", Count, 1, label{"verdict", p.Verdict})
	f.observe("PostDuration", Milliseconds, ms(p.Took))
	if p.Verdict != "delivered" {
		return
	}
	f.add("FrameBytes", Bytes, float64(p.Bytes), label{})
	f.add("UpdatesPosted", Count, float64(p.Updates), label{})
	f.observe("UpdatesPerFrame", Count, float64(p.Updates))
	f.observe("MailboxWait", Milliseconds, ms(p.Waited))
	if p.Age > 0 {
		f.observe("WriteToPostLatency", Milliseconds, ms(p.Age))
	}
}

// Round counts messages by their outcome, and what they took.
func (f Fanout) Round(r Round) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add("Messages", Count, float64(r.Messages), label{"outcome", r.Outcome})
	f.add("RegistryRowsRead", Count, float64(r.Rows), label{})
	f.add("UpdatesConflated", Count, float64(r.Conflated), label{})
	f.observe("QueueAge", Milliseconds, ms(r.QueueAge))
	f.observe("ReadWait", Milliseconds, ms(r.Waited))
	f.observe("RoundDuration", Milliseconds, ms(r.Took))
}

// Settled observes how long it took to delete messages from the queue, or to hand them back.
func (f Fanout) Settled(took time.Duration) { f.Observe("SettleDuration", Milliseconds, ms(took)) }

// Depth observes how many messages are under way, and how many mailboxes have something waiting.
func (f Fanout) Depth(messages, mailboxes int) {
	f.Observe("MessagesUnderWay", Count, float64(messages))
	f.Observe("MailboxDepth", Count, float64(mailboxes))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
