package lab

import (
	"bytes"
	"context"
	_ "embed" // the script of wrk
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/stub"
)

//go:embed wrk.lua
var script []byte

// wrkTime is how long wrk runs: it counts time, not posts.
const wrkTime = "2s"

// wrkFrame is about what an update takes.
var wrkFrame = `{"type":"METRIC_UPDATE","version":1,"data":[{"entity_id":"sub_0001","version":{"revision":1},"written_at":"2026-11-22T10:00:00.000Z","text":"` +
	strings.Repeat("x", 420) + `"}]}`

// wrk lets wrk post as fast as it can, without signing. It returns exec.ErrNotFound where there is
// no wrk.
func (l *Lab) wrk(ctx context.Context, w sample.Workload) (sample.Result, error) {
	program, err := exec.LookPath("wrk")
	if err != nil {
		return sample.Result{}, err
	}
	file := filepath.Join(l.dir, "wrk.lua")
	if err := os.WriteFile(file, script, 0o600); err != nil {
		return sample.Result{}, err
	}
	address := strings.TrimSuffix(w.Endpoint, "/prod")
	cmd := l.command(ctx, senderCore, program, "-t1", "-c"+strconv.Itoa(w.Pool), "-d"+wrkTime, "-s", file, address, "--", stub.SessionToken, wrkFrame)
	var out, result bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &result
	if err := cmd.Run(); err != nil {
		return sample.Result{}, fmt.Errorf("wrk failed: %w\n%s%s", err, out.Bytes(), result.Bytes())
	}
	said := struct {
		sample.Result
		Failed int64 `json:"failed"`
	}{}
	if err := json.Unmarshal(result.Bytes(), &said); err != nil {
		return sample.Result{}, fmt.Errorf("wrk says %q: %w", result.Bytes(), err)
	}
	r := said.Result
	r.Variant, r.Verdicts = "wrk", map[string]int64{"ok": r.Posts - said.Failed}
	if said.Failed > 0 {
		r.Verdicts["failed"] = said.Failed
	}
	r.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return r, nil
}
