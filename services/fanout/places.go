package fanout

// place is where a mailbox stands in a channel's log: it has got everything up to that offset.
type place struct {
	channel *channel
	cursor  int64
	held    *group // among the channel's places
	slow    bool   // among its slow ones instead
	seen    uint64 // the last round whose read named it
}

// group is how many places there are at an offset.
type group struct {
	offset         int64
	count          int
	before, behind *group
}

// places knows the lowest of many offsets at any time. They are few, however many connections there
// are, because those that got the same frame stand at the same place. The zero value is empty.
type places struct{ first, last *group }

// hold adds a place at its cursor. It looks for it from the newest offset down.
func (ps *places) hold(p *place) {
	at := ps.last
	for at != nil && at.offset > p.cursor {
		at = at.before
	}
	if at == nil || at.offset < p.cursor {
		at = ps.insert(p.cursor, at)
	}
	at.count++
	p.held = at
}

// insert makes a group behind another one, or as the first.
func (ps *places) insert(offset int64, before *group) *group {
	g := &group{offset: offset, before: before, behind: ps.first}
	if before != nil {
		g.behind = before.behind
		before.behind = g
	} else {
		ps.first = g
	}
	if g.behind != nil {
		g.behind.before = g
	} else {
		ps.last = g
	}
	return g
}

// release takes a place out.
func (ps *places) release(p *place) {
	g := p.held
	p.held = nil
	if g == nil {
		return
	}
	if g.count--; g.count > 0 {
		return
	}
	if g.before != nil {
		g.before.behind = g.behind
	} else {
		ps.first = g.behind
	}
	if g.behind != nil {
		g.behind.before = g.before
	} else {
		ps.last = g.before
	}
}
