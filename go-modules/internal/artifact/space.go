package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Space says ErrNoSpace, with numbers, when what is still missing in the staging does not fit on its filesystem; and why,
// when the destination cannot be written to at all.
func (p *Plan) Space() error {
	if p.readOnly != nil {
		return p.readOnly
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(p.dir, &fs); err != nil {
		return because(err, "The free space of %s cannot be read", show(p.dir))
	}
	needed, files := p.needed(fs.Bsize)
	if free := available(&fs); needed > free {
		return fault(ErrNoSpace, "Not enough space on %s for %s: %s needed, %s free",
			show(mountPoint(p.dir)), show(p.Dest), size(needed), size(free))
	}
	if fs.Files > 0 && files > fs.Ffree { // filesystems without a table of inodes report none
		return fault(ErrNoSpace, "Not enough inodes on %s for %s: %d needed, %d free",
			show(mountPoint(p.dir)), show(p.Dest), files, fs.Ffree)
	}
	return nil
}

func available(fs *unix.Statfs_t) int64 { return int64(fs.Bavail) * fs.Bsize }

// needed is the bytes and files that the staging lacks yet, in whole blocks.
func (p *Plan) needed(block int64) (bytes int64, files uint64) {
	var c *cursor
	if r, err := openRoot(p.Staging); err == nil {
		defer r.Close()
		c = &cursor{root: r}
		defer c.close()
	}
	for i := range p.torrent.Files {
		file := &p.torrent.Files[i]
		if file.Pad || file.Hardlink != "" {
			continue
		}
		staged := contentName
		if !p.torrent.Single {
			staged = join(contentName, file.Path)
		}
		allocated, exists := int64(0), false
		if c != nil {
			if stat, err := c.stat(staged); err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG {
				allocated, exists = stat.Blocks*512, true
			}
		}
		if !exists {
			files++
		}
		whole := file.Length
		if rest := whole % block; rest != 0 && !p.torrent.Single {
			whole += block - rest
		}
		bytes += max(0, whole-allocated)
	}
	return bytes, files
}

// writeError makes a failed write into a message for the user.
func (p *Plan) writeError(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		if full := p.Space(); errors.Is(full, ErrNoSpace) {
			return full
		}
		return fault(ErrNoSpace, "Not enough space on %s for %s: the disk became full while writing", show(mountPoint(p.dir)), show(p.Dest))
	case errors.Is(err, unix.EDQUOT):
		return fault(ErrNoSpace, "Not enough space on %s for %s: the disk quota of user %s is used up",
			show(mountPoint(p.dir)), show(p.Dest), userName(os.Geteuid()))
	}
	return because(err, "Destination %s cannot be written", show(p.Dest))
}

// mountPoints lists where filesystems are mounted; empty where there is no /proc.
func mountPoints() (points []string) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, unescape(fields[4]))
		}
	}
	return points
}

// unescape undoes the kernel's \ooo for blanks and the like.
func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// mountPoint is where the filesystem that holds path is mounted.
func mountPoint(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	longest := "/"
	for _, point := range mountPoints() {
		if len(point) > len(longest) && (path == point || strings.HasPrefix(path, point+"/")) {
			longest = point
		}
	}
	return longest
}
