package pump

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
)

// Objects serves what directory stores keep, by the names of their buckets, to any client of S3: GetObject and HeadObject
// in path style, with ranges and conditions. Nothing else can be asked, and nothing changed. Signatures are not looked at.
//
// A document is read whole for its checksums; the pump keeps none that is much larger than an event of 6 MB.
type Objects map[string]DirectoryStore

// ServeHTTP answers /<bucket>/<key>.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (o Objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if key == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "Only objects are served here, to be read.")
		return
	}
	store, ok := o[bucket]
	if !ok {
		refuse(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		return
	}
	document, kept, err := store.get(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		refuse(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	case err != nil:
		refuse(w, http.StatusInternalServerError, "InternalError", "The object cannot be read.")
		return
	}
	h := w.Header()
	sum := md5.Sum(document)
	h.Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	h.Set("Content-Type", "binary/octet-stream")
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && r.Header.Get("Range") == "" {
		crc := crc32.NewIEEE()
		_, _ = crc.Write(document)
		h.Set("X-Amz-Checksum-Crc32", base64.StdEncoding.EncodeToString(crc.Sum(nil)))
		h.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
	http.ServeContent(w, r, "", kept, bytes.NewReader(document))
}

// get reads a document, and when it was kept. A key that is no path of a document names nothing, whatever is on the disk.
func (s DirectoryStore) get(key string) ([]byte, time.Time, error) {
	if !fs.ValidPath(key) || strings.HasPrefix(path.Base(key), draft) {
		return nil, time.Time{}, fs.ErrNotExist
	}
	file, err := os.OpenInRoot(s.Directory, key)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) { // below a document, or longer than any name
		return nil, time.Time{}, fs.ErrNotExist
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, time.Time{}, fs.ErrNotExist
	}
	document, err := io.ReadAll(file)
	return document, info.ModTime(), err
}

// refuse answers as S3 does. Whoever asked with HEAD sees no body.
func refuse(w http.ResponseWriter, status int, code, message string) {
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
	if err != nil {
		panic(err) // strings always marshal
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), body...))
}
