package tracker

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"time"
)

// shownPeers bounds the rows of a torrent on the page: a browser that reloads thousands shows nothing.
const shownPeers = 1000

const pageHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<title>Tracker</title>
<style>
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border-bottom: 1px solid #ccc; padding: 0.2em 0.8em; text-align: right; }
th:first-child, td:first-child { text-align: left; }
code { font-size: 90%; }
</style>
</head>
<body>
<h1>Tracker</h1>
`

// page is the status as HTML. It is written by hand because html/template alone makes the program a
// third larger, which the controller sends to every host: a package that looks methods up by name
// keeps the linker from dropping any.
type page struct{ bytes.Buffer }

// add writes a format whose string arguments are escaped.
func (p *page) add(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = html.EscapeString(s)
		}
	}
	fmt.Fprintf(p, format, args...)
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	p := s.statusFor(r).page()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if _, err := w.Write(p.Bytes()); err != nil {
		s.log.Debug("status page not sent", "source", r.RemoteAddr, "error", err)
	}
}

func (s Status) page() *page {
	p := &page{}
	p.WriteString(pageHead)
	p.add("<p>%d torrents, %d announces since %s, %s sent by peers", len(s.Torrents), s.Announces,
		s.Started.Format("2006-01-02 15:04:05 MST"), readable(s.Uploaded))
	if s.Expect > 0 {
		p.add(", %d peers expected", s.Expect)
	}
	p.add(".\nThe same for programs: <a href=\"status.json\">status.json</a></p>\n")
	for _, t := range s.Torrents {
		p.torrent(t, s.Time)
	}
	if len(s.Torrents) == 0 {
		p.add("<p>No torrent is registered: start a seeder.</p>\n")
	}
	p.add("</body>\n</html>\n")
	return p
}

func (p *page) torrent(t TorrentStatus, now time.Time) {
	p.add("<h2>%s</h2>\n<p>", t.Name)
	if t.Infohash != "" {
		p.add("<code>%s</code>, ", t.Infohash)
	}
	p.add("%s in %d pieces of %s,\nregistered %v ago", readable(t.Size), t.Pieces, readable(t.PieceLength), ago(now, t.Registered))
	if t.Withdrawn != "" {
		p.add(", withdrawn: %s", t.Withdrawn)
	}
	p.add("</p>\n<p>%d seeders, %d leechers, %d completed;\n%s sent and %s received in all; a peer announces every %v s</p>\n",
		t.Seeders, t.Leechers, t.Completed, readable(t.Uploaded), readable(t.Downloaded), t.Interval)
	if len(t.Peers) == 0 {
		return
	}
	p.add("<table>\n<tr><th>peer</th><th>left</th><th>sent</th><th>received</th><th>last seen</th></tr>\n")
	for _, peer := range t.Peers[:min(len(t.Peers), shownPeers)] {
		p.add("<tr><td>%s</td><td>%.1f %%</td><td>%s</td><td>%s</td><td>%v ago</td></tr>\n", peer.Address, peer.LeftPercent,
			readable(peer.Uploaded), readable(peer.Downloaded), ago(now, peer.LastSeen))
	}
	p.add("</table>\n")
	if more := len(t.Peers) - shownPeers; more > 0 {
		p.add("<p>%d more peers are in status.json</p>\n", more)
	}
}

func ago(now, then time.Time) time.Duration { return now.Sub(then).Round(time.Second) }
