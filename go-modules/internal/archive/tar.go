package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// tarball is a tar archive, compressed or not.
type tarball struct {
	stream  io.Reader // the archive, decompressed
	tar     *tar.Reader
	release func() // what decompressing takes
}

// maxTrailer is how many bytes are read after the end of a compressed archive, to have the checksum of it all checked. Tar
// pads to some KiB.
const maxTrailer = 1 << 20

// newTarball looks whether a stream is a tar archive at all. Archives older than POSIX have no magic number, but a checksum.
func newTarball(stream io.Reader, release func()) (format, error) {
	buffered := bufio.NewReaderSize(stream, 64<<10)
	head, err := buffered.Peek(blockSize)
	if err != nil && !errors.Is(err, io.EOF) {
		release()
		return nil, err
	}
	if !tarHeader(head) {
		release()
		return nil, errNoTar
	}
	return &tarball{stream: buffered, tar: tar.NewReader(buffered), release: release}, nil
}

const blockSize = 512 // bytes, of tar

var errNoTar = errors.New("no tar header")

// tarHeader says whether a block begins an archive; one of nothing but zeros is the end of an empty one.
func tarHeader(block []byte) bool {
	_, err := tar.NewReader(bytes.NewReader(block)).Next()
	return len(block) == blockSize && !errors.Is(err, tar.ErrHeader)
}

func (t *tarball) Read(p []byte) (int, error) { return t.tar.Read(p) }
func (t *tarball) unique() bool               { return false } // tar --append replaces by appending
func (t *tarball) close()                     { t.release() }

func (t *tarball) next() (Entry, error) {
	for {
		h, err := t.tar.Next()
		if errors.Is(err, io.EOF) {
			if _, err := io.CopyN(io.Discard, t.stream, maxTrailer); err != nil && !errors.Is(err, io.EOF) {
				return Entry{}, err
			}
			return Entry{}, io.EOF
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // paths are judged elsewhere
			return Entry{}, err
		}
		kind, skip, err := tarKind(h)
		if err != nil {
			return Entry{}, err
		}
		if !skip {
			return tarEntry(h, kind), nil
		}
	}
}

func tarKind(h *tar.Header) (kind Kind, skip bool, err error) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return File, false, nil
	case tar.TypeDir:
		return Directory, false, nil
	case tar.TypeSymlink:
		return Symlink, false, nil
	case tar.TypeLink:
		return Hardlink, false, nil
	case tar.TypeFifo:
		return NamedPipe, false, nil
	case tar.TypeChar:
		return CharacterDevice, false, nil
	case tar.TypeBlock:
		return BlockDevice, false, nil
	case tar.TypeXGlobalHeader, 'V': // of git archive; the label of a volume
		return 0, true, nil
	}
	return 0, false, fault(fmt.Sprintf("holds %q of the unknown type %q; pack it again with GNU tar's --format=posix", h.Name, h.Typeflag))
}

func tarEntry(h *tar.Header, kind Kind) Entry {
	e := Entry{
		Path: h.Name, Kind: kind, Link: h.Linkname, Mode: uint32(h.Mode) & 0o7777, HasMode: true,
		MTime: h.ModTime.Unix(), HasTime: true,
		UID: h.Uid, GID: h.Gid, User: h.Uname, Group: h.Gname, HasOwner: true,
	}
	switch kind {
	case File:
		e.Size = h.Size
	case CharacterDevice, BlockDevice:
		e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	}
	return e
}
