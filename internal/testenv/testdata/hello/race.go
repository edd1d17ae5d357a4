//go:build race

package main

const detector = "race detector"
