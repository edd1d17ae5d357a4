package views

import "time"

// Overview is everything that the overview page shows, at one moment.
type Overview struct {
	Surroundings Surroundings
	Now          time.Time
	Started      time.Time     // since when Total counts
	Window       time.Duration // over what Recent and the families' latencies count: 60 s, less after a start
	Redis        Health
	Database     Health
	Total        Lookups
	Recent       Lookups
	Trend        []Second // one per second of the window, oldest first
	Speedup      Speedup
	Families     []Family
	Scan         Scan
	Action       Action
}

// Surroundings says what the process runs against: what is real, what is
// embedded in it and which delays are emulated. It does not change while the
// process lives.
type Surroundings struct {
	Redis    Part
	Database Part
	Network  Network
}

// Part is Redis or the database. Its description holds no secret.
type Part struct {
	Description string // "Redis at cache.example:6379", "miniredis"
	Embedded    bool   // it lives in this process
	Absent      bool   // none is configured
}

// Network is the network profile. Without a profile name nothing is emulated.
type Network struct {
	Profile        string
	RedisRoundTrip time.Duration
	Origin         map[string]time.Duration // median delay of a load, by family name
}

// Emulated reports whether delays are added.
func (n Network) Emulated() bool {
	return n.Profile != "" && n.Profile != "none" && n.Profile != "live"
}

// State is how well something works.
type State string

// The states of Redis and of the database.
const (
	Available   State = "available"
	Degraded    State = "degraded"
	Unavailable State = "unavailable"
	Absent      State = "not configured"
	Checking    State = "not checked yet"
)

// Health is a state and what it means, as a sentence.
type Health struct {
	State  State
	Detail string
}

// Lookups counts lookups by how they ended.
type Lookups struct {
	Hits       uint64 // from Redis or from the copy in the process
	Misses     uint64
	Stale      uint64 // an old value, because the origin failed
	Bypassed   uint64 // went around the cache
	Unanswered uint64 // Redis did not answer; the origin did the work
}

// All returns the number of lookups, however they ended.
func (l Lookups) All() uint64 {
	return l.Hits + l.Misses + l.Stale + l.Bypassed + l.Unanswered
}

// Ratio returns the hit ratio: hits among the lookups that the cache answered,
// and false when it answered none.
func (l Lookups) Ratio() (float64, bool) {
	answered := l.Hits + l.Misses + l.Stale
	if answered == 0 {
		return 0, false
	}
	return float64(l.Hits) / float64(answered), true
}

// Add returns the sum of two counts.
func (l Lookups) Add(o Lookups) Lookups {
	return Lookups{
		Hits: l.Hits + o.Hits, Misses: l.Misses + o.Misses, Stale: l.Stale + o.Stale,
		Bypassed: l.Bypassed + o.Bypassed, Unanswered: l.Unanswered + o.Unanswered,
	}
}

// Second is what happened within one second.
type Second struct{ Hits, Misses uint64 }

// Latency is a measured duration in seconds; OK is false when nothing was
// measured.
type Latency struct {
	Seconds float64
	OK      bool
}

func (l Latency) String() string { return Seconds(l.Seconds, l.OK) }

// Speedup compares operations without and with the cache.
type Speedup struct {
	Operations []Operation
	// Mean is how many times faster the mean lookup of these operations is than
	// it would be without a cache, at the hit ratio Ratio.
	Mean   float64
	Ratio  float64
	MeanOK bool
}

// Operation is one row of the guide's table of claims.
type Operation struct {
	Title    string
	Of       string // what was measured: a family's metric name, or a path
	Uncached Latency
	Cached   Latency
	Claimed  float64       // the guide's factor
	Emulated time.Duration // the delay added to a load; 0 when none is
}

// Factor returns how many times faster a hit is than a load.
func (o Operation) Factor() (float64, bool) {
	if !o.Uncached.OK || !o.Cached.OK || o.Cached.Seconds <= 0 {
		return 0, false
	}
	return o.Uncached.Seconds / o.Cached.Seconds, true
}

// Family is one row of the table of key families.
type Family struct {
	Name     string // metric label
	Title    string
	Total    Lookups
	Recent   Lookups
	Rate     float64 // lookups per second over the window
	Hit      Quantiles
	Miss     Quantiles
	Keys     Keys
	Problems []string // what is wrong, in words
}

// Quantiles are the median and the 95th percentile.
type Quantiles struct{ P50, P95 Latency }

// Keys is what the last scan found of a family.
type Keys struct {
	Known    bool // a scan has been made
	Count    int64
	Bytes    int64
	Lifetime time.Duration // the longest time that an entry stays in Redis
	Left     [12]int64     // keys by time left, in twelfths of Lifetime, shortest first
}

// Scan describes the scan that key counts come from.
type Scan struct {
	Known        bool
	Age          time.Duration
	Took         time.Duration
	Every        time.Duration
	Scanned      int64 // keys that it read, ogcache's and others'
	Other        int64 // keys that are not ogcache's
	BytesOffered bool
	Memory       string // as the server tells it, "N/A" where it does not
}

// Action is the one thing that an operator has started, or the last one.
type Action struct {
	Title   string // "Warm up everything"; empty before the first
	Running bool
	Done    int64
	Total   int64 // 0 while unknown
	Outcome string
	Failed  bool
	Ended   time.Time
}

// Clearing is what the confirmation of a clear shows.
type Clearing struct {
	Title    string // "everything", "Profile", "keys that start with …"
	Fields   []Field
	Count    int64
	Families []ClearedFamily
	Kept     []string // titles of families that are spared
}

// Field is a form field to send back.
type Field struct{ Name, Value string }

// ClearedFamily is a family that a clear touches, with its keys at the last
// scan, or -1 where no scan tells the number.
type ClearedFamily struct {
	Title, Name string
	Keys        int64
}

// Choice is a family that can be cleared.
type Choice struct{ Name, Title string }

// Assets are the URLs of the static files.
type Assets struct{ Style, Script, Htmx, SSE, Icon string }
