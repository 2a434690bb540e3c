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

// Replaceable refuses a path for a .torrent at which there is something that Build has not made: somebody else's .torrent, or another
// file under a wrong name. So it does a path where nothing can be written. It reads no more than MaxTorrentSize.
func Replaceable(path string) error {
	stat, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return canWrite(path)
	case errors.Is(err, unix.ENAMETOOLONG):
		return fault(err, "Torrent %s has too long a name; give the option torrent another path", show(path))
	case err != nil || stat.Mode().IsRegular() && stat.Size() == 0:
		return nil // what is wrong with it turns out when it is written
	}
	if t, err := Load(path); err != nil || !t.ours() {
		return fault(fs.ErrExist, "Torrent %s would replace something that murder_seed has not made; move that away, or give the option torrent another path",
			show(path))
	}
	return nil
}

// canWrite refuses a path for a .torrent in a directory where nothing can be written.
func canWrite(path string) error {
	err := unix.Faccessat(unix.AT_FDCWD, filepath.Dir(path), unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, fs.ErrNotExist) {
		return fault(err, "Directory %s for the torrent does not exist; create it first", show(filepath.Dir(path)))
	} else if err != nil {
		return fault(err, "Torrent %s cannot be written: %s; give the option torrent a path elsewhere", show(path), reason(err))
	}
	return nil
}

// WriteFile writes the .torrent to path, atomically and mode 0644, unless it is there already.
func (t *Torrent) WriteFile(path string) (changed bool, err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := readAtMost(path, int64(len(t.Raw)))
	if err == nil && bytes.Equal(old, t.Raw) {
		Sweep(filepath.Dir(path))
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

// replace writes a file in one step: a temporary file beside it takes its name when it is on disk. Those of killed runs go.
func replace(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	Sweep(dir)
	file, err := createPart(dir)
	if err != nil {
		return err
	}
	defer file.Close() // last, as it gives up the lock: see Sweep
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(mode), syncFile(file))
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncDirectory(dir)
	}
	return err
}

// createPart makes a temporary file and locks it. Where the filesystem knows no locks, nobody can sweep it either.
func createPart(dir string) (*os.File, error) {
	for {
		file, err := os.CreateTemp(dir, ".murder-*.part")
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		// Before it was locked, another run may have taken it for a killed one's.
		if _, gone := os.Lstat(file.Name()); gone == nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return file, nil
		}
		file.Close()
	}
}

// Sweep removes from a directory the temporary files of killed runs, as far as it can: those of this user that no process
// has locked.
func Sweep(path string) {
	dir, err := openRoot(path)
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.names("")
	for _, name := range names {
		if ours, _ := filepath.Match(".murder-[0-9]*.part", name); !ours {
			continue
		}
		file, stat, err := dir.file(name, unix.O_RDWR)
		if err != nil {
			continue
		}
		if ownerOf(stat) == os.Geteuid() && unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = unix.Unlinkat(dir.fd(), name, 0)
		}
		file.Close()
	}
}

// tidy removes a directory of the state directory, and that, unless there is something else in them.
func tidy(dir string) {
	Sweep(dir)
	if os.Remove(dir) == nil {
		_ = os.Remove(filepath.Dir(dir))
	}
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
