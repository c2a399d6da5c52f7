// Package schedules_test drives the page's core and the handlers of the session, both as they are deployed,
// through random schedules of everything that can go wrong between them.
package schedules_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// shards share the schedules of a run; -rapid.checks and RAPID_CHECKS say how many each tries. A shard waits for its
// page, and the page for it, so together they keep one core busy.
const shards = 2

// scratch is a folder that goes with the tests.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue && os.Getenv("RAPID_CHECKS") == "" {
		if err := checks.Value.Set(fmt.Sprint(schedules / shards)); err != nil {
			panic(err)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "schedules"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return m.Run()
}

// Whatever is written, lost, repeated, reordered and late, however often the page changes what it watches, its
// socket dies and the servers fail: once that is over, the page shows what the table holds for its views, and
// says that it is live. Never on the way does a row go backwards, is something shown that never was so, or that
// is another tenant's, or does the page call itself live 30 s after the last word.
//
// A schedule is drawn from a seed, which is printed with a failure; the same seed always takes the same course.
func TestPageConverges(t *testing.T) {
	t.Parallel()
	heard := &tally{}
	t.Cleanup(func() {
		if !t.Failed() && flag.Lookup("rapid.checks").Value.String() == fmt.Sprint(schedules/shards) {
			heard.check(t)
		}
	})
	for n := range shards {
		t.Run(fmt.Sprint("shard", n), func(t *testing.T) {
			t.Parallel()
			p := startPage(t)
			rapid.Check(t, func(rt *rapid.T) { converges(t, rt, p, heard) })
		})
	}
}

func converges(t *testing.T, rt *rapid.T, p *page, heard *tally) {
	s := draw(rt)
	complaint := play(t, s, p, heard, nil)
	if complaint == "" {
		return
	}
	var trace strings.Builder
	if again := play(t, s, p, &tally{}, &trace); again != complaint {
		rt.Logf("the same schedule took another course: %s", again)
	}
	rt.Logf("%v%s", s, trace.String())
	rt.Fatal(complaint)
}
