package swarm

import "testing"

// Sender is sendfile(2).
type Sender = sender

// WatchSendfile puts a function around every sendfile(2) of a swarm until the test ends. It comes before the first swarm
// is started.
func WatchSendfile(t *testing.T, around func(Sender) Sender) {
	filed, fresh := sendFiled, sendFresh
	sendFiled, sendFresh = around(filed), around(fresh)
	t.Cleanup(func() { sendFiled, sendFresh = filed, fresh })
}
