package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// The kinds of failure that a caller may want to tell apart with errors.Is.
var (
	ErrTorrent  = errors.New("torrent is not valid")
	ErrChanged  = errors.New("source changed")
	ErrBusy     = errors.New("destination is busy")
	ErrNoSpace  = errors.New("no space left")
	ErrChecksum = errors.New("checksum differs")
)

// Error is a failure whose text may be shown to the user as it stands. Err is its cause or kind, for errors.Is.
type Error struct {
	Msg string
	Err error
}

func (e *Error) Error() string { return e.Msg }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// fault makes an Error; the cause is for errors.Is and is not part of the text.
func fault(cause error, format string, args ...any) error {
	return &Error{Msg: fmt.Sprintf(format, args...), Err: cause}
}

// because makes an Error whose text ends with the system's reason, without the path that os puts into it.
func because(cause error, format string, args ...any) error {
	var user *Error
	if errors.As(cause, &user) {
		return cause
	}
	return fault(cause, format+": %s", append(args, reason(cause))...)
}

func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// show makes a path fit for a message: as it is when it can be printed, quoted when not.
func show(path string) string {
	if !utf8.ValidString(path) {
		return strconv.Quote(path)
	}
	for _, r := range path {
		if !unicode.IsPrint(r) {
			return strconv.Quote(path)
		}
	}
	return path
}

// kindOf names a file type for messages.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "file"
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeCharDevice != 0:
		return "character device"
	default:
		return "block device"
	}
}

// size writes a number of bytes for people, in steps of 1000 as disks are sold.
func size(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(sizeUnits)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %s", value, sizeUnits[unit])
}

var sizeUnits = []string{"kB", "MB", "GB", "TB", "PB", "EB"}
