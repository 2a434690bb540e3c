package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
)

// maxDepth bounds how deep values that nobody reads may nest (the file tree of a hybrid torrent is the deepest known).
const maxDepth = 1024

// decoder reads bencode (BEP 3) in place: what it returns are parts of data, so hostile input makes it allocate nothing.
//
// It is strict where the library's decoder is lenient (order and uniqueness of keys, canonical numbers), for the
// infohash of a torrent must not depend on who reads it.
type decoder struct {
	data   []byte
	pos    int
	joined []byte // of path, to be used again
	kept   strings.Builder
}

// keep makes a string of text, beside others: of its own, each of hundreds of thousands would take half as much again.
func (d *decoder) keep(text []byte) string {
	const chunk = 64 << 10
	if d.kept.Cap()-d.kept.Len() < len(text) {
		d.kept = strings.Builder{}
		d.kept.Grow(max(chunk, len(text)))
	}
	start := d.kept.Len()
	d.kept.Write(text)
	return d.kept.String()[start:]
}

// more estimates how many more items a list has that began at start, of which n have been read.
func (d *decoder) more(start, n int) int {
	return (len(d.data) - d.pos) / ((d.pos - start) / n)
}

func (d *decoder) fail(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", d.pos, fmt.Sprintf(format, args...))
}

var errTruncated = errors.New("it ends in the middle of a value; it may be truncated")

// open consumes the first byte of a dictionary or list.
func (d *decoder) open(kind byte, what, want string) error {
	if d.pos >= len(d.data) {
		return errTruncated
	}
	if d.data[d.pos] != kind {
		return d.fail("%s is not a %s", what, want)
	}
	d.pos++
	return nil
}

// next says whether a value of this kind is next.
func (d *decoder) next(kind byte) bool { return d.pos < len(d.data) && d.data[d.pos] == kind }

// closed consumes the end of a dictionary or list if it is next.
func (d *decoder) closed() (bool, error) {
	if d.pos >= len(d.data) {
		return false, errTruncated
	}
	if d.data[d.pos] != 'e' {
		return false, nil
	}
	d.pos++
	return true, nil
}

// dict calls visit for each key; visit consumes the value.
func (d *decoder) dict(what string, visit func(key []byte) error) error {
	if err := d.open('d', what, "dictionary"); err != nil {
		return err
	}
	var last []byte
	for first := true; ; first = false {
		if end, err := d.closed(); end || err != nil {
			return err
		}
		key, err := d.bytes("a key")
		if err != nil {
			return err
		}
		if !first {
			if err := d.ordered(last, key, what); err != nil {
				return err
			}
		}
		last = key
		if err := visit(key); err != nil {
			return err
		}
	}
}

func (d *decoder) ordered(last, key []byte, what string) error {
	switch c := bytes.Compare(last, key); {
	case c == 0:
		return d.fail("%s has the key %q twice", what, clip(key))
	case c > 0:
		return d.fail("the keys of %s are not in order (%q after %q)", what, clip(key), clip(last))
	}
	return nil
}

func clip(key []byte) []byte { return key[:min(len(key), 64)] }

// list calls visit for each item; visit consumes it.
func (d *decoder) list(what string, visit func() error) error {
	if err := d.open('l', what, "list"); err != nil {
		return err
	}
	for {
		if end, err := d.closed(); end || err != nil {
			return err
		}
		if err := visit(); err != nil {
			return err
		}
	}
}

// bytes reads a string.
func (d *decoder) bytes(what string) ([]byte, error) {
	start := d.pos
	n := 0
	for ; d.pos < len(d.data) && d.data[d.pos] >= '0' && d.data[d.pos] <= '9'; d.pos++ {
		if n > len(d.data) {
			return nil, d.fail("%s is longer than the torrent", what)
		}
		n = n*10 + int(d.data[d.pos]-'0')
	}
	switch {
	case d.pos >= len(d.data):
		return nil, errTruncated
	case d.pos == start || d.data[d.pos] != ':':
		return nil, d.fail("%s is not a string", what)
	case d.data[start] == '0' && d.pos > start+1:
		return nil, d.fail("the length of %s has a leading zero", what)
	case n > len(d.data)-d.pos-1:
		return nil, errTruncated
	}
	d.pos++
	value := d.data[d.pos : d.pos+n : d.pos+n]
	d.pos += n
	return value, nil
}

// int reads a number that fits 64 bits.
func (d *decoder) int(what string) (int64, error) {
	if err := d.open('i', what, "number"); err != nil {
		return 0, err
	}
	negative := d.pos < len(d.data) && d.data[d.pos] == '-'
	if negative {
		d.pos++
	}
	start, value := d.pos, int64(0)
	for ; d.pos < len(d.data) && d.data[d.pos] >= '0' && d.data[d.pos] <= '9'; d.pos++ {
		digit := int64(d.data[d.pos] - '0')
		if value > (math.MaxInt64-digit)/10 {
			return 0, d.fail("%s is too large", what)
		}
		value = value*10 + digit
	}
	switch {
	case d.pos >= len(d.data):
		return 0, errTruncated
	case d.pos == start || d.data[d.pos] != 'e':
		return 0, d.fail("%s is not a number", what)
	case d.data[start] == '0' && (d.pos > start+1 || negative):
		return 0, d.fail("%s has a leading zero", what)
	}
	d.pos++
	if negative {
		value = -value
	}
	return value, nil
}

// skip passes over any value. It does not recurse: depth costs it memory only up to maxDepth.
func (d *decoder) skip() error {
	type level struct {
		dict, value bool // value: the key has been read, its value is next
		last        []byte
	}
	var stack []level
	for {
		if d.pos >= len(d.data) {
			return errTruncated
		}
		if n := len(stack); n > 0 && stack[n-1].dict && !stack[n-1].value && d.data[d.pos] != 'e' {
			top := &stack[n-1]
			key, err := d.bytes("a key")
			if err != nil {
				return err
			}
			if top.last != nil {
				if err := d.ordered(top.last, key, "a dictionary"); err != nil {
					return err
				}
			}
			top.last, top.value = key, true
			continue
		}
		switch c := d.data[d.pos]; {
		case c == 'd' || c == 'l':
			if len(stack) == maxDepth {
				return d.fail("values are nested more than %d deep", maxDepth)
			}
			d.pos++
			stack = append(stack, level{dict: c == 'd'})
			continue
		case c == 'e' && len(stack) > 0 && !stack[len(stack)-1].value:
			d.pos++
			stack = stack[:len(stack)-1]
		case c == 'i':
			if _, err := d.int("a number"); err != nil {
				return err
			}
		default:
			if _, err := d.bytes("a value"); err != nil {
				return err
			}
		}
		if len(stack) == 0 {
			return nil
		}
		stack[len(stack)-1].value = false
	}
}
