package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"time"

	"golang.org/x/sys/unix"
)

// Stamps are digests of what the filesystem tells of every file and symlink of an artifact. While they are the same, nobody has
// written to it by way of the kernel; an artifact with other stamps may still be whole, which hashing tells.
type Stamps struct {
	Content string `json:"content"` // inode, size and modification time
	Change  string `json:"change"`  // time of the last change of any kind (ctime), which programs cannot set
}

// racy is how young a modification may be to be missed: a second write within one step of the filesystem's clock leaves no
// mark. Two seconds is the coarsest clock in use.
const racy = 2 * time.Second

// stamper gathers stamps.
type stamper struct {
	content, change hash.Hash
	now             int64 // nanoseconds since 1970
	racy            bool
	off             bool // a modification time is not the one that the torrent carries
	settled         bool // every mode and owner is as it shall be
}

func newStamper() *stamper {
	return &stamper{content: sha256.New(), change: sha256.New(), now: time.Now().UnixNano()}
}

func (s *stamper) add(file *File, stat *unix.Stat_t) {
	now := stampOf(stat)
	var b [24]byte
	binary.LittleEndian.PutUint64(b[0:], now.inode)
	binary.LittleEndian.PutUint64(b[8:], uint64(now.size))
	binary.LittleEndian.PutUint64(b[16:], uint64(now.mtime))
	s.content.Write(b[:])
	binary.LittleEndian.PutUint64(b[:], uint64(unix.TimespecToNsec(stat.Ctim)))
	s.change.Write(b[:8])
	age := time.Duration(s.now - now.mtime)
	s.racy = s.racy || -racy < age && age < racy
	s.off = s.off || file.HasTime && stat.Mtim.Sec != file.ModTime
}

// addAll adds files that stand one after the other in the torrent; stats has those that are no padding. A nil stamper takes none.
func (s *stamper) addAll(files []File, stats []unix.Stat_t) {
	if s == nil {
		return
	}
	for i := range files {
		if !files[i].Pad() {
			s.add(&files[i], &stats[0])
			stats = stats[1:]
		}
	}
}

// stampable says whether Place can take the stamps while it completes files: nothing changes them after that.
func (p *Plan) stampable() bool {
	for i := range p.torrent.Files {
		if p.torrent.Files[i].Hardlink() != "" {
			return false
		}
	}
	return p.unpack == nil && p.flags == nil
}

// stamp takes the stamps of what is at Dest: one lstat(2) for each entry, the only one of a run that changes nothing. It returns nil
// where anything is missing, or of another type or size.
func (p *Plan) stamp() *stamper {
	s := newStamper()
	s.settled = p.asksLittle()
	top := p.Dest
	if p.torrent.Single {
		top = p.dir
	}
	dest, err := openRoot(top)
	if err != nil {
		return nil
	}
	defer dest.Close()
	c := cursor{root: dest}
	defer c.close()
	if stat, err := c.stat(""); err != nil || !p.becoming(&stat, p.rootMeta()) {
		s.settled = false
	}
	for i := range p.torrent.Dirs {
		dir := &p.torrent.Dirs[i]
		stat, err := c.stat(dir.Path)
		if err != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		s.settled = s.settled && p.becoming(&stat, dir.Meta)
	}
	for i := range p.torrent.Files {
		file := &p.torrent.Files[i]
		if file.Pad() {
			continue
		}
		path := file.Path
		if p.torrent.Single {
			path = p.base
		}
		stat, err := c.stat(path)
		if err != nil || !file.fits(&stat) {
			return nil
		}
		s.add(file, &stat)
		s.settled = s.settled && file.Hardlink() == "" && p.becoming(&stat, file.Meta)
	}
	return s
}

// asksLittle says whether modes and owners are all that is to be looked at: lstat(2) does not tell of the rest.
func (p *Plan) asksLittle() bool {
	return !p.torrent.Single && p.flags == nil && (p.context == nil || p.context.parts == [4]string{})
}

// becoming says whether an entry of a tree has its mode and owner.
func (p *Plan) becoming(stat *unix.Stat_t, meta Meta) bool {
	return p.modeFor(stat, meta) == stat.Mode&0o7777 && !p.owner(meta).differs(stat)
}

// fits says whether something at the file's place has its type and size.
func (f *File) fits(stat *unix.Stat_t) bool {
	if f.Symlink() != "" {
		return stat.Mode&unix.S_IFMT == unix.S_IFLNK
	}
	if f.special() != 0 {
		return stat.Mode&unix.S_IFMT == f.odd.special && stat.Rdev == f.odd.device
	}
	return stat.Mode&unix.S_IFMT == unix.S_IFREG && stat.Size == f.Length
}

func (s *stamper) stamps() Stamps {
	return Stamps{hex.EncodeToString(s.content.Sum(nil)), hex.EncodeToString(s.change.Sum(nil))}
}

// Matches says whether a record vouches for the artifact at Dest: it is of this torrent and this place, and no file has
// changed since it was written.
func (p *Plan) Matches(rec Record) bool {
	if rec.Infohash != p.infohash() || rec.Dest != p.Dest || rec.Stamps == (Stamps{}) {
		return false
	}
	if p.unpack != nil && !p.recall() {
		return false
	}
	now := p.stamp()
	matches := now != nil && now.stamps() == rec.Stamps
	p.settled, p.linkless = matches && now.settled, matches && rec.Linkless
	return matches
}

// Certify is Complete, in which every byte is read, with a record of what was found, for the next time. The record has no stamps, and so vouches for
// nothing, when a file was changed while it was read, or so shortly before that one could not tell.
func (p *Plan) Certify(ctx context.Context) (complete bool, rec Record, err error) {
	if p.unpack != nil && !p.recall() {
		return false, rec, nil
	}
	before := p.stamp()
	if complete, err = p.Complete(ctx); !complete || err != nil {
		return false, rec, err
	}
	rec = p.record()
	if after := p.stamp(); before != nil && after != nil && after.stamps() == before.stamps() && !before.racy {
		rec.Stamps = after.stamps()
	}
	return true, rec, nil
}

// Placed is the record of an artifact that Place has just put at Dest. It has no stamps, or some that vouch for nothing, when
// somebody has written to it already: those that Place has taken are of what it has switched to.
func (p *Plan) Placed() Record {
	rec := p.record()
	now := p.stamps
	if p.stamps = nil; now == nil {
		now = p.stamp()
	}
	if now != nil && !now.racy && !now.off {
		rec.Stamps = now.stamps()
	}
	return rec
}

// Renew brings a record that matched before Attributes changed modes or owners up to date. It vouches for
// nothing any more when the content was touched as well.
func (p *Plan) Renew(rec Record) Record {
	now := p.stamp()
	if now == nil || now.stamps().Content != rec.Stamps.Content {
		rec.Stamps = Stamps{}
	} else {
		rec.Stamps = now.stamps()
	}
	rec.Linkless = p.linkless
	return rec
}

func (p *Plan) record() Record {
	now := time.Now().UTC().Truncate(time.Second)
	return Record{
		Infohash: p.infohash(), Name: p.torrent.Name, Dest: p.Dest, Asked: p.wanted, Size: p.torrent.Size, When: now, Verified: now,
		Linkless: p.linkless,
	}
}

func (p *Plan) infohash() string { return hex.EncodeToString(p.torrent.Infohash[:]) }
