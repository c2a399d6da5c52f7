package dirqueue_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/dirqueue"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/memqueue"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/queuetest"
)

const hold = time.Minute

func TestQueue(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Harness {
		return queuetest.Harness{Queue: create(t, t.TempDir(), nil)}
	})
}

func TestBrokenFilesAreNamedAndStopNothing(t *testing.T) {
	t.Parallel()
	const whole = `{"id": "%s", "sha256": "", "text": "x"}`
	for name, c := range map[string]struct{ content, says string }{
		"empty":          {"", "unexpected end"},
		"half":           {`{"id": "half", "text": "x`, "unexpected end"},
		"comma":          {"{\n  \"id\": \"comma\",\n  \"text\": \"x\",\n}", "line 4"},
		"trailing":       {fmt.Sprintf(whole, "trailing") + "{}", "after top-level value"},
		"list":           {"[]", "no object"},
		"null":           {"null", "no object"},
		"latin":          {`{"id": "latin", "text": "` + "\xe9" + `"}`, "UTF-8"},
		"noid":           {`{"text": "x"}`, "no id"},
		"renamed":        {fmt.Sprintf(whole, "other"), "other.json"},
		"typo":           {`{"id": "typo", "txet": "x"}`, `"txet"`},
		"capital":        {`{"id": "capital", "Text": "x"}`, `"Text"`},
		"twice":          {`{"id": "twice", "text": "x", "text": "y"}`, `two members of the name "text"`},
		"bodiless":       {`{"id": "bodiless"}`, "no body"},
		"bodies":         {`{"id": "bodies", "text": "x", "body": {}}`, "two bodies"},
		"scalar":         {`{"id": "scalar", "body": "x"}`, `"text"`},
		"nobody":         {`{"id": "nobody", "body": null}`, `"body"`},
		"number":         {`{"id": "number", "text": 1}`, `"text"`},
		"code":           {`{"id": "code", "base64": "?"}`, `"base64"`},
		"time":           {`{"id": "time", "text": "x", "sent_at": "today"}`, `"sent_at"`},
		"system":         {`{"id": "system", "text": "x", "system": {"a": 1}}`, `"system"`},
		"attributes":     {`{"id": "attributes", "text": "x", "attributes": []}`, `"attributes"`},
		"attribute-typo": {`{"id": "attribute-typo", "text": "x", "attributes": {"a": {"type": "String", "vlaue": "x"}}}`, `"vlaue"`},
		"attribute-none": {`{"id": "attribute-none", "text": "x", "attributes": {"a": {"type": "String"}}}`, `"a"`},
		"attribute-both": {`{"id": "attribute-both", "text": "x", "attributes": {"a": {"type": "String", "value": "x", "base64": ""}}}`, `"a"`},
		"attribute-type": {`{"id": "attribute-type", "text": "x", "attributes": {"a": {"value": "x"}}}`, `"type"`},
		"attribute-two":  {`{"id": "attribute-two", "text": "x", "attributes": {"a": {"type": "String", "value": "x"}, "a": {"type": "String", "value": "y"}}}`, `"a"`},
		"attribute-code": {`{"id": "attribute-code", "text": "x", "attributes": {"a": {"type": "Binary", "base64": "?"}}}`, "base64"},
		"large":          {`{"id": "large", "text": "` + strings.Repeat("x", dirqueue.MaxFile) + `"}`, "are the most"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for file, content := range map[string]string{name: c.content, "aaa": fmt.Sprintf(whole, "aaa"), "zzz": fmt.Sprintf(whole, "zzz")} {
				put(t, folder, file+".json", content)
			}
			q := open(t, folder)
			if got := ids(receive(t, q, 10)); !slices.Equal(got, []string{"aaa", "zzz"}) {
				t.Errorf("received %q", got)
			}
			broken := q.Broken()
			if len(broken) != 1 || !strings.Contains(broken[0].Error(), filepath.Join(folder, name+".json")) || !strings.Contains(broken[0].Error(), c.says) {
				t.Errorf("broken: %q, want the name of the file, and %q", broken, c.says)
			}
			if visible, hidden := depth(t, q); visible != 0 || hidden != 2 {
				t.Errorf("depth %d, %d: what cannot be read is never received", visible, hidden)
			}
			if got := content(t, folder, name+".json"); got != c.content {
				t.Errorf("the broken file was changed: %q", got)
			}
			put(t, folder, name+".json", fmt.Sprintf(whole, name)) // mended
			if got := ids(receive(t, q, 10)); !slices.Equal(got, []string{name}) || len(q.Broken()) > 0 {
				t.Errorf("received %q, broken %q when it is mended", got, q.Broken())
			}
		})
	}
}

