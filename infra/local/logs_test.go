package local

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func openLogs(t *testing.T, dir string, tell func(name, line string)) *logs {
	t.Helper()
	l, err := newLogs(dir, tell)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLogsTakeBoundedRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := openLogs(t, dir, nil)
	line := strings.Repeat("x", 1<<20)
	for range 3 * maxLog / len(line) {
		l.write("noisy", line)
	}
	l.write("noisy", "the last")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if limit := int64(2 * (maxLog + len(line) + 1)); len(entries) != 2 || size > limit {
		t.Errorf("%d files with %d bytes, want 2 with at most %d", len(entries), size, limit)
	}
	if !strings.HasSuffix(content(t, l.path("noisy")), "the last\n") {
		t.Error("the file does not end with the last line")
	}
}

func TestLogsBeginAnewAndSpareWhatIsNotTheirs(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"part.log": "old\n", "part.log.1": "older\n", "holiday.jpg": "the user's"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := openLogs(t, dir, nil)
	l.write("part", "new\r\n")
	if got := content(t, l.path("part")); got != "new\n" {
		t.Errorf("the log is %q", got)
	}
	if _, err := os.Stat(l.path("part") + ".1"); err == nil {
		t.Error("the log before that of the last run is still there")
	}
	content(t, filepath.Join(dir, "holiday.jpg"))
}

func TestLogsAreToldOfEachLineAlsoAfterClose(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	l := openLogs(t, t.TempDir(), func(name, line string) {
		mu.Lock()
		defer mu.Unlock()
		told[name+" "+line]++
	})
	var writers sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		for range 10 {
			writers.Go(func() { l.lines(name)("hello") })
		}
	}
	writers.Wait()
	l.close()
	l.write("late", "hello")
	l.close()
	if told["a hello"] != 10 || told["b hello"] != 10 || told["late hello"] != 1 {
		t.Errorf("told %v", told)
	}
	if strings.Count(content(t, l.path("a")), "hello\n") != 10 {
		t.Error("lines are missing in the file")
	}
	if _, err := os.Stat(l.path("late")); err == nil {
		t.Error("a file was opened after close, which nobody will close")
	}
}

func TestLogThatCannotBeWrittenStopsNobody(t *testing.T) {
	l := openLogs(t, t.TempDir(), nil)
	if err := os.Mkdir(l.path("part"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.write("part", "lost")
	if err := os.Remove(l.path("part")); err != nil {
		t.Fatal(err)
	}
	l.write("part", "kept")
	if got := content(t, l.path("part")); got != "kept\n" {
		t.Errorf("the log is %q", got)
	}
}
