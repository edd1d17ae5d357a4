package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserTimeout bounds everything that a test does in one browser.
const browserTimeout = 3 * time.Minute

// Chromium starts a headless browser with a new profile and returns the
// context of its tab for chromedp. When the test ends the browser does, and
// every error on the tab's console, uncaught exception, failed request and
// violation of the content security policy fails the test. Only loopback can
// be reached. Flags add to the browser's own or override them
// ("--window-size=1024,700").
func Chromium(tb testing.TB, flags ...string) context.Context {
	tb.Helper()
	path := chromium.mustFind(tb)
	// Not tb.TempDir: the browser's helpers may write for a moment after it has ended.
	profile, err := os.MkdirTemp("", "ogcache-chromium-")
	if err != nil {
		tb.Fatal("testenv: making a browser profile: ", err)
	}
	args := append([]string{
		"--headless", "--disable-gpu", "--no-first-run", "--no-default-browser-check",
		// Containers seldom allow the sandbox; only the tests' own pages are shown.
		"--no-sandbox", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
		"--disable-extensions", "--disable-breakpad", "--disable-crash-reporter", "--metrics-recording-only",
		"--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
		"--password-store=basic", "--force-color-profile=srgb",
		// A window that is never shown counts as hidden and would be slowed down.
		"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
		"--window-size=1280,900", "--user-data-dir=" + profile, "--remote-debugging-port=0",
	}, flags...)
	out, stdout, stderr := newOutput()
	cmd := exec.Command(path, append(args, "about:blank")...)
	cmd.Env = append(os.Environ(), "HOME="+profile, "TMPDIR="+profile)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	child, err := launch(cmd, syscall.SIGKILL)
	if err != nil {
		tb.Fatal("testenv: ", err)
	}

	parent, cancel := context.WithTimeout(context.Background(), browserTimeout)
	stop := func() {
		child.stop(syscall.SIGTERM, 10*time.Second)
		cancel()
		if err := removeAll(profile); err != nil {
			tb.Errorf("testenv: removing the browser's profile: %v", err)
		}
	}
	address, err := debuggerAddress(parent, child, profile)
	if err != nil {
		stop()
		tb.Fatalf("testenv: starting %s: %v\n%s", path, err, out)
	}
	allocator, _ := chromedp.NewRemoteAllocator(parent, address, chromedp.NoModifyURL)
	// The browser may be newer than the protocol's bindings, which then complain
	// about values that they do not know in events that no test reads.
	ctx, cancelTab := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	console := &console{}
	chromedp.ListenTarget(ctx, console.listen)
	if err := chromedp.Run(ctx); err != nil {
		cancelTab()
		stop()
		tb.Fatalf("testenv: connecting to %s: %v\n%s", path, err, out)
	}
	tb.Cleanup(func() {
		complaints, err := console.close(ctx)
		for _, complaint := range complaints {
			tb.Errorf("browser console: %s", complaint)
		}
		if err != nil {
			tb.Errorf("testenv: reading the browser's console to its end: %v", err)
		}
		cancelTab()
		stop()
	})
	return ctx
}

// debuggerAddress returns where the browser takes commands. It writes that
// into its profile once it does.
func debuggerAddress(ctx context.Context, c *child, profile string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var address string
	err := c.ready(ctx, func(context.Context) error {
		b, err := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
		if err != nil {
			return err
		}
		port, path, found := strings.Cut(strings.TrimSpace(string(b)), "\n")
		if !found {
			return fmt.Errorf("DevToolsActivePort holds only %q", b)
		}
		address = "ws://127.0.0.1:" + port + path
		return nil
	})
	return address, err
}

// removeAll removes a directory in which something may still be written.
func removeAll(dir string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := os.RemoveAll(dir)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}
