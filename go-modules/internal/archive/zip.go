package archive

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
)

// zipfile is a zip archive.
type zipfile struct {
	files []*zip.File
	open  io.ReadCloser // content of the last entry
}

// The systems that write Unix permissions into a zip archive (APPNOTE.TXT, 4.4.2).
const (
	madeByUnix = 3
	madeByOSX  = 19
)

const encrypted = 1<<0 | 1<<6 | 1<<13 // flags of an entry: by password, strongly, with its name hidden

func newZipfile(r io.ReaderAt, size int64) (format, error) {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // paths are judged elsewhere
		return nil, err
	}
	return &zipfile{files: z.File}, nil
}

func (z *zipfile) unique() bool { return true } // what a second entry of a name means, every program answers differently

func (z *zipfile) close() {
	if z.open != nil {
		z.open.Close()
		z.open = nil
	}
}

func (z *zipfile) Read(p []byte) (int, error) {
	if z.open == nil {
		return 0, io.EOF
	}
	return z.open.Read(p)
}

func (z *zipfile) next() (Entry, error) {
	z.close()
	if len(z.files) == 0 {
		return Entry{}, io.EOF
	}
	f := z.files[0]
	z.files = z.files[1:]
	e := Entry{Path: f.Name, MTime: f.Modified.Unix(), HasTime: !f.Modified.IsZero()}
	mode := f.Mode()
	if by := f.CreatorVersion >> 8; (by == madeByUnix || by == madeByOSX) && f.ExternalAttrs>>16 != 0 {
		// As with unzip, no archive brings set-user-ID programs.
		e.Mode, e.HasMode = uint32(mode.Perm()), true
	}
	switch {
	case f.Flags&encrypted != 0:
		return Entry{}, fault(fmt.Sprintf("is encrypted (%q); pack it again without a password", clip(f.Name)))
	case strings.Contains(f.Name, `\`):
		return Entry{}, fault(fmt.Sprintf(`holds the name %q with a "\", which is no separator; pack it again with another program`, clip(f.Name)))
	case mode.IsDir():
		e.Kind = Directory
		return e, nil
	case mode.Type() != 0 && mode.Type() != fs.ModeSymlink:
		return Entry{}, fault(fmt.Sprintf("holds %q, which is neither a file nor a directory nor a symbolic link", clip(f.Name)))
	case f.UncompressedSize64 > math.MaxInt64:
		return Entry{}, zip.ErrFormat
	}
	return z.content(f, e, mode.Type() == fs.ModeSymlink)
}

// content opens the entry; of a symlink the target is the content.
func (z *zipfile) content(f *zip.File, e Entry, symlink bool) (Entry, error) {
	open, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return Entry{}, fault(fmt.Sprintf("holds %q compressed by method %d, and only deflate can be read; pack it again with it", clip(f.Name), f.Method))
	} else if err != nil {
		return Entry{}, err
	}
	z.open = open
	if !symlink {
		e.Kind, e.Size = File, int64(f.UncompressedSize64)
		return e, nil
	}
	target, err := io.ReadAll(io.LimitReader(open, maxPath+1))
	e.Kind, e.Link = Symlink, string(target)
	return e, err
}
