package artifact

import (
	"fmt"
	"strings"
)

// catalog is what a scan found.
type catalog struct {
	batches []*batch // the first one holds the source itself
	count   int      // of the entries that a torrent can carry
	special []entry  // those that none can
}

// identity is what hard links of one file have in common.
type identity struct{ device, inode uint64 }

// newCatalog finds the hard links among the entries.
func newCatalog(batches []*batch) (*catalog, error) {
	c := &catalog{batches: batches}
	linked := map[identity]string{} // paths of files with more than one name
	return c, each(batches, func(e *entry) error {
		if e.special() {
			c.special = append(c.special, *e)
			return nil
		}
		c.count++
		if file := (identity{e.device, e.inode}); e.regular() && e.linked {
			if first, met := linked[file]; met {
				e.link = first
			} else {
				linked[file] = e.path
			}
		}
		return nil
	})
}

// each calls visit for all that a torrent can carry, in order, until it returns an error.
func (c *catalog) each(visit func(e *entry) error) error {
	return each(c.batches, func(e *entry) error {
		if e.special() {
			return nil
		}
		return visit(e)
	})
}

func each(batches []*batch, visit func(e *entry) error) error {
	for _, b := range batches {
		dirs := 0
		for i := range b.found {
			e := &b.found[i]
			if err := visit(e); err != nil {
				return err
			}
			if !e.dir() {
				continue
			}
			if err := each(b.below[dirs], visit); err != nil {
				return err
			}
			dirs++
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

// refuseSpecial names the pipes, sockets and devices of a source.
func (c *catalog) refuseSpecial(r *root) error {
	if len(c.special) == 0 {
		return nil
	}
	const most = 5
	var others []string
	for i, e := range c.special[1:] {
		if i == most {
			others = append(others, fmt.Sprintf("%d more", len(c.special)-1-most))
			break
		}
		others = append(others, fmt.Sprintf("%s (%s)", show(r.join(e.path)), kindOf(fileMode(e.mode))))
	}
	also := ""
	if len(others) > 0 {
		also = ", nor can " + strings.Join(others, ", ")
	}
	first := &c.special[0]
	return fault(nil, "Source %s is a %s and cannot be deployed%s; remove it, exclude it, or leave out all such files with special: skip",
		show(r.join(first.path)), kindOf(fileMode(first.mode)), also)
}
