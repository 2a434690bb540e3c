package artifact

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestTorrentCarriesTheChecksumOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"", "hello", string(make([]byte, 3*MinPieceLength+5))} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		want, err := Checksum(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		torrent, _, err := Build(context.Background(), path, BuildOptions{PieceLength: MinPieceLength})
		if err != nil || torrent.Checksum() != want {
			t.Errorf("%d bytes: checksum is %q (%v), want %s", len(content), torrent.Checksum(), err, want)
		}
	}
	tree, _, err := Build(context.Background(), filepath.Dir(path), BuildOptions{})
	if err != nil || tree.Checksum() != "" {
		t.Errorf("a tree has the checksum %q (%v)", tree.Checksum(), err)
	}
}
