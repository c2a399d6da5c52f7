package pump

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

type storeFunc func(key string, document []byte)

func (f storeFunc) Put(_ context.Context, key string, document []byte) error {
	f(key, document)
	return nil
}

func decodeDocument(t *testing.T, document []byte) failureDocument {
	t.Helper()
	var d failureDocument
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirectoryStore(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "failures")
	store := DirectoryStore{directory}
	const key = "aws/lambda/esm/shardId-1/2026/11/22/2026-11-22T21.00.00-id"
	for _, key := range []string{"../out", "/etc/out", "a/../../out", ""} {
		if err := store.Put(t.Context(), key, nil); err == nil {
			t.Errorf("%q was taken", key)
		}
	}
	for _, document := range []string{`{"first":1}`, `{"again":2}`} {
		if err := store.Put(t.Context(), key, []byte(document)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(directory, key)); err != nil || string(got) != document {
			t.Errorf("%s, %v", got, err)
		}
	}
	if err := store.Put(t.Context(), key+"/under-a-file", nil); err == nil {
		t.Error("a file was taken for a directory")
	}
	if err := store.Put(t.Context(), "aws/lambda/esm", []byte("x")); err == nil { // rename fails: it is a directory
		t.Error("a directory was replaced")
	}
	files := 0
	err := filepath.WalkDir(directory, func(_ string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files != 1 {
		t.Errorf("%d files are left, %v", files, err)
	}
}
