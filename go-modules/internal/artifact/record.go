package artifact

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Record is what is remembered of an artifact that was put in place or found there.
type Record struct {
	Infohash string    `json:"infohash"` // in hexadecimal
	Name     string    `json:"name"`     // that the torrent suggests
	Dest     string    `json:"dest"`     // where it is: absolute, symlinks at its end followed
	Asked    string    `json:"asked"`    // the option dest, absolute
	Size     int64     `json:"size"`     // bytes
	When     time.Time `json:"when"`     // it was put in place, or first found there
	Verified time.Time `json:"verified"` // every byte of it was last hashed
	Stamps   Stamps    `json:"stamps"`
	Linkless bool      `json:"linkless,omitempty"` // hard links in it are copies, for they could not be made; as long as Stamps hold
}

// recordText is a Record as it is written. Its paths are those below, and not those of the Record itself.
type recordText struct {
	*plainRecord
	Dest  Path `json:"dest"`
	Asked Path `json:"asked"`
}

type plainRecord Record

// MarshalJSON is json.Marshaler's.
func (r Record) MarshalJSON() ([]byte, error) {
	return json.Marshal(recordText{(*plainRecord)(&r), Path(r.Dest), Path(r.Asked)})
}

// UnmarshalJSON is json.Unmarshaler's.
func (r *Record) UnmarshalJSON(data []byte) error {
	text := recordText{plainRecord: (*plainRecord)(r)}
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	r.Dest, r.Asked = string(text.Dest), string(text.Asked)
	return nil
}

// Records are the records of a state directory, a small file for each destination in its directory placed.
type Records struct{ dir string }

// OpenRecords names the records of a state directory and touches nothing.
func OpenRecords(stateDir string) Records { return Records{filepath.Join(stateDir, "placed")} }

func (r Records) path(dest string) string {
	sum := sha1.Sum([]byte(dest))
	return filepath.Join(r.dir, hex.EncodeToString(sum[:8])+".json")
}

// Load returns the record of a destination, the zero Record when there is none that can be relied on.
func (r Records) Load(dest string) Record {
	if rec, err := readRecord(r.path(dest)); err == nil && rec.Dest == dest {
		return rec
	}
	return Record{}
}

// All returns every record there is, in no order. No directory means no records.
func (r Records) All() (all []Record, err error) {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, because(err, "Records in %s cannot be read", show(r.dir))
	}
	for _, entry := range entries {
		path := filepath.Join(r.dir, entry.Name())
		if rec, err := readRecord(path); err == nil && path == r.path(rec.Dest) {
			all = append(all, rec)
		}
	}
	return all, nil
}

// mostRecord is more than any record has.
const mostRecord = 64 << 10

// readRecord refuses what somebody else may have written: a record saves the hashing.
func readRecord(path string) (rec Record, err error) {
	stat, err := os.Lstat(path)
	if err != nil {
		return rec, err
	}
	if !stat.Mode().IsRegular() || stat.Mode().Perm()&0o022 != 0 || ownerOf(stat) != os.Geteuid() {
		return rec, syscall.EPERM
	}
	data, err := readAtMost(path, mostRecord)
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	return rec, err
}

// Save keeps a record, in place of an older one of the same destination, and drops those of what has gone from there since.
func (r Records) Save(rec Record) error {
	text, err := json.MarshalIndent(rec, "", " ")
	if err == nil {
		err = os.MkdirAll(r.dir, 0o700)
	}
	if err == nil {
		err = replace(r.path(rec.Dest), append(text, '\n'), 0o600)
	}
	if err != nil {
		return because(err, "%s is not remembered in %s, so the next run will hash it", show(rec.Dest), show(r.dir))
	}
	return r.dropGone(rec)
}

// dropGone removes the records, beside saved, that the same option dest has led to and whose artifacts are gone, such as
// releases that are no longer kept.
func (r Records) dropGone(saved Record) error {
	all, err := r.All()
	if err != nil {
		return err
	}
	for _, rec := range all {
		if rec.Asked != saved.Asked || rec.Dest == saved.Dest {
			continue
		}
		if _, err := os.Lstat(rec.Dest); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := r.remove(rec); err != nil {
			return err
		}
	}
	return nil
}

func (r Records) remove(rec Record) error {
	if err := os.Remove(r.path(rec.Dest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return because(err, "The record of %s cannot be removed from %s", show(rec.Dest), show(r.dir))
	}
	_, err := forgetUnpacked(filepath.Dir(r.dir), rec.Dest, false)
	return err
}

// Forget removes the records of what the option dest has put in place, and returns how many there were; with dryRun it only
// counts. The directory goes with the last one.
func (r Records) Forget(dest string, dryRun bool) (found int, err error) {
	asked, place, err := asked(dest)
	if err != nil {
		return 0, err
	}
	all, err := r.All()
	if err != nil {
		return 0, err
	}
	for _, rec := range all {
		if rec.Asked != asked && rec.Dest != place {
			continue
		}
		found++
		if dryRun {
			continue
		}
		if err := r.remove(rec); err != nil {
			return found, err
		}
	}
	if found == len(all) && !dryRun {
		tidy(r.dir)
	}
	return found, nil
}

// asked makes the option dest comparable: absolute, with the slash at its end, which has a meaning; and the path it names.
func asked(dest string) (option, place string, err error) {
	abs, err := filepath.Abs(dest)
	if err != nil {
		return "", "", fault(err, "Destination %s is relative to a directory that is gone", show(dest))
	}
	option = abs
	if strings.HasSuffix(dest, "/") && abs != "/" {
		option += "/"
	}
	place, err = follow(abs)
	return option, place, err
}
