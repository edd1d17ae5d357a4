package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/scenarios"
)

// plan is a run as the command line asks for it.
type plan struct {
	script  string // a name from the table, or a file
	target  string
	redis   string
	db      string
	tokens  string
	mode    string
	traffic scenarios.Params
	rate    float64
	length  time.Duration
	vus     int
	events  int
	json    string
	list    bool
	extra   []string // for k6

	given map[string]bool
}

// parse reads the arguments: flags may stand before and after the script.
func (p *program) parse(args []string) (plan, error) {
	var l plan
	d := scenarios.DefaultParams()
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(&l.list, "list", false, "list the scripts and end")
	fs.StringVar(&l.target, "target", "", "send HTTP requests to this URL")
	fs.StringVar(&l.redis, "redis", "", "use this Redis in process, with --database")
	fs.StringVar(&l.db, "database", "", "use this PostgreSQL in process, with --redis")
	fs.StringVar(&l.tokens, "tokens", "", "file of the users' tokens, as dashboard demo or seed writes it")
	fs.StringVar(&l.mode, "mode", "cached", "cached, baseline (around the cache) or both (by coin)")
	fs.IntVar(&l.traffic.Users, "users", 0, "number of users (default: as many as there are tokens)")
	fs.Float64Var(&l.traffic.Alpha, "alpha", d.Alpha, "exponent of the users' Zipf popularity")
	fs.Float64Var(&l.traffic.ReadShare, "read-share", d.ReadShare, "share of events that read")
	fs.Float64Var(&l.traffic.AbsentShare, "absent-share", d.AbsentShare, "share of look-ups that ask for what does not exist")
	fs.DurationVar(&l.traffic.ThinkTime, "think-time", 0, "pause of a virtual user after each event")
	fs.Uint64Var(&l.traffic.Seed, "seed", d.Seed, "the same seed makes the same events")
	fs.Float64Var(&l.rate, "rate", 0, "events per second, for --duration; else --iterations as fast as --vus can")
	fs.DurationVar(&l.length, "duration", 30*time.Second, "how long, with --rate")
	fs.IntVar(&l.vus, "vus", 20, "virtual users")
	fs.IntVar(&l.events, "iterations", 1000, "how many events, without --rate")
	fs.StringVar(&l.json, "json", "", "write the summary to this file, for machines")

	args, l.extra = split(args)
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprint(p.stdout, "Usage: loadgen run SCRIPT|FILE [FLAGS] [-- K6 ARGUMENTS]\n\n")
				fs.SetOutput(p.stdout)
				fs.PrintDefaults()
				return l, err
			}
			return l, fmt.Errorf("%w: %v; see loadgen run --help", errUsage, err)
		}
		if args = fs.Args(); len(args) > 0 {
			if l.script != "" {
				return l, fmt.Errorf("%w: two scripts, %q and %q", errUsage, l.script, args[0])
			}
			l.script, args = args[0], args[1:]
		}
	}
	l.given = make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { l.given[f.Name] = true })
	return l, nil
}

// split takes off what is meant for k6.
func split(args []string) (own, extra []string) {
	for i, a := range args {
		if a == "--" {
			return args[:i], args[i+1:]
		}
	}
	return args, nil
}

// check finds everything that can be found wrong before k6 starts.
func (l plan) check(ctx context.Context) error {
	own := l.builtIn()
	inProcess := l.redis != "" || l.db != ""
	switch {
	case l.script == "":
		return fmt.Errorf("%w: which script? loadgen run --list lists them", errUsage)
	case l.target != "" && inProcess:
		return fmt.Errorf("%w: give --target, or --redis and --database, not both", errUsage)
	case inProcess && (l.redis == "" || l.db == ""):
		return fmt.Errorf("%w: --redis and --database belong together", errUsage)
	case own && l.target == "" && !inProcess:
		return fmt.Errorf("%w: no target: give --target, or --redis and --database", errUsage)
	case l.mode != "cached" && l.mode != "baseline" && l.mode != "both":
		return fmt.Errorf("%w: --mode is %q; it is cached, baseline or both", errUsage, l.mode)
	case l.rate < 0 || l.length <= 0 || l.vus < 1 || l.events < 1 || l.traffic.Users < 0:
		return fmt.Errorf("%w: --rate, --duration, --vus, --iterations and --users must be positive", errUsage)
	}
	traffic := l.traffic
	traffic.Users = max(traffic.Users, 1)
	if err := traffic.Validate(); err != nil {
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	if l.tokens != "" {
		if _, err := origin.ReadIdentities(l.tokens); err != nil {
			return err
		}
	} else if own && l.script != "menu" {
		return fmt.Errorf("%w: --tokens FILE is needed: dashboard demo and dashboard seed write it", errUsage)
	}
	if !own {
		if _, err := os.Stat(l.script); err != nil {
			return fmt.Errorf("%w: there is no script and no file %q; did you mean %s? loadgen run --list lists the scripts",
				errUsage, l.script, nearest(l.script))
		}
	}
	return l.answers(ctx)
}

func (l plan) builtIn() bool {
	for _, s := range scenarios.Scripts() {
		if s.Name == l.script {
			return true
		}
	}
	return false
}

// answers asks the target whether it is there.
func (l plan) answers(ctx context.Context) error {
	if l.target == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(l.target, "/")+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("%w: --target: %v", errUsage, err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("the target does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the target answers GET /healthz with %s", answer.Status)
	}
	return nil
}

// environment is what scripts and the client read.
func (l plan) environment() []string {
	env := map[string]string{
		"TARGET": l.target, "REDIS": l.redis, "DATABASE": l.db, "TOKENS": l.tokens, "MODE": l.mode,
		"ALPHA":        fmt.Sprint(l.traffic.Alpha),
		"READ_SHARE":   fmt.Sprint(l.traffic.ReadShare),
		"ABSENT_SHARE": fmt.Sprint(l.traffic.AbsentShare),
		"SEED":         strconv.FormatUint(l.traffic.Seed, 10),
		"THINK_TIME":   fmt.Sprint(l.traffic.ThinkTime.Seconds()),
		"VUS":          strconv.Itoa(l.vus),
		"ITERATIONS":   strconv.Itoa(l.events),
	}
	if l.traffic.Users > 0 {
		env["USERS"] = strconv.Itoa(l.traffic.Users)
	}
	if l.rate > 0 {
		env["RATE"], env["DURATION"] = fmt.Sprint(l.rate), l.length.String()
	}
	var list []string
	for name, v := range env {
		list = append(list, name+"="+v)
	}
	return list
}

// nearest returns the script whose name takes the fewest edits to become the
// given one.
func nearest(name string) string {
	best, distance := "", -1
	for _, s := range scenarios.Scripts() {
		if d := edits(name, s.Name); distance < 0 || d < distance {
			best, distance = s.Name, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