func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	t.Parallel()
	folder, elsewhere := t.TempDir(), t.TempDir()
	put(t, elsewhere, "link.json", `{"id": "link", "text": "x"}`)
	if err := os.Symlink(filepath.Join(elsewhere, "link.json"), filepath.Join(folder, "link.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "folder.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, folder, ".a.json.new", "half")
	put(t, folder, "notes.txt", "mine")
	q := open(t, folder)
	if got := receive(t, q, 10); len(got) > 0 {
		t.Errorf("received %q", ids(got))
	}
	if broken := q.Broken(); len(broken) != 1 || !strings.Contains(broken[0].Error(), "link.json") {
		t.Errorf("broken: %q", broken)
	}
	failed, err := q.Send(t.Context(), []redrive.Entry{{ID: "link", Body: "over it"}})
	if err != nil || !failed[0].Sender {
		t.Errorf("sent over a link: %v, %v", failed, err)
	}
	if got := content(t, elsewhere, "link.json"); !strings.Contains(got, `"x"`) {
		t.Errorf("what the link leads to is now %q", got)
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	if _, err := dirqueue.Open(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	q := create(t, folder, nil)
	send(t, q, redrive.Entry{ID: "one", Body: "{}"})
	for _, path := range []string{folder, filepath.Dir(folder)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v: dead letters are for their owner only", path, info.Mode(), err)
		}
	}
	if info, err := os.Stat(filepath.Join(folder, "one.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Send(t.Context(), []redrive.Entry{{ID: "two", Body: "{}"}}); !errors.Is(err, redrive.ErrDenied) {
		t.Errorf("sent into a folder that is gone: %v", err)
	}
	put(t, filepath.Dir(folder), "file", "")
	if _, err := dirqueue.Create(filepath.Join(filepath.Dir(folder), "file"), nil); err == nil {
		t.Error("a file is a folder")
	}
}

func TestCallsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	q := create(t, t.TempDir(), nil)
	if _, err := q.Send(t.Context(), nil); !errors.Is(err, redrive.ErrRefused) {
		t.Errorf("send: %v", err)
	}
	if _, err := q.Send(t.Context(), make([]redrive.Entry, 11)); !errors.Is(err, redrive.ErrRefused) {
		t.Errorf("send: %v", err)
	}
	if _, err := q.Receive(t.Context(), 11, hold); !errors.Is(err, redrive.ErrRefused) {
		t.Errorf("receive: %v", err)
	}
	if _, err := q.Delete(t.Context(), make([]redrive.Message, 11)); !errors.Is(err, redrive.ErrRefused) {
		t.Errorf("delete: %v", err)
	}
	if _, err := q.Hide(t.Context(), make([]redrive.Message, 11), 0); !errors.Is(err, redrive.ErrRefused) {
		t.Errorf("hide: %v", err)
	}
	failed, err := q.Send(t.Context(), []redrive.Entry{{ID: "a", Body: "good"}, {ID: "b", Body: strings.Repeat("\x80", dirqueue.MaxFile)}, {ID: "c", Body: "good"}})
	if err != nil || len(failed) != 1 || !failed[1].Sender {
		t.Errorf("failed %v, %v", failed, err)
	}
}

// A message of the greatest size has a file, whatever it is made of.
func TestLargestMessages(t *testing.T) {
	t.Parallel()
	q := create(t, t.TempDir(), nil)
	for id, body := range map[string]string{
		"digits":  "[" + strings.Repeat("1,", redrive.MaxBytes/2-1) + "1]", // pretty, four times as long
		"nested":  strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999),
		"control": strings.Repeat("\x01", redrive.MaxBytes),
	} {
		send(t, q, redrive.Entry{ID: id, Body: body})
		got := receive(t, q, 10)
		if len(got) != 1 || got[0].Body != body {
			t.Errorf("%s: %d came back", id, len(got))
		}
	}
	a := redrive.Text(strings.Repeat("\x01", redrive.MaxBytes))
	send(t, q, redrive.Entry{ID: "attribute", Attributes: map[string]redrive.Attribute{"a": a}})
	if got := receive(t, q, 10); len(got) != 1 || string(got[0].Attributes["a"].Value) != string(a.Value) {
		t.Errorf("%d came back", len(got))
	}
}

