// Package testarchive writes archives for tests, good ones and such as no honest program would write.
//
// It imports nothing internal, and only tests import it.
package testarchive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Entry is one entry as it stands in the archive.
type Entry struct {
	Name  string
	Type  byte // as tar's type flags; 0 is a file, or with "/" at the end of Name a directory
	Body  string
	Link  string
	Mode  int64 // permission bits
	UID   int
	GID   int
	User  string
	Major int64 // of a device
	Minor int64
}

// When is the modification time of every entry.
var When = time.Unix(1_500_000_000, 0)

// Tar writes a tar archive.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{
			Name: e.Name, Typeflag: e.Type, Linkname: e.Link, Mode: e.Mode, ModTime: When, Size: int64(len(e.Body)),
			Uid: e.UID, Gid: e.GID, Uname: e.User, Devmajor: e.Major, Devminor: e.Minor,
		}
		if e.Type == 0 {
			h.Typeflag = tar.TypeReg
			if e.Name != "" && e.Name[len(e.Name)-1] == '/' {
				h.Typeflag = tar.TypeDir
			}
		}
		check(t, w.WriteHeader(h))
		_, err := w.Write([]byte(e.Body))
		check(t, err)
	}
	check(t, w.Close())
	return out.Bytes()
}

// Zip writes a zip archive, as a program on Unix would.
func Zip(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.Name, Method: zip.Deflate, Modified: When}
		mode, body := fs.FileMode(e.Mode).Perm(), e.Body
		if e.Mode&0o4000 != 0 {
			mode |= fs.ModeSetuid
		}
		switch e.Type {
		case tar.TypeSymlink:
			mode, body = mode|fs.ModeSymlink, e.Link
		case tar.TypeFifo:
			mode |= fs.ModeNamedPipe
		}
		if body == "" && e.Name != "" && e.Name[len(e.Name)-1] == '/' {
			mode, h.Method = mode|fs.ModeDir, zip.Store
		}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		check(t, err)
		_, err = f.Write([]byte(body))
		check(t, err)
	}
	check(t, w.Close())
	return out.Bytes()
}

// Gzip compresses.
func Gzip(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	check(t, err)
	check(t, w.Close())
	return out.Bytes()
}

// Zstd compresses.
func Zstd(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	check(t, err)
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// Formats are all formats, by the usual end of a file's name.
func Formats(t testing.TB, entries ...Entry) map[string][]byte {
	t.Helper()
	plain := Tar(t, entries...)
	return map[string][]byte{
		".tar": plain, ".tar.gz": Gzip(t, plain), ".tar.zst": Zstd(t, plain), ".zip": Zip(t, entries...),
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
