package redrive

import "iter"

// Fate is what becomes of a message.
type Fate int

const (
	Skip       Fate = iota // not what the run is about: it stays
	Replay                 // it goes to the target
	Quarantine             // it goes to the quarantine: as it is it can never be replayed
	Archive                // it goes to the archive: nobody needs it any more
	Keep                   // it stays, and counts as failed
)

// done is what the log says of a message that went where its fate sends it.
func (f Fate) done() Outcome {
	switch f {
	case Quarantine:
		return Quarantined
	case Archive:
		return Archived
	}
	return Sent
}

// fate is what became of a message that the log has this outcome of.
func (o Outcome) fate() Fate {
	switch o {
	case Quarantined:
		return Quarantine
	case Archived:
		return Archive
	}
	return Replay
}

// Decision is the fate of a message, and what is sent for it.
type Decision struct {
	Fate Fate
	Why  string // of Quarantine, Archive and Keep: it is in the log, so it quotes nothing of a body

	// What is sent if it is replayed: Message; or Messages, in order, if there are several; or else itself. Only
	// bodies, traces and attributes of these count. Messages are asked for when they are about to be sent, by the
	// goroutine of the run, and once more from the beginning if the run is resumed or loses its hold of the message
	// in the middle. The message at rest is deleted when all are confirmed. After an error of Messages, which ends
	// them, it stays and counts as failed, and what was sent is sent.
	Message  *Message
	Messages iter.Seq2[Message, error]
}
