package testenv

import (
	"io"
	"slices"
	"testing"
)

func TestOutputSplitsLines(t *testing.T) {
	o, stdout, stderr := newOutput()
	for _, w := range []struct {
		to   io.Writer
		text string
	}{
		{stdout, "on"}, {stderr, "warn"}, {stdout, "e\r\ntwo\nth"}, {stderr, "ing\n"}, {stdout, "ree"},
	} {
		if n, err := io.WriteString(w.to, w.text); err != nil || n != len(w.text) {
			t.Fatalf("writing %q: %d, %v", w.text, n, err)
		}
	}
	lines, ended, more := o.from(0)
	if want := []string{"one", "two", "warning"}; !slices.Equal(lines, want) || ended {
		t.Errorf("got %q, ended %v, want %q, false", lines, ended, want)
	}
	if got, want := o.String(), "one\ntwo\nwarning\nthree"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	o.end()
	select {
	case <-more:
	default:
		t.Error("the end woke nobody")
	}
	lines, ended, _ = o.from(3)
	if want := []string{"three"}; !slices.Equal(lines, want) || !ended {
		t.Errorf("after the end: got %q, ended %v, want %q, true", lines, ended, want)
	}
	if got, want := o.stdout.String(), "one\r\ntwo\nthree"; got != want {
		t.Errorf("stdout = %q, want %q", got, want)
	}
}
