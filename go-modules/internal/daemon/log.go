package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// openLog opens the log for appending: DIR/log, or file, to which DIR/log then
// links.
func openLog(dir, file string) (*os.File, error) {
	inside := filepath.Join(dir, logName)
	path := inside
	if info, err := os.Lstat(inside); err == nil && (file != "" || !info.Mode().IsRegular()) {
		if err := os.Remove(inside); err != nil {
			return nil, fmt.Errorf("replace log: %w", err)
		}
	}
	if file != "" {
		path = file
		if err := os.Symlink(file, inside); err != nil {
			return nil, fmt.Errorf("link log: %w", err)
		}
	}
	// Opening a named pipe would wait for its reader without O_NONBLOCK.
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return nil, noLog(path, errors.Unwrap(err))
	}
	info, err := log.Stat()
	if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeCharDevice == 0 {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("log file %s cannot be used: %w", path, err)
	}
	return log, nil
}

// noLog explains why a log cannot be opened; nil for nil.
func noLog(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("log file %s cannot be opened: its directory does not exist; create it first", path)
	}
	return fmt.Errorf("log file %s cannot be opened: %w", path, err)
}

// redirect makes the log stdout and stderr of this process, for the runtime's
// last words in a crash, and /dev/null its stdin.
func redirect(log *os.File) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("open null device: %w", err)
	}
	defer null.Close()
	for fd, f := range []*os.File{null, log, log} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("redirect descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// logTail gives the last lines of the log in DIR as the end of an error message,
// or nothing.
func logTail(dir string) string {
	f, err := os.Open(filepath.Join(dir, logName))
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	const most = 4096
	start := max(info.Size()-most, 0)
	text, err := io.ReadAll(io.NewSectionReader(f, start, most))
	if err != nil {
		return ""
	}
	if start > 0 { // the first line is cut
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	tail := strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
	if tail == "" {
		return ""
	}
	return "; its log ends:\n" + tail
}