func TestIDsThatAreNoFileNames(t *testing.T) {
	t.Parallel()
	all := []string{
		"../up", "/root", "..", ".", ".hidden", "a/b", "a\\b", "a\x00b", "A", "a", "é", "e\u0301", "con", "a.json", "a~b", "done", " ", "~",
		strings.Repeat("x", 80), strings.Repeat("x", 81), strings.Repeat("x", 5000), strings.Repeat("x", 5000) + "y", "\n", "-", "a b",
	}
	folder := filepath.Join(t.TempDir(), "folder")
	q := create(t, folder, nil)
	for _, id := range all {
		send(t, q, redrive.Entry{ID: id, Body: "of " + id})
	}
	names := map[string]bool{}
	for _, entry := range files(t, folder) {
		names[strings.ToLower(entry)] = true
	}
	if len(names) != len(all) {
		t.Errorf("%d files of %d ids, where capital letters do not count", len(names), len(all))
	}
	if above := files(t, filepath.Dir(folder)); !slices.Equal(above, []string{"folder"}) {
		t.Errorf("beside the folder: %q", above)
	}
	var came []redrive.Message
	for range len(all)/10 + 1 {
		came = append(came, receive(t, q, 10)...)
	}
	for _, m := range came {
		if m.Body != "of "+m.ID {
			t.Errorf("%q has the body %q", m.ID, m.Body)
		}
		remove(t, q, m)
	}
	got := ids(came)
	slices.Sort(got)
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Errorf("received %q, want %q", got, all)
	}
	if left := files(t, folder); !slices.Equal(left, []string{"done"}) {
		t.Errorf("left %q", left)
	}
	failed, err := q.Send(t.Context(), []redrive.Entry{{ID: "\xff", Body: "x"}})
	if err != nil || !failed[0].Sender {
		t.Errorf("an id that is no text was written: %v, %v", failed, err)
	}
}

func TestEntriesWithoutIDsAreSeveral(t *testing.T) {
	t.Parallel()
	q := create(t, t.TempDir(), nil)
	send(t, q, redrive.Entry{Body: "x"}, redrive.Entry{Body: "x"})
	if got := receive(t, q, 10); len(got) != 2 {
		t.Errorf("%d", len(got))
	}
}

// What a killed export left is completed by the next, and what it wrote is not written twice.
func TestExportThatWasKilled(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	e := redrive.Entry{ID: "one", Body: `{"a": 1}`, Attributes: map[string]redrive.Attribute{"n": {Type: "Number", Value: []byte("1")}}}
	put(t, folder, ".one.json.new", strings.Repeat("half", 1000)) // between create and rename
	send(t, create(t, folder, nil), e)
	written := content(t, folder, "one.json")
	send(t, create(t, folder, nil), e) // between rename and the source's delete
	if got := files(t, folder); !slices.Equal(got, []string{"one.json"}) || content(t, folder, "one.json") != written {
		t.Errorf("%q", got)
	}
	e.Body = "another"
	send(t, create(t, folder, nil), e)
	if got := receive(t, open(t, folder), 10); len(got) != 1 || got[0].Body != "another" {
		t.Errorf("%v", got)
	}
}

func TestEditedFileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	q := create(t, folder, nil)
	e := redrive.Entry{ID: "one", Body: `{"a":1}`}
	send(t, q, e)
	edited := strings.Replace(content(t, folder, "one.json"), `"a": 1`, `"a": 2`, 1)
	put(t, folder, "one.json", edited)
	e.Body = `{"a":3}`
	failed, err := q.Send(t.Context(), []redrive.Entry{e})
	if err != nil || !failed[0].Sender || !strings.Contains(failed[0].Code, "an edited file of this id: one.json") {
		t.Errorf("%v, %v", failed, err)
	}
	if content(t, folder, "one.json") != edited {
		t.Error("it was overwritten")
	}
	put(t, folder, "one.json", edited+"}") // a slip of the editor
	failed, err = q.Send(t.Context(), []redrive.Entry{e})
	if err != nil || !failed[0].Sender || content(t, folder, "one.json") != edited+"}" {
		t.Errorf("%v, %v", failed, err)
	}
}

// An export that is resumed leaves what somebody edited meanwhile: it was exported.
func TestEditIsKeptByResumedExport(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	q := create(t, folder, nil)
	e := redrive.Entry{ID: "one", Body: `{"a":1}`}
	send(t, q, e)
	put(t, folder, "one.json", strings.Replace(content(t, folder, "one.json"), `"a": 1`, `"a": 2`, 1))
	send(t, q, e)
	if got := receive(t, q, 1); got[0].Body != `{"a":2}` || !q.About(got[0]).Edited {
		t.Errorf("%q", got[0].Body)
	}
}

// An import that is killed before its delete finds the message again; the log of the run knows that it was sent.
func TestImportThatWasKilled(t *testing.T) {
	t.Parallel()
	folder, runs := t.TempDir(), t.TempDir()
	for i := range 25 {
		send(t, create(t, folder, nil), redrive.Entry{ID: fmt.Sprint("m", i), Body: fmt.Sprintf(`{"n":%d}`, i)})
	}
	target := &memqueue.Queue{}
	run := func(source redrive.Queue) (redrive.Result, error) {
		log, err := redrive.Open(runs, "run")
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		return redrive.Do(t.Context(), redrive.Plan{Run: "run", Source: source, Target: target, Log: log, Rate: 1000, Hold: hold})
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it was not killed")
			}
		}()
		_, _ = run(killedAtDelete{open(t, folder)})
	}()
	sent := len(target.All())
	if left := len(files(t, folder)); sent == 0 || left != 25 {
		t.Fatalf("%d were sent, %d are left", sent, left)
	}
	result, err := run(open(t, folder))
	if err != nil || result.Left > 0 || result.Why != "" {
		t.Errorf("%+v, %v", result, err)
	}
	if got := len(target.All()); got != 25 {
		t.Errorf("%d were sent", got)
	}
	if left := files(t, folder); !slices.Equal(left, []string{"done"}) || len(files(t, filepath.Join(folder, "done"))) != 25 {
		t.Errorf("left %q", left)
	}
}

type killedAtDelete struct{ redrive.Queue }

func (killedAtDelete) Delete(context.Context, []redrive.Message) (map[string]redrive.Failure, error) {
	panic("killed")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	q := create(t, folder, nil)
	send(t, q, redrive.Entry{ID: "one", Body: "x"})
	m := receive(t, q, 1)[0]
	remove(t, q, m)
	remove(t, q, m)
	remove(t, open(t, folder), m) // another process, which finds in its log that it was sent
	if got := files(t, filepath.Join(folder, "done")); !slices.Equal(got, []string{"one.json"}) {
		t.Errorf("done: %q", got)
	}
	if got := receive(t, open(t, folder), 10); len(got) > 0 {
		t.Errorf("received %q", ids(got))
	}
	send(t, q, redrive.Entry{ID: "one", Body: "x"}) // exported once more
	remove(t, q, receive(t, q, 1)[0])
	if got := files(t, folder); !slices.Equal(got, []string{"done"}) {
		t.Errorf("left %q", got)
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		q := create(t, folder, nil)
		for _, id := range []string{"c", "a", "b"} {
			send(t, q, redrive.Entry{ID: id, Body: id})
		}
		first := receive(t, q, 2)
		if got := ids(first); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("received %q", got)
		}
		if got := ids(receive(t, q, 2)); !slices.Equal(got, []string{"c"}) {
			t.Errorf("then %q", got)
		}
		if visible, hidden := depth(t, q); visible != 0 || hidden != 3 {
			t.Errorf("depth %d, %d", visible, hidden)
		}
		if failed, err := q.Hide(t.Context(), append(first[:1:1], redrive.Message{ID: "d", Receipt: "d.json"}), 0); err != nil || len(failed) != 1 || failed["d"].Code == "" {
			t.Errorf("hide: %v, %v", failed, err)
		}
		again := receive(t, q, 10)
		if got := ids(again); !slices.Equal(got, []string{"a"}) || again[0].ReceiveCount != 2 {
			t.Errorf("shown again: %q, %d", got, again[0].ReceiveCount)
		}
		time.Sleep(hold)
		if got := ids(receive(t, q, 10)); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("after the hold: %q", got)
		}
		if got := receive(t, open(t, folder), 10); len(got) != 3 || got[0].ReceiveCount != 1 {
			t.Errorf("another process received %v", ids(got))
		}
	})
}

