package module

import (
	"runtime"
	"runtime/debug"
)

const (
	// workingMemory is how many bytes a daemon may use for pieces under way and messages.
	workingMemory = 38 << 20
	// worthCollecting is from how many bytes on what reading the torrent took is worth a collection. One costs 6 ms at a daemon's start,
	// a quarter of all that the start takes, for the runtime then needs memory for all its lists.
	worthCollecting = 4 << 20
)

// boundMemory makes the collector work harder rather than let a daemon grow with the size of the artifact: without
// it, the garbage of a fast download may be as big again as what is in use. What the torrent itself takes, which for
// 200,000 files is much, is left out of account.
func boundMemory() {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc > worthCollecting {
		runtime.GC() // what reading the torrent took is not in use any more
		runtime.ReadMemStats(&m)
	}
	debug.SetMemoryLimit(int64(m.Sys-m.HeapReleased-m.HeapIdle) + workingMemory)
}
