package schedules_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/iops-dashboard/live/contracts"
)

// page is the core of the dashboard, as Node runs it: see frontend/src/testing/browser-host.ts, which has
// the forms of what is said to it and of its answers.
type page struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	stderr  *bytes.Buffer
}

type turn struct {
	At     float64 `json:"at"` // milliseconds since the first
	Orders []order `json:"orders,omitempty"`
	Look   bool    `json:"look,omitempty"`
}

type order struct {
	Do     string          `json:"do"`
	Seed   uint32          `json:"seed,omitempty"`
	Date   int64           `json:"date"`
	Paint  int64           `json:"paint"`
	Views  json.RawMessage `json:"views,omitempty"`
	Change string          `json:"change,omitempty"`
	Socket int             `json:"socket,omitempty"`
	Text   string          `json:"text,omitempty"`
}

type answer struct {
	Next          *float64
	Calls         []call
	Before, After string
	Rows          []held
	Shown         [][]string
	Warnings      []string
}

type call struct {
	Do     string
	Socket int
	Text   string
}

// held is a row that the page has, or, without a revision, one that it has no more.
type held struct {
	Key             string
	Epoch, Revision int64
	Attributes      map[string]any
}

func (h held) version() contracts.Version {
	return contracts.Version{Epoch: h.Epoch, Revision: h.Revision}
}

const frontend = "../../../frontend"

// bundle makes the one file that Node runs, once for all tests.
var bundle = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp(scratch, "host")
	if err != nil {
		return "", err
	}
	vite := filepath.Join("node_modules", "vite", "bin", "vite.js")
	if _, err := os.Stat(filepath.Join(frontend, vite)); err != nil {
		return "", fmt.Errorf("the page's packages are missing; scripts/test install brings them: %w", err)
	}
	program, err := node()
	if err != nil {
		return "", err
	}
	build := exec.Command(program, vite, "build", "--config", "browser-host.config.ts", "--outDir", folder, "--emptyOutDir")
	build.Dir = frontend
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the live core cannot be bundled: %w\n%s", err, text)
	}
	return filepath.Join(folder, "browser-host.js"), nil
})

// node finds the pinned Node, or any.
func node() (string, error) {
	pinned, err := filepath.Glob("../../../infra/local/node_modules/node-*/bin/node")
	if err == nil && len(pinned) > 0 {
		return filepath.Abs(pinned[0])
	}
	found, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("Node is missing; scripts/test install brings it: %w", err)
	}
	return found, nil
}

// startPage starts a process that ends with the test.
func startPage(t *testing.T) *page {
	t.Helper()
	script, err := bundle()
	if err != nil {
		t.Fatal(err)
	}
	program, err := node()
	if err != nil {
		t.Fatal(err)
	}
	p := &page{process: exec.Command(program, script), stderr: &bytes.Buffer{}}
	p.process.Stderr = p.stderr
	if p.in, err = p.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReaderSize(out, 1<<16)
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.in.Close()
		if err := p.process.Wait(); err != nil {
			t.Errorf("the page ended with %v\n%s", err, p.stderr)
		}
	})
	return p
}

// take lets the page have a turn. Time in a bubble stands still meanwhile.
func (p *page) take(next turn) (answer, error) {
	text, err := json.Marshal(next)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return answer{}, fmt.Errorf("the page does not listen: %w\n%s", err, p.stderr)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return answer{}, fmt.Errorf("the page does not answer: %w\n%s", err, p.stderr)
	}
	var a answer
	return a, json.Unmarshal(line, &a)
}