// More files than are listed at a time come in order, each once.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const n = 2_345
	var want []string
	for i := range n {
		id := fmt.Sprintf("m%04d", (i*7919)%n)
		put(t, folder, id+".json", fmt.Sprintf(`{"id": %q, "text": "x"}`, id))
		want = append(want, id)
	}
	slices.Sort(want)
	q := open(t, folder)
	var got []string
	for {
		batch := receive(t, q, 10)
		if len(batch) == 0 {
			break
		}
		got = append(got, ids(batch)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d came, in another order", len(got))
	}
}

func TestAbout(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	about := dirqueue.About{
		From: "the-dlq", To: "the-queue", Cause: "unreadable: <none> & \xff", SentAt: time.Date(2026, 1, 31, 12, 0, 0, 123e6, time.UTC),
		System: map[string]string{"SenderId": "AIDA"},
	}
	send(t, create(t, folder, func(redrive.Entry) dirqueue.About { return about }), redrive.Entry{ID: "one", Body: "{}", Trace: "Root=1"})
	q := open(t, folder)
	m := receive(t, q, 1)[0]
	got := q.About(m)
	if got.From != about.From || got.To != about.To || got.Cause != "unreadable: <none> & \ufffd" || !got.SentAt.Equal(about.SentAt) ||
		!maps.Equal(got.System, about.System) || got.Edited {
		t.Errorf("%+v", got)
	}
	if m.Trace != "Root=1" || !m.SentAt.Equal(about.SentAt) || m.System["SenderId"] != "AIDA" || m.ReceiveCount != 1 {
		t.Errorf("%+v", m)
	}
	remove(t, q, m)
	if got := q.About(m); got.From != "" {
		t.Errorf("of a message that is deleted: %+v", got)
	}
}

func create(t *testing.T, folder string, about func(redrive.Entry) dirqueue.About) *dirqueue.Queue {
	t.Helper()
	q, err := dirqueue.Create(folder, about)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func open(t *testing.T, folder string) *dirqueue.Queue {
	t.Helper()
	q, err := dirqueue.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func send(t *testing.T, q *dirqueue.Queue, entries ...redrive.Entry) {
	t.Helper()
	if failed, err := q.Send(t.Context(), entries); err != nil || len(failed) > 0 {
		t.Fatalf("send: %v, %v", failed, err)
	}
}

func receive(t *testing.T, q *dirqueue.Queue, limit int) []redrive.Message {
	t.Helper()
	messages, err := q.Receive(t.Context(), limit, hold)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func remove(t *testing.T, q *dirqueue.Queue, m redrive.Message) {
	t.Helper()
	if failed, err := q.Delete(t.Context(), []redrive.Message{m}); err != nil || len(failed) > 0 {
		t.Fatalf("delete: %v, %v", failed, err)
	}
}

func depth(t *testing.T, q *dirqueue.Queue) (visible, hidden int) {
	t.Helper()
	visible, hidden, err := q.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return visible, hidden
}

func ids(messages []redrive.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, m.ID)
	}
	return all
}

func put(t *testing.T, folder, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, folder, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
