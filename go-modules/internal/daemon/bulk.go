package daemon

import (
	"encoding/json"
	"fmt"
	"io"
)

// Bulky is a configuration with parts that are too large for JSON, such as the torrent of 200,000 files: it leaves them
// out there, and Instance.Start hands them over as they are.
type Bulky interface {
	// Bulk returns the parts, for Process.Bulk.
	Bulk() [][]byte
}

// readOrder reads what Start has written.
func readOrder(from io.Reader) (o order, err error) {
	decoder := json.NewDecoder(from)
	if err := decoder.Decode(&o); err != nil {
		return o, fmt.Errorf("decode order: %w", err)
	}
	rest := io.MultiReader(decoder.Buffered(), from)
	for _, n := range o.Sizes {
		part := make([]byte, n)
		if _, err := io.ReadFull(rest, part); err != nil {
			return o, fmt.Errorf("read order: %w", err)
		}
		o.bulk = append(o.bulk, part)
	}
	return o, nil
}

// Bulk gives part i of a Bulky configuration away; nil when there is none, or not any more.
func (p *Process) Bulk(i int) (part []byte) {
	if i < len(p.order.bulk) {
		part, p.order.bulk[i] = p.order.bulk[i], nil
	}
	return part
}
