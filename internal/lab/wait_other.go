//go:build !linux

package lab

import "time"

// waitUntil returns at the time, late by what the runtime's timers are late.
func waitUntil(t time.Time) { time.Sleep(time.Until(t)) }
