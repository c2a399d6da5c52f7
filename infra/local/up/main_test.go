package main

import (
	"errors"
	"flag"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBannersPathIsOneThatAShellTakes(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for path, want := range map[string]string{
		filepath.Join(dir, ".local", "env"):     ".local/env",
		filepath.Join(dir, "env"):               "./env", // or the shell would find the program
		filepath.Join(dir, "a b", "env"):        "'a b/env'",
		filepath.Join(dir, "it's $HOME", "env"): `'it'\''s $HOME/env'`,
		"/elsewhere/env":                        "/elsewhere/env",
	} {
		got := word(path)
		if got != want {
			t.Errorf("word(%q) = %s, want %s", path, got, want)
		}
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+got).Output()
		if err != nil || filepath.Join(dir, string(out)) != path && string(out) != path {
			t.Errorf("a shell takes %s for %q, %v", got, out, err)
		}
	}
}

func TestParse(t *testing.T) {
	f, err := parse([]string{"--headless", "--no-simulate", "--ready-file", "r", "--dir=d e", "--gateway-port", "1", "--dashboard-port", "2", "--verbose", "--shards", "4", "--previous-shards=1", "--fanout", "function", "--auth", "ticket", "--lifetime", "20s"})
	if want := (flags{headless: true, noSimulate: true, verbose: true, readyFile: "r", dir: "d e", gatewayPort: 1, dashboardPort: 2, shards: 4, previousShards: 1, fanout: "function", auth: "ticket", lifetime: 20 * time.Second}); err != nil || f != want {
		t.Errorf("got %+v, %v; want %+v", f, err, want)
	}
	if _, err := parse([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h gives %v", err)
	}
	for _, args := range [][]string{{"--shards", "0"}, {"--shards", "17"}, {"--previous-shards", "-1"}, {"--fanout", "cloud"}, {"--auth", "none"}, {"--lifetime", "3h"}, {"--lifetime", "0s"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	for _, args := range [][]string{{"--gateway-port", "x"}, {"--nope"}, {"stray"}} {
		if _, err := parse(args); err == nil || !strings.Contains(err.Error(), "--help") {
			t.Errorf("%v gives %v, want a hint at --help", args, err)
		}
	}
}

// The help is written by hand; it must not forget an option.
func TestUsageNamesEachOption(t *testing.T) {
	for _, name := range []string{"headless", "no-simulate", "ready-file", "dir", "dashboard-port", "gateway-port", "shards", "previous-shards", "fanout", "auth", "lifetime", "verbose", "install", "help"} {
		if !strings.Contains(usage, "  --"+name+" ") {
			t.Errorf("the help does not name --%s", name)
		}
	}
}
