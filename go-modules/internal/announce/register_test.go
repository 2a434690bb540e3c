package announce

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

var sample = Torrent{Infohash: [20]byte{0xab, 0xcd}, Name: "artifact", Size: 100, PieceLength: 16, Pieces: 7}

func TestRegisterAndWithdraw(t *testing.T) {
	var seen []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Method+" "+r.URL.Path+" "+string(body)+" "+r.Header.Get("Authorization"))
		w.Header().Set("Server", ServerHeader)
		w.WriteHeader(http.StatusNoContent)
	})
	c := client(t, server.URL, "secret")
	if err := c.Register(t.Context(), sample); err != nil {
		t.Fatal(err)
	}
	if err := c.Withdraw(t.Context(), sample.Infohash, "over"); err != nil {
		t.Fatal(err)
	}
	path := "/torrents/abcd" + strings.Repeat("0", 36)
	want := []string{
		"PUT " + path + ` {"name":"artifact","size":100,"piece_length":16,"pieces":7} Bearer secret`,
		"DELETE " + path + ` {"reason":"over"} Bearer secret`,
	}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("requests %q, want %q", seen, want)
	}
}

func TestRegistrationRefused(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", ServerHeader)
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(RegistrationError{Error: "is full"})
	})
	err := client(t, server.URL, "").Register(t.Context(), sample)
	var f Failure
	if !errors.As(err, &f) || f.Reason != "is full" {
		t.Errorf("error %v, want the tracker's reason", err)
	}
}

func TestForeignTrackerHasNoRegistration(t *testing.T) {
	for _, status := range []int{200, 400, 404, 405, 501} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		c := client(t, server.URL, "")
		if err := c.Register(t.Context(), sample); !errors.Is(err, ErrNoRegistration) {
			t.Errorf("Register with status %d: %v", status, err)
		}
		if err := c.Withdraw(t.Context(), sample.Infohash, ""); !errors.Is(err, ErrNoRegistration) {
			t.Errorf("Withdraw with status %d: %v", status, err)
		}
	}
}

func TestRegisterUnreachable(t *testing.T) {
	err := client(t, closedPort(t), "").Register(t.Context(), sample)
	var unreachable *Unreachable
	if !errors.As(err, &unreachable) || errors.Is(err, ErrNoRegistration) {
		t.Errorf("error %v, want an Unreachable", err)
	}
}

func TestTorrentValidate(t *testing.T) {
	for _, tt := range []struct {
		torrent Torrent
		want    string
	}{
		{Torrent{Name: "a", Size: 100, PieceLength: 16, Pieces: 7}, ""},
		{Torrent{Name: "a", Size: 0, PieceLength: 16, Pieces: 0}, ""},
		{Torrent{Name: "a", Size: 1<<63 - 1, PieceLength: 1, Pieces: 1<<63 - 1}, ""},
		{Torrent{Size: 1, PieceLength: 1, Pieces: 1}, "name has 0 bytes"},
		{Torrent{Name: strings.Repeat("a", 1025), PieceLength: 1}, "name has 1025 bytes"},
		{Torrent{Name: "a", Size: -1, PieceLength: 1}, "size is -1"},
		{Torrent{Name: "a", Size: 1, PieceLength: 0}, "piece_length is 0"},
		{Torrent{Name: "a", Size: 100, PieceLength: 16, Pieces: 6}, "pieces is 6; 100 bytes in pieces of 16 bytes make 7"},
	} {
		err := tt.torrent.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Validate(%+v) = %v, want %q", tt.torrent, err, tt.want)
		}
	}
	if err := client(t, "tracker:1", "").Register(t.Context(), Torrent{Name: "a"}); err == nil || !strings.Contains(err.Error(), "piece_length is 0") {
		t.Errorf("Register of a bad torrent: %v", err)
	}
}

func TestMiddleOut(t *testing.T) {
	for given, want := range map[string]string{
		"short":                  "short",
		"Source /a/bbbb changed": "Source  ... changed",
		"Source /\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4 changed": "Source  ... changed",
		"\xff\xff": "?",
	} {
		if got := middleOut(given, 19); got != want {
			t.Errorf("%q became %q, want %q", given, got, want)
		}
	}
}
