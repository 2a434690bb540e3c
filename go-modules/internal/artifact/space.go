package artifact

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Space says ErrNoSpace, with numbers, when what is still missing in the staging does not fit on its filesystem; and why,
// when the destination cannot be written to at all, or holds what is in the way. It is for an artifact that is not Complete.
func (p *Plan) Space() error {
	if p.readOnly != nil {
		return p.readOnly
	}
	if err := p.checkTree(); err != nil {
		return err
	}
	var fs unix.Statfs_t
	home := existing(p.home)
	if err := unix.Statfs(home, &fs); err != nil {
		return because(err, "The free space of %s cannot be read", show(home))
	}
	needed, files := p.needed(fs.Bsize, p.spared(&fs))
	if !p.reuse.cloned {
		needed -= p.shareable(&fs)
	}
	if err := p.fits(home, &fs, needed); err != nil {
		return err
	}
	if fs.Files > 0 && files > fs.Ffree { // filesystems without a table of inodes report none
		return fault(ErrNoSpace, "Not enough inodes on %s for %s: %d needed, %d free",
			show(mountPoint(home)), show(p.Dest), files, fs.Ffree)
	}
	if p.unsafe() {
		return p.spaceInPlace(needed)
	}
	return nil
}

// fits compares with what is free on the filesystem of a directory.
func (p *Plan) fits(dir string, fs *unix.Statfs_t, needed int64) error {
	if free := available(fs); needed > free {
		return fault(ErrNoSpace, "Not enough space on %s for %s: %s needed, %s free",
			show(mountPoint(dir)), show(p.Dest), size(needed), size(free))
	}
	return nil
}

// spaceInPlace looks at the filesystem of what the artifact may be copied to, when no rename can reach it: the destination's
// directory, or a file at Dest, which may be mounted there. Staged is what the staging still needs, of the same space if both
// are on one filesystem.
func (p *Plan) spaceInPlace(staged int64) error {
	target, needed := p.dir, p.torrent.Size
	old, err := statAt(unix.AT_FDCWD, p.Dest)
	if err == nil && old != nil {
		target = p.Dest
		needed -= old.Blocks * 512 // which are written over
	}
	home := existing(p.home)
	if sameMount(home, target) {
		return nil
	}
	if old != nil && p.asked.Backup && sameMount(p.dir, target) {
		needed += old.Size
	}
	if sameDevice(home, target) {
		needed += max(0, staged)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(target, &fs); err != nil {
		return because(err, "The free space of %s cannot be read", show(target))
	}
	return p.fits(target, &fs, needed)
}

// reserve takes the space that the file at Dest must grow by, so that a full disk is found out before the old content is lost.
// Where a filesystem cannot do that, spaceInPlace has to be enough.
func (p *Plan) reserve(file *os.File, old *unix.Stat_t) error {
	if old == nil || old.Size >= p.torrent.Size {
		return nil
	}
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_KEEP_SIZE, old.Size, p.torrent.Size-old.Size)
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		_ = file.Truncate(old.Size) // gives back what was taken
		return err
	}
	return nil
}

// available is the bytes that may still be written. A filesystem that has no size of its own (ramfs) tells of none.
func available(fs *unix.Statfs_t) int64 {
	if fs.Blocks == 0 {
		return math.MaxInt64 / 2
	}
	return int64(fs.Bavail) * fs.Bsize
}

// needed is the bytes and files that the staging lacks yet, in whole blocks. Spared are the pieces that take no space.
func (p *Plan) needed(block int64, spared []bool) (bytes int64, files uint64) {
	var c *cursor
	t := p.incoming()
	if r, err := openRoot(p.Staging); err == nil {
		defer r.Close()
		if t.Single || !r.bare(contentName) {
			c = &cursor{root: r}
			defer c.close()
		}
	}
	for i := range t.Files {
		file := &t.Files[i]
		if file.Pad() || file.Hardlink() != "" {
			continue
		}
		staged := p.stagedName()
		if !t.Single {
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
		lacking := t.inBlocks(t.lacking(file, spared), block)
		if p.reuse.have == nil { // else blocks may be in place and wrong
			lacking = max(0, lacking-allocated)
		}
		bytes += lacking
	}
	for i := range t.Dirs {
		if c == nil {
			files++
		} else if _, err := c.stat(join(contentName, t.Dirs[i].Path)); err != nil {
			files++
		}
	}
	return bytes, files
}

func (t *Torrent) inBlocks(bytes, block int64) int64 {
	if rest := bytes % block; rest != 0 && !t.Single {
		bytes += block - rest
	}
	return bytes
}

// spared are the pieces that take no space: what Reuse has found, and holes; nil for none.
func (p *Plan) spared(fs *unix.Statfs_t) []bool {
	if !makesHoles(fs) {
		return p.reuse.have
	}
	t := p.incoming()
	spared := make([]bool, t.NumPieces())
	copy(spared, p.reuse.have)
	known := zeroSums{}
	for i := range spared {
		spared[i] = spared[i] || t.isHole(i, known)
	}
	return spared
}

// lacking is how many bytes of a file are in pieces that are not there.
func (t *Torrent) lacking(file *File, have []bool) (bytes int64) {
	end := file.Offset + file.Length
	for off := file.Offset; off < end; {
		piece := off / t.PieceLength
		next := min(end, (piece+1)*t.PieceLength)
		if have == nil || !have[piece] {
			bytes += next - off
		}
		off = next
	}
	return bytes
}

// shareable is at most what the staging can share with what it replaces, on filesystems whose files may share blocks. Whether
// it does is seen when it is done, and then Space counts again.
func (p *Plan) shareable(fs *unix.Statfs_t) (bytes int64) {
	switch fs.Type {
	case unix.BTRFS_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
	default:
		return 0
	}
	old, err := openLocal(p.replaced())
	if err != nil {
		return 0
	}
	defer old.root.Close()
	c := cursor{root: old.root}
	defer c.close()
	t := p.incoming()
	for i := range t.Files {
		file := &t.Files[i]
		if !file.regular() || file.Length < smallestClone {
			continue
		}
		if stat, err := c.stat(old.place(t, file)); err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG {
			bytes += min(stat.Size, file.Length)
		}
	}
	return bytes
}

// writeError makes a failed write into a message for the user.
func (p *Plan) writeError(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		if full := p.Space(); errors.Is(full, ErrNoSpace) {
			return full
		}
		return fault(ErrNoSpace, "Not enough space on %s for %s: the disk became full while writing", show(mountPoint(existing(p.home))), show(p.Dest))
	case errors.Is(err, unix.EDQUOT):
		return fault(ErrNoSpace, "Not enough space on %s for %s: the disk quota of user %s is used up",
			show(mountPoint(existing(p.home))), show(p.Dest), userName(os.Geteuid()))
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
