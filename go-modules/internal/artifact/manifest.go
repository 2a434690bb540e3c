package artifact

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/anacrolix/torrent/bencode"
	"golang.org/x/sys/unix"
)

// The tree that an archive has brought cannot be compared with the torrent, whose pieces are those of the archive. So a manifest
// remembers, in the state directory, what was put at a destination: every entry with its attributes, and of a file
// the SHA-1. Bencode, because paths are bytes.
type (
	manifest struct {
		Dest     string          `bencode:"dest"`
		Dirs     []manifestEntry `bencode:"dirs"`
		Files    []manifestEntry `bencode:"files"`
		Infohash string          `bencode:"infohash"`
		Root     manifestEntry   `bencode:"root"`
	}
	// manifestEntry has short keys: there may be hundreds of thousands.
	manifestEntry struct {
		Device  uint64 `bencode:"d,omitempty"`
		GID     int    `bencode:"g,omitempty"`
		Has     int    `bencode:"h,omitempty"` // a union of the constants below
		Link    string `bencode:"l,omitempty"`
		Mode    uint32 `bencode:"m,omitempty"`
		Path    string `bencode:"p"`
		Sum     []byte `bencode:"s,omitempty"`
		Time    int64  `bencode:"t,omitempty"`
		UID     int    `bencode:"u,omitempty"`
		Special uint32 `bencode:"x,omitempty"`
		Length  int64  `bencode:"z,omitempty"`
	}
)

const (
	hasMode = 1 << iota
	hasTime
	hasOwner
)

// mostManifest is more than ten million entries take.
const mostManifest = 4 << 30

func manifestPath(stateDir, dest string) string {
	sum := sha1.Sum([]byte(dest))
	return filepath.Join(stateDir, "unpacked", hex.EncodeToString(sum[:8]))
}

func manifestOf(path string, m Meta) manifestEntry {
	e := manifestEntry{Path: path, Mode: uint32(m.Mode), Time: m.ModTime}
	if m.owner != nil {
		e.UID, e.GID = m.owner.uid, m.owner.gid
	}
	for flag, has := range map[int]bool{hasMode: m.HasMode, hasTime: m.HasTime, hasOwner: m.owner != nil} {
		if has {
			e.Has |= flag
		}
	}
	return e
}

func (e *manifestEntry) meta() Meta {
	m := Meta{Mode: uint16(e.Mode), ModTime: e.Time, HasMode: e.Has&hasMode != 0, HasTime: e.Has&hasTime != 0}
	if e.Has&hasOwner != 0 {
		m.owner = &owner{e.UID, e.GID}
	}
	return m
}

// Remember writes the manifest of what an archive has brought to Dest. It does nothing for other artifacts. Without a manifest
// the next run unpacks once more.
func (p *Plan) Remember() error {
	if p.unpack == nil || p.unpack.record == "" {
		return nil
	}
	data, err := bencode.Marshal(p.manifest())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(p.unpack.record), 0o700)
	}
	if err == nil {
		err = replace(p.unpack.record, data, 0o600)
	}
	if err != nil {
		return because(err, "%s is not remembered in %s, so the next run will unpack it again", show(p.Dest), show(p.unpack.record))
	}
	return nil
}

// manifest describes what was unpacked.
func (p *Plan) manifest() *manifest {
	t := p.torrent
	m := &manifest{Dest: p.Dest, Infohash: string(t.Infohash[:]), Root: manifestOf("", t.Root.Meta)}
	for i := range t.Dirs {
		m.Dirs = append(m.Dirs, manifestOf(t.Dirs[i].Path, t.Dirs[i].Meta))
	}
	for i := range t.Files {
		file := &t.Files[i]
		e := manifestOf(file.Path, file.Meta)
		if e.Length = file.Length; file.odd != nil {
			e.Link, e.Special, e.Device = file.odd.symlink, file.odd.special, file.odd.device
		}
		if file.regular() {
			e.Sum = p.unpack.sums[i][:]
		}
		m.Files = append(m.Files, e)
	}
	return m
}

