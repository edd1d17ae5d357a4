package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// console collects what a page complains about.
type console struct {
	mu         sync.Mutex
	complaints []string
}

func (c *console) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeAssert {
			c.add("%s: %s", e.Type, text(e.Args))
		}
	case *runtime.EventExceptionThrown:
		c.add("%s in %s", e.ExceptionDetails.Error(), e.ExceptionDetails.URL)
	case *log.EventEntryAdded:
		// What the browser itself says: blocked by the policy, not found, refused.
		if e.Entry.Level == log.LevelError {
			c.add("%s: %s (%s:%d)", e.Entry.Source, e.Entry.Text, e.Entry.URL, e.Entry.LineNumber+1)
		}
	}
}

func (c *console) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.complaints = append(c.complaints, fmt.Sprintf(format, args...))
}

// close returns the complaints up to now. Events and answers come in order, so
// that everything before the answer asked for here has been listened to.
func (c *console) close(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := chromedp.Run(ctx, chromedp.Evaluate("0", nil))
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.complaints, err
}

// text renders arguments of a console call roughly as the console does.
func text(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		var s string
		switch {
		case a.Description != "":
			s = a.Description
		case json.Unmarshal(a.Value, &s) != nil:
			s = string(a.Value)
		}
		words = append(words, s)
	}
	return strings.Join(words, " ")
}
