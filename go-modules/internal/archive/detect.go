package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the most memory in bytes that decompressing may take: what the program zstd takes without --long too.
const maxWindow = 128 << 20

var (
	zipMagics  = [][]byte{[]byte("PK\x03\x04"), []byte("PK\x05\x06")} // the second is an empty one
	gzipMagic  = []byte{0x1f, 0x8b}
	zstdMagic  = []byte{0x28, 0xb5, 0x2f, 0xfd}
	unreadable = map[string][]byte{
		"bzip2": []byte("BZh"), "xz": []byte("\xfd7zXZ\x00"), "lz4": {0x04, 0x22, 0x4d, 0x18}, "7z": []byte("7z\xbc\xaf\x27\x1c"),
		"rar": []byte("Rar!\x1a\x07"), "lzip": []byte("LZIP"), "compress": {0x1f, 0x9d}, "cpio": []byte("07070"), "ar": []byte("!<arch>\n"),
	}
)

// detect finds the format by the first bytes, whatever the archive is called.
func detect(r io.ReaderAt, size int64) (format, error) {
	head := make([]byte, min(size, blockSize))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	stream := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 256<<10)
	switch {
	case bytes.HasPrefix(head, zipMagics[0]), bytes.HasPrefix(head, zipMagics[1]):
		return newZipfile(r, size)
	case bytes.HasPrefix(head, gzipMagic):
		z, err := gzip.NewReader(stream)
		if err != nil {
			return nil, err
		}
		return compressed("gzip", z, func() {})
	case bytes.HasPrefix(head, zstdMagic):
		// Blocks are decoded in turn: the goroutines of the concurrent decoder take memory for every one of them.
		z, err := zstd.NewReader(stream, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return compressed("zstd", windowed{z}, z.Close)
	case tarHeader(head):
		return newTarball(stream, func() {})
	}
	for name, magic := range unreadable {
		if bytes.HasPrefix(head, magic) {
			return nil, fault(fmt.Sprintf("is made with %s, and only tar, tar.gz, tar.zst and zip can be unpacked; pack it again as one of these", name))
		}
	}
	return nil, fault("is neither tar nor tar.gz nor tar.zst nor zip; pack it as one of these, or leave out unpack")
}

func compressed(by string, stream io.Reader, release func()) (format, error) {
	t, err := newTarball(stream, release)
	if errors.Is(err, errNoTar) {
		return nil, fault(fmt.Sprintf("is compressed with %s, but what is in it is no tar archive; leave out unpack", by))
	}
	return t, err
}

// windowed says what to do about a frame that takes too much memory.
type windowed struct{ io.Reader }

func (w windowed) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = fault(fmt.Sprintf("takes more than %d MiB of memory to decompress; pack it again without zstd's option --long", maxWindow>>20))
	}
	return n, err
}
