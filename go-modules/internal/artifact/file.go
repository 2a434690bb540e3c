package artifact

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile writes the .torrent to path, atomically and mode 0644, unless it is there already.
func (t *Torrent) WriteFile(path string) (changed bool, err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := readAtMost(path, int64(len(t.Raw)))
	if err == nil && bytes.Equal(old, t.Raw) {
		return false, nil
	}
	err = replace(path, t.Raw, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fault(err, "Directory %s for the torrent does not exist; create it first", show(filepath.Dir(path)))
	} else if err != nil {
		return false, because(err, "Torrent %s cannot be written", show(path))
	}
	return true, nil
}

// What brings things to disk: a file, a directory's own entries, and a tree with all else on its filesystem. Tests note when.
var (
	syncFile = (*os.File).Sync
	syncDir  = unix.Fsync
	syncTree = unix.Syncfs
)

// replace writes a file in one step: a temporary file beside it takes its name when it is on disk.
func replace(path string, data []byte, mode fs.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".murder-*.part")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(mode), syncFile(file), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	return err
}

// readAtMost reads a file that is no longer than limit; of a longer one it reads one byte more.
func readAtMost(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit+1))
}

// Checksum is the SHA-1 of a whole file in hexadecimal, as Ansible's copy returns it.
func Checksum(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", because(err, "%s cannot be read", show(path))
	}
	defer file.Close()
	content, err := checksum(ctx, file)
	if err != nil && ctx.Err() == nil {
		err = because(fmt.Errorf("read: %w", err), "%s cannot be read", show(path))
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(content[:]), nil
}

// sum is the SHA-1 of a file's content.
type sum [sha1.Size]byte

func checksum(ctx context.Context, file io.Reader) (sum, error) {
	hash := sha1.New()
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return sum{}, err
		}
		n, err := file.Read(buffer)
		hash.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return sum(hash.Sum(nil)), nil
		}
		if err != nil {
			return sum{}, err
		}
	}
}
