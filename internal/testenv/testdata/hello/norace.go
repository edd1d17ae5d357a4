//go:build !race

package main

const detector = "no race detector"
