package announce

import (
	"net/netip"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client makes a client that must be made.
func client(t *testing.T, base, token string) *Client {
	t.Helper()
	c, err := New(base, token, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
