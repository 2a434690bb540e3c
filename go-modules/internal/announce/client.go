package announce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"corvus.murder/internal/dial"
)

const (
	handshakeTimeout = 5 * time.Second  // that of TLS
	requestTimeout   = 15 * time.Second // a whole exchange
	maxHeader        = 16 << 10
	maxBody          = 1 << 20
	maxRedirects     = 3
	maxShown         = 80  // bytes of a strange answer in an error
	maxReason        = 500 // bytes of a tracker's failure reason or warning
)

// ServerHeader is the value of the HTTP header "Server" by which this project's tracker is known.
const ServerHeader = "corvus.murder"

// Client talks to one tracker. It is safe for concurrent use and keeps nothing open between calls.
type Client struct {
	base  *url.URL
	shown string // base without its query
	token string
	http  *http.Client
}

// New makes a client of the tracker at base: "host:port", "[IPv6]:port" or an announce URL, whose
// query (a passkey, say) is kept. A token is sent as bearer token. A valid local address is where
// connections are made from. Proxies of the environment are not used: a tracker is in the fleet's network.
func New(base, token string, local netip.Addr) (*Client, error) {
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	shown := *u
	shown.RawQuery = ""
	return &Client{
		base:  u,
		shown: shown.String(),
		token: token,
		http: &http.Client{
			CheckRedirect: func(_ *http.Request, via []*http.Request) error {
				if len(via) > maxRedirects {
					return fmt.Errorf("redirected more than %d times", maxRedirects)
				}
				return nil
			},
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
					return dial.TCP(ctx, local, addr)
				},
				TLSHandshakeTimeout:    handshakeTimeout,
				MaxResponseHeaderBytes: maxHeader,
				DisableCompression:     true,
				// Announces are seconds apart: a connection kept open would cost the tracker a descriptor for every peer.
				DisableKeepAlives: true,
			},
		},
	}, nil
}

// URL is the announce URL without its query, fit for logs and messages.
func (c *Client) URL() string { return c.shown }

// AnnounceURL is the whole announce URL, as it stands in a torrent. Its query may hold a secret.
func (c *Client) AnnounceURL() string { return c.base.String() }

// Announce tells the tracker of a peer and returns what it answered. The error is a *Unreachable, a
// *NotTracker, a Failure (all by errors.As) or that of ctx; without a deadline of ctx it takes at most 15 s.
func (c *Client) Announce(ctx context.Context, r Request) (Response, error) {
	u := *c.base
	q := newQuery(&u)
	q.add("info_hash", string(r.Infohash[:]))
	q.add("peer_id", string(r.PeerID[:]))
	q.addInt("port", int64(r.Port))
	q.addInt("uploaded", r.Uploaded)
	q.addInt("downloaded", r.Downloaded)
	q.addInt("left", r.Left)
	q.addInt("compact", 1)
	if r.IP != "" {
		q.add("ip", r.IP)
	}
	if r.Event != None {
		q.add("event", string(r.Event))
	}
	if r.NumWant != 0 {
		q.addInt("numwant", int64(max(r.NumWant, 0)))
	}
	if r.Away > 0 {
		q.addInt("away", int64(r.Away))
	}
	if r.Origin {
		q.addInt("origin", 1)
	}
	u.RawQuery = q.String()
	a, err := c.do(ctx, http.MethodGet, &u, nil)
	if err != nil {
		return Response{}, err
	}
	response, err := parseAnnounce(a.body)
	if err != nil || a.code != http.StatusOK {
		return Response{}, c.refused(a, err)
	}
	return response, nil
}

// answer is what came back over HTTP, with its body bounded.
type answer struct {
	code   int
	status string
	server string
	body   []byte
}

func (c *Client) do(ctx context.Context, method string, u *url.URL, body []byte) (answer, error) {
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.send(bounded, method, u, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return answer{}, c.unreachable(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() // read only: nothing is lost with it
	a := answer{code: response.StatusCode, status: response.Status, server: response.Header.Get("Server")}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return answer{}, c.unreachable(ctx, err)
	}
	if len(a.body) > maxBody {
		return answer{}, c.notTracker(a, fmt.Errorf("more than %d bytes", maxBody))
	}
	return a, nil
}

// send sends a request with size bytes of body and returns when the answer begins. Its error is that of net/http.
func (c *Client) send(ctx context.Context, method string, u *url.URL, body io.Reader, size int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = size
	request.Header.Set("User-Agent", ServerHeader)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(request)
}

// bare strips the URL that net/http puts into its errors: its query may hold a secret.
func bare(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask tracker %s: %w", c.shown, context.Cause(ctx))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no whole answer within %v: %w", requestTimeout, context.DeadlineExceeded)
	}
	return &Unreachable{URL: c.shown, Err: bare(err)}
}

func (c *Client) notTracker(a answer, err error) error {
	return &NotTracker{URL: c.shown, Status: a.status, Body: printable(string(a.body), maxShown), Err: err}
}

// refused makes the error of an answer that is no success. Some trackers send their failure reason
// with a status other than 200, so the reason counts for more than the status.
func (c *Client) refused(a answer, err error) error {
	var failure Failure
	if errors.As(err, &failure) {
		return fmt.Errorf("Tracker %s refused: %w", c.shown, failure)
	}
	if a.code != http.StatusOK {
		err = nil
	}
	return c.notTracker(a, err)
}
