package announce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Scrape asks for the numbers of the swarms of infohashes (BEP 48); a torrent that the tracker does
// not know is not in the answer. Errors are those of Announce, and ErrNoScrape.
func (c *Client) Scrape(ctx context.Context, infohashes ...[20]byte) (map[[20]byte]Counts, error) {
	counts, _, err := c.scrape(ctx, infohashes)
	return counts, err
}

// Registered tells whether this project's tracker knows a torrent. Errors are those of Scrape, and ErrNoRegistration of another tracker.
func (c *Client) Registered(ctx context.Context, infohash [20]byte) (bool, error) {
	counts, server, err := c.scrape(ctx, [][20]byte{infohash})
	if err == nil && server != ServerHeader {
		err = fmt.Errorf("Tracker %s %w", c.shown, ErrNoRegistration)
	}
	_, known := counts[infohash]
	return known, err
}

func (c *Client) scrape(ctx context.Context, infohashes [][20]byte) (counts map[[20]byte]Counts, server string, err error) {
	u, err := scrapeURL(c.base)
	if err != nil {
		return nil, "", err
	}
	q := newQuery(u)
	for _, infohash := range infohashes {
		q.add("info_hash", string(infohash[:]))
	}
	u.RawQuery = q.String()
	a, err := c.do(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, "", err
	}
	counts, err = parseScrape(a.body)
	if err != nil || a.code != http.StatusOK {
		return nil, "", c.refused(a, err)
	}
	return counts, a.server, nil
}

func parseScrape(body []byte) (map[[20]byte]Counts, error) {
	var r struct {
		Failure *string            `bencode:"failure reason"`
		Files   *map[string]Counts `bencode:"files"`
	}
	if err := decode(body, &r); err != nil {
		return nil, err
	}
	if r.Failure != nil {
		return nil, failure(*r.Failure)
	}
	if r.Files == nil {
		return nil, errors.New("answer has no files")
	}
	counts := make(map[[20]byte]Counts, len(*r.Files))
	for key, c := range *r.Files {
		if len(key) == 20 {
			counts[[20]byte([]byte(key))] = c
		}
	}
	return counts, nil
}
