package telemetry

import "time"

// Fanout measures the fanout. It is a fanout.Meter.
type Fanout struct{ *Recorder }

// Post counts a post by its verdict, and what a delivered frame brought: WriteToPostLatency is the time
// from the oldest write in the frame, by the writer's clock, to the end of the post.
func (f Fanout) Post(verdict string, updates, bytes int, age time.Duration) {
	f.Add("Posts", Count, 1, "verdict", verdict)
	if verdict != "delivered" {
		return
	}
	f.Add("FrameBytes", Bytes, float64(bytes))
	f.Add("UpdatesPosted", Count, float64(updates))
	f.Observe("UpdatesPerFrame", Count, float64(updates))
	if age > 0 {
		f.Observe("WriteToPostLatency", Milliseconds, float64(age.Milliseconds()))
	}
}

// Round counts messages by their outcome. QueueAge is the time since the longest waiting of them was sent;
// UpdatesConflated are the states that waited and were replaced by newer ones.
func (f Fanout) Round(outcome string, messages, rows, conflated int, queueAge, duration time.Duration) {
	f.Add("Messages", Count, float64(messages), "outcome", outcome)
	f.Add("RegistryRowsRead", Count, float64(rows))
	f.Add("UpdatesConflated", Count, float64(conflated))
	f.Observe("QueueAge", Milliseconds, float64(queueAge.Milliseconds()))
	f.Observe("RoundDuration", Milliseconds, float64(duration.Milliseconds()))
}

// Depth observes how many messages are under way, and how many mailboxes have something waiting.
func (f Fanout) Depth(messages, mailboxes int) {
	f.Observe("MessagesUnderWay", Count, float64(messages))
	f.Observe("MailboxDepth", Count, float64(mailboxes))
}
