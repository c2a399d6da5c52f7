package normalizer

// NewBounded returns a sink whose events have so many bytes at most.
func NewBounded(client Invoker, function string, most int) *Sink {
	return &Sink{client, function, most}
}

// MaxEvent is that of New.
const MaxEvent = maxEvent
