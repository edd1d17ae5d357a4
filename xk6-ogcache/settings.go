package ogcache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/oglab/ogcache/internal/scenarios"
)

// settings are the argument of new Client(…); index.d.ts documents them.
type settings struct {
	Target      string  `json:"target"`
	Redis       string  `json:"redis"`
	Database    string  `json:"database"`
	Lab         bool    `json:"lab"`
	Tokens      string  `json:"tokens"`
	Operation   string  `json:"operation"`
	Mode        string  `json:"mode"`
	Users       int     `json:"users"` // 0: as many as there are tokens
	Alpha       float64 `json:"alpha"`
	ReadShare   float64 `json:"readShare"`
	AbsentShare float64 `json:"absentShare"`
	Seed        uint64  `json:"seed"`
}

// Modes: through the cache, around it, or one of the two by coin.
const (
	modeCached   = "cached"
	modeBaseline = "baseline"
	modeBoth     = "both"
)

// parseSettings reads a script's settings. What the script leaves out, or gives
// as undefined, comes from the environment, and else from the model's defaults.
func parseSettings(given any, env map[string]string) (settings, error) {
	p := scenarios.DefaultParams()
	s := settings{Mode: modeCached, Alpha: p.Alpha, ReadShare: p.ReadShare, AbsentShare: p.AbsentShare, Seed: p.Seed}
	if err := s.fromEnvironment(env); err != nil {
		return settings{}, err
	}
	if given != nil {
		object, err := json.Marshal(given)
		if err != nil {
			return settings{}, fmt.Errorf("the settings cannot be read: %w", err)
		}
		d := json.NewDecoder(bytes.NewReader(object))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			return settings{}, fmt.Errorf("the settings are wrong: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	return s, s.validate()
}

func (s *settings) fromEnvironment(env map[string]string) error {
	texts := map[string]*string{
		"TARGET": &s.Target, "REDIS": &s.Redis, "DATABASE": &s.Database, "TOKENS": &s.Tokens, "MODE": &s.Mode,
	}
	for name, field := range texts {
		if v := env[name]; v != "" {
			*field = v
		}
	}
	numbers := map[string]func(string) error{
		"USERS":        func(v string) (err error) { s.Users, err = strconv.Atoi(v); return err },
		"ALPHA":        func(v string) (err error) { s.Alpha, err = strconv.ParseFloat(v, 64); return err },
		"READ_SHARE":   func(v string) (err error) { s.ReadShare, err = strconv.ParseFloat(v, 64); return err },
		"ABSENT_SHARE": func(v string) (err error) { s.AbsentShare, err = strconv.ParseFloat(v, 64); return err },
		"SEED":         func(v string) (err error) { s.Seed, err = strconv.ParseUint(v, 10, 64); return err },
	}
	var errs []error
	for name, set := range numbers {
		if v := env[name]; v != "" {
			if err := set(v); err != nil {
				errs = append(errs, fmt.Errorf("the environment's %s is %q, not a number", name, v))
			}
		}
	}
	return errors.Join(errs...)
}

func (s settings) validate() error {
	targets := 0
	for _, given := range []bool{s.Target != "", s.Redis != "" || s.Database != "", s.Lab} {
		if given {
			targets++
		}
	}
	switch {
	case targets == 0:
		return errors.New("no target: give target, or redis and database, or lab")
	case targets > 1:
		return errors.New("more than one target: give target, or redis and database, or lab")
	case (s.Redis == "") != (s.Database == ""):
		return errors.New("redis and database belong together")
	case s.Target != "" && !strings.HasPrefix(s.Target, "http://") && !strings.HasPrefix(s.Target, "https://"):
		return fmt.Errorf("target is %q; it starts with http:// or https://", s.Target)
	case s.Mode != modeCached && s.Mode != modeBaseline && s.Mode != modeBoth:
		return fmt.Errorf("mode is %q; it is %s, %s or %s", s.Mode, modeCached, modeBaseline, modeBoth)
	}
	return s.params(max(s.Users, 1)).Validate()
}

func (s settings) params(users int) scenarios.Params {
	return scenarios.Params{
		Users: users, Alpha: s.Alpha, ReadShare: s.ReadShare, AbsentShare: s.AbsentShare,
		Seed: s.Seed, Operation: scenarios.Operation(s.Operation),
	}
}
