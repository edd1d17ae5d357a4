package testenv

import (
	"bytes"
	"strings"
	"sync"
)

// output keeps what a process printed, and tells who waits that there is more.
type output struct {
	mu     sync.Mutex
	stdout bytes.Buffer
	lines  []string           // complete lines of both streams, in order of arrival
	rest   map[*stream][]byte // the unfinished last line of each stream
	more   chan struct{}      // closed and replaced when lines grow
	ended  bool
}

// stream is one of an output's two ends.
type stream struct {
	to   *output
	keep *bytes.Buffer // may be nil
}

func newOutput() (o *output, stdout, stderr *stream) {
	o = &output{more: make(chan struct{}), rest: map[*stream][]byte{}}
	return o, &stream{to: o, keep: &o.stdout}, &stream{to: o}
}

// Write never fails.
func (s *stream) Write(p []byte) (int, error) {
	o := s.to
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.keep != nil {
		s.keep.Write(p)
	}
	text := append(o.rest[s], p...)
	grown := false
	for {
		line, after, found := bytes.Cut(text, []byte("\n"))
		if !found {
			break
		}
		o.lines = append(o.lines, strings.TrimSuffix(string(line), "\r"))
		text, grown = after, true
	}
	o.rest[s] = bytes.Clone(text)
	if grown {
		o.wake()
	}
	return len(p), nil
}

func (o *output) wake() {
	close(o.more)
	o.more = make(chan struct{})
}

// end makes unfinished lines complete. Nothing is written afterwards.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rest := range o.rest {
		if len(rest) > 0 {
			o.lines = append(o.lines, string(rest))
		}
	}
	clear(o.rest)
	o.ended = true
	o.wake()
}

// from returns the lines from the n-th on, whether they are all there will be,
// and a channel that closes when there are more.
func (o *output) from(n int) (lines []string, ended bool, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines[n:len(o.lines):len(o.lines)], o.ended, o.more
}

func (o *output) String() string {
	lines, _, _ := o.from(0)
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	for _, rest := range o.rest {
		b.Write(rest)
	}
	return b.String()
}
