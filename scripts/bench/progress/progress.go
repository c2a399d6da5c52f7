// Package progress tells how far work of several parts is, and how long the rest may take.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"
)

// sayEvery is how often there is a line where lines cannot be written again.
const sayEvery = 10 * time.Second

// Line is what is told: on a terminal a line that is written again, elsewhere a line now and then.
type Line struct {
	out         io.Writer
	terminal    bool
	began, said time.Time
	part        time.Time     // when it began
	all, spent  time.Duration // by guesses
	done, parts int
}

// New begins work of so many parts, for which all is a guess.
func New(out *os.File, parts int, all time.Duration) *Line {
	now := time.Now()
	l := &Line{out: out, began: now, part: now, parts: parts, all: all}
	if info, err := out.Stat(); err == nil {
		l.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	return l
}

// Say tells what is going on.
func (l *Line) Say(text string) {
	if !l.terminal && !l.said.IsZero() && time.Since(l.said) < sayEvery {
		return
	}
	l.said = time.Now()
	line := fmt.Sprintf("%d of %d, %s left: %s", l.done+1, l.parts, l.left(l.said), text)
	if l.terminal {
		fmt.Fprintf(l.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(l.out, line)
}

// Keep says it, and again as time goes by, until the returned function is called. Nothing else may be
// called before.
func (l *Line) Keep(text string) (end func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			l.Say(text)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// left is the guess, corrected by how wrong it was in the parts that are done.
func (l *Line) left(now time.Time) time.Duration {
	rest := l.all - l.spent
	if l.spent > time.Second {
		rest = time.Duration(float64(rest) * float64(l.part.Sub(l.began)) / float64(l.spent))
	}
	return max(rest-now.Sub(l.part), 0).Round(time.Second)
}

// Finished ends a part, for which the guess was that.
func (l *Line) Finished(guess time.Duration) {
	l.part = time.Now()
	l.done++
	l.spent += guess
}

// End leaves the line.
func (l *Line) End() {
	if l.terminal {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
}
