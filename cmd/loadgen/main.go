// Command loadgen drives realistic traffic at ogcache: k6 with ogcache's
// extension built in. It embeds k6 and is therefore under the AGPL-3.0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"go.k6.io/k6/v2/cmd"

	_ "github.com/oglab/ogcache/xk6-ogcache" // registers k6/x/ogcache
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 64
	exitThreshold   = 99 // k6's: a threshold was crossed
	exitInterrupted = 130
)

// asK6 marks the child process that is k6 itself: k6 ends its process, and
// there is work left to do after it.
const asK6 = "OGCACHE_LOADGEN_AS_K6"

func main() {
	if os.Getenv(asK6) != "" {
		cmd.Execute()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := program{stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is what a command may touch outside itself.
type program struct {
	stdout, stderr io.Writer
}

// command is one line of the table of subcommands. It returns an exit code
// with an error that says why, if it is not 0.
type command struct {
	name, args, about string
	run               func(context.Context, *program, []string) error
}

func commands() []command {
	return []command{
		{"run", "SCRIPT|FILE [FLAGS] [-- K6 ARGUMENTS]", "send a scenario's traffic and say what came back", run},
		{"version", "", "print the version", version},
	}
}

var (
	errUsage       = errors.New("usage")
	errThreshold   = errors.New("a threshold was crossed")
	errInterrupted = errors.New("interrupted")
)

func (p *program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		p.help(p.stderr)
		return exitUsage
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		p.help(p.stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, p, args[1:])
		if err == nil || errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		fmt.Fprintf(p.stderr, "loadgen %s: %s\n", c.name, strings.TrimPrefix(err.Error(), "usage: "))
		return exitCode(err)
	}
	fmt.Fprintf(p.stderr, "loadgen: unknown command %q; see loadgen --help\n", args[0])
	return exitUsage
}

func exitCode(err error) int {
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errThreshold):
		return exitThreshold
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	default:
		return exitFailed
	}
}

func (p *program) help(w io.Writer) {
	fmt.Fprint(w, "Usage: loadgen COMMAND [ARGUMENTS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n           %s\n", c.name, c.about, strings.TrimSpace("loadgen "+c.name+" "+c.args))
	}
	fmt.Fprint(w, "\nExit codes: 0 done, 1 failed, 64 wrong usage, 99 a threshold was crossed, 130 interrupted.\n")
}

func version(_ context.Context, p *program, _ []string) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this program was built without build information")
	}
	fmt.Fprintf(p.stdout, "loadgen %s, %s", info.Main.Version, info.GoVersion)
	for _, d := range info.Deps {
		if d.Path == "go.k6.io/k6/v2" {
			fmt.Fprintf(p.stdout, ", k6 %s", d.Version)
		}
	}
	fmt.Fprintln(p.stdout)
	return nil
}
