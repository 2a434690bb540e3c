package announce

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// MetainfoFile is the name, below its path, of a registered torrent's .torrent, compressed with gzip: that of many files
// is mostly their names and becomes a tenth or less.
const MetainfoFile = "torrent.gz"

var errStalled = fmt.Errorf("nothing has moved for %v", requestTimeout)

// Deposit gives the .torrent of a registered torrent to this project's tracker, where peers get it by Metainfo. It takes as
// long as bytes move. Errors are those of Register.
func (c *Client) Deposit(ctx context.Context, infohash [20]byte, metainfo []byte) error {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // the level is a valid one
	_, err := w.Write(metainfo)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("compress torrent %x: %w", infohash, err)
	}
	_, err = c.carry(ctx, http.MethodPut, infohash, packed.Bytes(), 0)
	return err
}

// Metainfo returns the .torrent of a registered torrent, at most so many bytes of it, as this project's tracker has got it from
// the seeder. It is not verified. It takes as long as bytes move. Errors are those of Register.
func (c *Client) Metainfo(ctx context.Context, infohash [20]byte, most int64) ([]byte, error) {
	return c.carry(ctx, http.MethodGet, infohash, nil, most)
}

// carry brings the .torrent of a torrent to the tracker or from there. That takes as long as bytes move.
func (c *Client) carry(ctx context.Context, method string, infohash [20]byte, body []byte, most int64) ([]byte, error) {
	m := newMover(ctx)
	defer m.stop()
	where := sibling(c.base, TorrentsPath, hex.EncodeToString(infohash[:]), MetainfoFile)
	var sent io.Reader = http.NoBody
	if len(body) > 0 {
		sent = watched{bytes.NewReader(body), m}
	}
	response, err := c.send(m.ctx, method, where, sent, int64(len(body)))
	if err != nil {
		return nil, c.unreachable(ctx, m.why(err))
	}
	defer func() { _ = response.Body.Close() }() // read only: nothing is lost with it
	switch a := (answer{code: response.StatusCode, status: response.Status}); {
	case response.Header.Get("Server") != ServerHeader:
		return nil, fmt.Errorf("Tracker %s %w: it answered HTTP %s", c.shown, ErrNoRegistration, a.status)
	case a.code == http.StatusNoContent:
		return nil, nil
	case a.code != http.StatusOK:
		a.body, _ = io.ReadAll(io.LimitReader(response.Body, maxBody)) // what has come is shown
		return nil, c.declined(a)
	}
	// Bounded before and after, for a bomb is small at first.
	metainfo, err := unpack(io.LimitReader(watched{response.Body, m}, most), most)
	if m.ctx.Err() != nil {
		return nil, c.unreachable(ctx, m.why(err))
	}
	if err != nil {
		return nil, fmt.Errorf("Torrent %x did not come whole from tracker %s: %w", infohash, c.shown, err)
	}
	return metainfo, nil
}

func unpack(packed io.Reader, most int64) ([]byte, error) {
	r, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(io.LimitReader(r, most+1)); err != nil {
		return nil, err
	}
	if int64(plain.Len()) > most {
		return nil, fmt.Errorf("it has more than %d bytes", most)
	}
	return plain.Bytes(), nil
}

// mover ends an exchange of any length in which nothing has moved for requestTimeout.
type mover struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func newMover(ctx context.Context) *mover {
	m := &mover{}
	m.ctx, m.cancel = context.WithCancelCause(ctx)
	m.timer = time.AfterFunc(requestTimeout, func() { m.cancel(errStalled) })
	return m
}

func (m *mover) stop() {
	m.timer.Stop()
	m.cancel(nil)
}

// why is what has ended the exchange, else err.
func (m *mover) why(err error) error {
	if cause := context.Cause(m.ctx); cause != nil {
		return cause
	}
	return err
}

// watched tells a mover when something moves.
type watched struct {
	io.Reader
	mover *mover
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.mover.timer.Reset(requestTimeout)
	return n, err
}
