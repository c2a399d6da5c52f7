package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pretend makes a repository whose scripts/up is that script, with the ready file in $ready.
func pretend(t *testing.T, script string) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "scripts"), 0o700); err != nil {
		t.Fatal(err)
	}
	script = "#!/usr/bin/env bash\nready=$6\n" + script
	if err := os.WriteFile(filepath.Join(root, "scripts", "up"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return root
}

// untilStopped is the end of a script that becomes ready, and ends in order when it is told to.
const untilStopped = `
trap 'echo yes >"$4/stopped"; exit 0' TERM
mv "$ready.new" "$ready"
while true; do read -rt 1 <> <(:); done
`

func TestSystemStartsAndStops(t *testing.T) {
	t.Setenv("AWS_PROFILE", "theirs")
	t.Setenv("AWS_ENDPOINT_URL", "https://user.example.com")
	root := pretend(t, `echo "ARGS=$*" >"$ready.new"; echo "THEIRS=$AWS_PROFILE$AWS_ENDPOINT_URL" >>"$ready.new"`+untilStopped)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ready"), []byte("ARGS=of a run that was killed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := startSystem(t.Context(), root, dir, "--shards", "2")
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.stop()
	if want := "--headless --no-simulate --dir " + dir + " --ready-file " + filepath.Join(dir, "ready") + " --shards 2"; s.env["ARGS"] != want {
		t.Errorf("it was started with %q, want %q", s.env["ARGS"], want)
	}
	if s.env["THEIRS"] != "" {
		t.Errorf("it gets the user's settings: %s", s.env["THEIRS"])
	}
	if _, err := os.Stat(filepath.Join(dir, "stopped")); err != nil {
		t.Errorf("it was not asked to stop: %v", err)
	}
}

func TestSystemThatDoesNotStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ root, want string }{
		"is not there":         {t.TempDir(), "--root"},
		"ends before its time": {pretend(t, "exit 3"), "exit status 3"},
	} {
		if _, err := startSystem(t.Context(), tc.root, ""); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("a system that %s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := startSystem(ctx, pretend(t, untilStopped), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the start to end with its context", err)
	}
}

func TestSystemThatEndsByItself(t *testing.T) {
	t.Parallel()
	s, err := startSystem(t.Context(), pretend(t, `touch "$ready"; until [ -e "$4/end" ]; do read -rt 0.02 <> <(:); done; exit 4`), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	ctx, cancel := s.during(t.Context())
	defer cancel()
	if err := os.WriteFile(filepath.Join(s.temporary, "end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !strings.Contains(err.Error(), "ended by itself (exit status 4)") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(s.temporary); err != nil {
		t.Errorf("its folder went with it: %v", err)
	}
	s.stop()
	if _, err := os.Stat(s.temporary); err == nil {
		t.Error("its folder is left over")
	}
}