// recall reads the manifest and makes its tree the plan's; false when there is none of this archive at Dest. One that cannot be
// relied on is none.
func (p *Plan) recall() bool {
	if p.unpack.sums != nil {
		return true
	}
	if p.unpack.record == "" {
		return false
	}
	stat, err := os.Lstat(p.unpack.record)
	if err != nil || !stat.Mode().IsRegular() || stat.Mode().Perm()&0o022 != 0 || ownerOf(stat) != os.Geteuid() {
		return false
	}
	data, err := readAtMost(p.unpack.record, mostManifest)
	if err != nil {
		return false
	}
	m, err := parseManifest(data)
	if err != nil || m.Dest != p.Dest || m.Infohash != string(p.torrent.Infohash[:]) {
		return false
	}
	t := p.unpack.archive.unpacked()
	t.Root.Meta = m.Root.meta()
	t.Dirs, t.Files = make([]Dir, len(m.Dirs)), make([]File, len(m.Files))
	p.unpack.sums = make([]sum, len(m.Files))
	for i := range m.Dirs {
		t.Dirs[i] = Dir{Path: m.Dirs[i].Path, Meta: m.Dirs[i].meta()}
	}
	for i := range m.Files {
		e := &m.Files[i]
		t.Files[i] = File{Path: e.Path, Length: e.Length, Meta: e.meta()}
		if e.Link != "" || e.Special != 0 {
			t.Files[i].odd = &odd{symlink: e.Link, special: e.Special, device: e.Device}
		}
		copy(p.unpack.sums[i][:], e.Sum)
	}
	p.torrent, p.nodes = t, nil
	return true
}

func parseManifest(data []byte) (m manifest, err error) {
	err = bencode.Unmarshal(data, &m)
	return m, err
}

// completeUnpacked is Complete for an archive: it was unpacked here, and every directory, file and symlink is still what it was.
func (p *Plan) completeUnpacked(ctx context.Context) (bool, error) {
	stat, err := os.Lstat(p.Dest)
	if err != nil || !stat.IsDir() || !p.recall() {
		return false, ignoreMissing(err)
	}
	dest, err := openRoot(p.Dest)
	if err != nil {
		return false, because(err, "Destination %s cannot be read", show(p.Dest))
	}
	defer dest.Close()
	c := cursor{root: dest}
	defer c.close()
	if same, err := c.sameDirs(p.torrent); !same || err != nil {
		return false, err
	}
	for i := range p.torrent.Files {
		same, err := p.sameUnpacked(ctx, &c, i)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil || !same {
			return false, unreadable(err, dest.join(p.torrent.Files[i].Path))
		}
	}
	return true, nil
}

func (p *Plan) sameUnpacked(ctx context.Context, c *cursor, i int) (bool, error) {
	file := &p.torrent.Files[i]
	stat, err := c.stat(file.Path)
	if err != nil {
		return false, err
	}
	if file.special() != 0 {
		return file.fits(&stat), nil
	}
	same, err := sameFile(c, file)
	if err != nil || !same || !file.regular() {
		return same, err
	}
	open, _, err := c.root.file(file.Path, unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer open.Close()
	content, err := checksum(ctx, open)
	return content == p.unpack.sums[i], err
}

// placeUnpacked switches Dest to the unpacked tree. The old manifest goes in the last moment, see dropManifest; the new
// one is written by Remember.
func (p *Plan) placeUnpacked(ctx context.Context) error {
	if p.staging.content == nil {
		return p.incomplete(p.torrent.Name)
	}
	p.store.hold()
	return p.placeTree(ctx)
}

// dropManifest removes the manifest of the tree at Dest, which is about to be another one, and no moment before: what may keep it
// from becoming one must not cost what is known of it.
func (p *Plan) dropManifest() error {
	if p.unpack == nil || p.unpack.record == "" {
		return nil
	}
	if err := os.Remove(p.unpack.record); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return because(err, "The record of %s cannot be removed from %s", show(p.Dest), show(p.unpack.record))
	}
	return nil
}

// ForgetUnpacked removes what is remembered of an archive that was unpacked to dest, and says whether there was anything; with
// dryRun it only looks. It never touches dest.
func ForgetUnpacked(stateDir, dest string, dryRun bool) (found bool, err error) {
	_, path, err := asked(dest)
	if err != nil {
		return false, err
	}
	if !dryRun {
		defer tidy(filepath.Dir(manifestPath(stateDir, path))) // also where a killed run has left no record
	}
	return forgetUnpacked(stateDir, path, dryRun)
}

// forgetUnpacked is ForgetUnpacked for one path that is not followed.
func forgetUnpacked(stateDir, path string, dryRun bool) (found bool, err error) {
	record := manifestPath(stateDir, path)
	if dryRun {
		_, err = os.Lstat(record)
	} else if err = os.Remove(record); err == nil {
		tidy(filepath.Dir(record))
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	} else if err != nil {
		return false, because(err, "The record of %s cannot be removed from %s", show(path), show(record))
	}
	return true, nil
}
