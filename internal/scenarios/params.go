package scenarios

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Params describe traffic.
type Params struct {
	// Users is how many users there are, 1 to 10,000,000.
	Users int `json:"users"`
	// Alpha is the exponent of the users' Zipf popularity, 0 (all alike) to 5.
	Alpha float64 `json:"alpha"`
	// ReadShare is the share of events that read, 0 to 1.
	ReadShare float64 `json:"readShare"`
	// AbsentShare is the share of look-ups by id that ask for one that does not
	// exist, 0 to 1.
	AbsentShare float64 `json:"absentShare"`
	// ThinkTime is the pause of a virtual user after each event.
	ThinkTime time.Duration `json:"thinkTime"`
	// Seed chooses the traffic: the same seed gives the same events.
	Seed uint64 `json:"seed"`
	// Operation makes every event this one; "" is the mix.
	Operation Operation `json:"operation,omitempty"`
}

// DefaultParams are 2,000 users with the medians of Twitter's 54 cache clusters
// for popularity and read share (Yang, Yue, Rashmi: OSDI 2020).
func DefaultParams() Params {
	return Params{Users: 2000, Alpha: 1.21, ReadShare: 0.86, AbsentShare: 0.01, Seed: 1}
}

// maxUsers bounds the table of popularities to 80 MB.
const maxUsers = 10_000_000

// Validate returns all that is wrong with the parameters, joined.
func (p Params) Validate() error {
	var errs []error
	if p.Users < 1 || p.Users > maxUsers {
		errs = append(errs, fmt.Errorf("users is %d; it is 1 to %d", p.Users, maxUsers))
	}
	if !within(p.Alpha, 5) {
		errs = append(errs, fmt.Errorf("alpha is %v; it is 0 to 5", p.Alpha))
	}
	if !within(p.ReadShare, 1) {
		errs = append(errs, fmt.Errorf("read share is %v; it is 0 to 1", p.ReadShare))
	}
	if !within(p.AbsentShare, 1) {
		errs = append(errs, fmt.Errorf("absent share is %v; it is 0 to 1", p.AbsentShare))
	}
	if p.ThinkTime < 0 {
		errs = append(errs, fmt.Errorf("think time is %v; it must not be negative", p.ThinkTime))
	}
	if p.Operation != "" {
		if _, err := ParseOperation(string(p.Operation)); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func within(x, most float64) bool { return !math.IsNaN(x) && x >= 0 && x <= most }
