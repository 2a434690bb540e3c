package module

import (
	"runtime"
	"runtime/debug"
)

// workingMemory is how many bytes a daemon may use for pieces under way and messages.
const workingMemory = 38 << 20

// boundMemory makes the collector work harder rather than let a daemon grow with the size of the artifact: without
// it, the garbage of a fast download may be as big again as what is in use. What the torrent itself takes, which for
// 200,000 files is much, is left out of account.
func boundMemory() {
	runtime.GC() // what reading the torrent took is not in use any more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetMemoryLimit(int64(m.Sys-m.HeapReleased-m.HeapIdle) + workingMemory)
}
