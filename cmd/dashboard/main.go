// Command dashboard serves ogcache and operates its cache.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes, the same in all of ogcache's commands.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 64 // sysexits EX_USAGE
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	p := program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is what a command may touch outside itself.
type program struct {
	stdin          *os.File
	stdout, stderr io.Writer
	env            func(string) (string, bool)
}

// command is one line of the table of subcommands.
type command struct {
	name, args, about string
	run               func(context.Context, *program, []string) error
}

func commands() []command {
	return []command{
		{"demo", "[--addr A] [--traffic off|RATE] [--network none|guide] [--tokens FILE]",
			"serve a live dashboard on embedded parts, with traffic", demo},
		{"serve", "[--addr A]", "serve, configured by the environment (see .env.example)", serve},
		{"migrate", "", "bring ogcache's schema in PostgreSQL up to date", migrate},
		{"outbox", "[on|off] [--json]", "show the outbox of invalidations, or switch its recording", outboxCommand},
		{"seed", "[--users N] [--seed S] --tokens FILE", "fill PostgreSQL with test users and write their tokens", seed},
		{"warmup", "[--menu] [--json]", "load what readers will ask for first", warmup},
		{"stats", "[--json]", "count keys, bytes and lifetimes per family", stats},
		{"clear", "[--prefix P | --family F] [--dry-run] [--yes] [--json]", "remove cached entries, and nothing else", clearKeys},
	}
}

// errUsage is wrapped by errors that are the command line's fault.
var errUsage = errors.New("usage")

func (p *program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		p.help(p.stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		p.help(p.stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, p, args[1:])
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return exitOK
		case errors.Is(err, errUsage):
			fmt.Fprintf(p.stderr, "dashboard %s: %v\n", c.name, strings.TrimPrefix(err.Error(), "usage: "))
			return exitUsage
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			fmt.Fprintf(p.stderr, "dashboard %s: interrupted: %v\n", c.name, err)
			return exitInterrupted
		default:
			fmt.Fprintf(p.stderr, "dashboard %s: %v\n", c.name, err)
			return exitFailed
		}
	}
	fmt.Fprintf(p.stderr, "dashboard: unknown command %q; see dashboard --help\n", args[0])
	return exitUsage
}

func (p *program) help(w io.Writer) {
	fmt.Fprint(w, "Usage: dashboard COMMAND [FLAGS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n           %s\n", c.name, c.about, strings.TrimSpace("dashboard "+c.name+" "+c.args))
	}
	fmt.Fprint(w, "\nExit codes: 0 done, 1 failed, 64 wrong usage, 130 interrupted.\n")
}

// flags returns a flag set that reports mistakes as usage errors.
func (p *program) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse reads the arguments; --help prints the flags.
func (p *program) parse(fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		for _, c := range commands() {
			if c.name == fs.Name() {
				fmt.Fprintf(p.stdout, "Usage: %s\n\n%s.\n\n", strings.TrimSpace("dashboard "+c.name+" "+c.args), c.about)
			}
		}
		fs.SetOutput(p.stdout)
		fs.PrintDefaults()
		return err
	case err != nil:
		return fmt.Errorf("%w: %v; see dashboard %s --help", errUsage, err, fs.Name())
	case fs.NArg() > 0:
		return fmt.Errorf("%w: unexpected argument %q; see dashboard %s --help", errUsage, fs.Arg(0), fs.Name())
	}
	return nil
}
