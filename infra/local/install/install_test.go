package install_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/local/install"
)

// checkout makes a tree whose packages are not installed, with only the given programs on PATH.
func checkout(t *testing.T, programs map[string]string) install.Tree {
	t.Helper()
	root := t.TempDir()
	local := filepath.Join(root, "infra", "local")
	if err := os.MkdirAll(local, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(local, "package-lock.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":/bin:/usr/bin")
	if _, ok := programs["npm"]; !ok {
		t.Setenv("PATH", bin)
	}
	return install.Tree{Root: root, Say: func(string, ...any) {}}
}

func TestMissingPrerequisitesAreNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		programs map[string]string
		want     string
	}{
		"no npm":       {nil, "npm is not on PATH: install Node.js 20"},
		"old node":     {map[string]string{"npm": "exit 0", "node": "echo v18.1.0"}, "version 18: install Node.js 20"},
		"strange node": {map[string]string{"npm": "exit 0", "node": "echo hello"}, "missing: install Node.js 20"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkout(t, tc.programs).Servers(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Servers() = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestNodeToRunMustBeNewEnough(t *testing.T) {
	tree := checkout(t, map[string]string{"npm": "exit 0", "node": "echo v20.2.0"})
	if _, err := tree.Node(t.Context()); err == nil || !strings.Contains(err.Error(), "needs Node.js 22") {
		t.Errorf("Node() = %v", err)
	}
}

func TestFailedInstallIsToldAndTriedAgain(t *testing.T) {
	tree := checkout(t, map[string]string{"node": "echo v24.0.0", "npm": "echo no route to the registry >&2; exit 7"})
	for range 2 {
		err := tree.Servers(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no route to the registry") {
			t.Fatalf("Servers() = %v", err)
		}
	}
}

func TestInstallsOnceForALockFile(t *testing.T) {
	tree := checkout(t, map[string]string{"node": "echo v24.0.0", "npm": "mkdir -p node_modules; echo x >> runs"})
	local := filepath.Join(tree.Root, "infra", "local")
	runs := func() int {
		b, err := os.ReadFile(filepath.Join(local, "runs"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Count(string(b), "x")
	}
	for i, lock := range []string{"{}", "{}", `{"other": 1}`, `{"other": 1}`} {
		if err := os.WriteFile(filepath.Join(local, "package-lock.json"), []byte(lock), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := tree.Servers(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := i/2 + 1; runs() != want {
			t.Errorf("after step %d npm ran %d times, want %d", i, runs(), want)
		}
	}
}

func TestNoEngineForThisPlatform(t *testing.T) {
	tree := checkout(t, nil)
	if _, err := tree.Dynoxide(); err == nil || !strings.Contains(fmt.Sprint(err), "AWS_ENDPOINT_URL_DYNAMODB") {
		t.Errorf("Dynoxide() = %v", err)
	}
}
