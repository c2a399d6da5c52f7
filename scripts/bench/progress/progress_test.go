package progress

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

func TestOutsideATerminalThereAreLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	l := New(out, 2, 90*time.Second)
	end := l.Keep("the first")
	end()
	l.End()
	text, err := os.ReadFile(path)
	if err != nil || !regexp.MustCompile(`^1 of 2, \w+ left: the first\n`).Match(text) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestGuessIsCorrected(t *testing.T) {
	t.Parallel()
	l := New(os.Stderr, 3, 30*time.Second)
	for _, tc := range []struct {
		spent time.Duration // by the guess
		part  time.Duration // when it began
		now   time.Duration
		want  time.Duration
	}{
		{0, 0, 0, 30 * time.Second},
		{0, 0, 4 * time.Second, 26 * time.Second},
		{10 * time.Second, 20 * time.Second, 20 * time.Second, 40 * time.Second}, // it takes twice as long
		{10 * time.Second, 20 * time.Second, 25 * time.Second, 35 * time.Second},
		{20 * time.Second, 20 * time.Second, time.Minute, 0}, // and more
	} {
		l.spent, l.part = tc.spent, l.began.Add(tc.part)
		if got := l.left(l.began.Add(tc.now)); got != tc.want {
			t.Errorf("after %s, in a part since %s: %s left, want %s", tc.now, tc.part, got, tc.want)
		}
	}
}
