package lab

import (
	"syscall"
	"time"
)

// waitUntil returns at the time, late by some 0.1 ms. The runtime's own timers
// are late by up to 1 ms, which is most of a Redis round trip, so the last part
// is left to the kernel's.
func waitUntil(t time.Time) {
	const coarse = 2 * time.Millisecond
	if left := time.Until(t); left > coarse {
		time.Sleep(left - coarse)
	}
	for left := time.Until(t); left > 0; left = time.Until(t) {
		span := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&span, nil) // interrupted: the loop sleeps on
	}
}
