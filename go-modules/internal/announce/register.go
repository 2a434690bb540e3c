package announce

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// TorrentsPath is the path, beside the announce path, below which this project's tracker keeps its
// registered torrents, each by its infohash in hex.
const TorrentsPath = "torrents"

// Withdrawal is the body of a request that ends a registration.
type Withdrawal struct {
	// Reason is the failure reason that later announces get.
	Reason string `json:"reason"`
}

// RegistrationError is the body of a refused registration or withdrawal.
type RegistrationError struct {
	Error string `json:"error"`
}

// Register makes the tracker accept announces for a torrent. Registering the same torrent again is
// no error. A tracker without registration gives ErrNoRegistration; other errors are those of Announce.
func (c *Client) Register(ctx context.Context, t Torrent) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("register torrent %x: %w", t.Infohash, err)
	}
	return c.manage(ctx, http.MethodPut, t.Infohash, t)
}

// MaxReason is the most bytes of a withdrawal's reason that a tracker takes.
const MaxReason = 400

// Withdraw ends the registration of a torrent: its swarm is forgotten and later announces get reason
// as failure reason, without its middle where it is longer than MaxReason. A torrent that is not registered gives a Failure.
func (c *Client) Withdraw(ctx context.Context, infohash [20]byte, reason string) error {
	return c.manage(ctx, http.MethodDelete, infohash, Withdrawal{Reason: middleOut(reason, MaxReason)})
}

// middleOut leaves out the middle of a text that has more than limit bytes: in an error that is part of a path.
func middleOut(s string, limit int) string {
	const gap = " ... "
	if s = strings.ToValidUTF8(s, "?"); len(s) <= limit {
		return s
	}
	half := (limit - len(gap)) / 2
	return strings.ToValidUTF8(s[:half], "") + gap + strings.ToValidUTF8(s[len(s)-half:], "")
}

func (c *Client) manage(ctx context.Context, method string, infohash [20]byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode torrent %x: %w", infohash, err)
	}
	a, err := c.do(ctx, method, sibling(c.base, TorrentsPath, hex.EncodeToString(infohash[:])), body)
	switch {
	case err != nil:
		return err
	case a.server != ServerHeader:
		return fmt.Errorf("Tracker %s %w: it answered HTTP %s", c.shown, ErrNoRegistration, a.status)
	case a.code == http.StatusOK || a.code == http.StatusCreated || a.code == http.StatusNoContent:
		return nil
	}
	return c.declined(a)
}

// declined makes the error of our tracker's answer that is no success.
func (c *Client) declined(a answer) error {
	var refusal RegistrationError
	if json.Unmarshal(a.body, &refusal) != nil || refusal.Error == "" {
		return c.notTracker(a, nil)
	}
	return c.refused(a, failure(refusal.Error))
}
