package keyspace

import "github.com/prometheus/client_golang/prometheus"

var (
	keysDesc = prometheus.NewDesc("ogcache_keys",
		"Keys in Redis, as of the latest scan.", []string{"family"}, nil)
	memoryDesc = prometheus.NewDesc("ogcache_memory_bytes",
		"Memory of the keys in Redis, as of the latest scan; absent where the server does not tell.", []string{"family"}, nil)
	noExpiryDesc = prometheus.NewDesc("ogcache_keys_without_expiry",
		"Keys that never expire, as of the latest scan.", []string{"family"}, nil)
	scannedDesc = prometheus.NewDesc("ogcache_keyspace_scan_timestamp_seconds",
		"When the latest scan of the keys ended, in Unix time.", nil, nil)
	tookDesc = prometheus.NewDesc("ogcache_keyspace_scan_duration_seconds",
		"How long the latest scan of the keys took.", nil, nil)
)

var _ prometheus.Collector = (*Reader)(nil)

// Describe implements prometheus.Collector.
func (r *Reader) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{keysDesc, memoryDesc, noExpiryDesc, scannedDesc, tookDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It reads the latest snapshot and
// never asks Redis.
func (r *Reader) Collect(ch chan<- prometheus.Metric) {
	s, ok := r.Latest()
	if !ok {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for name, f := range s.Families {
		gauge(keysDesc, float64(f.Keys), name)
		gauge(noExpiryDesc, float64(f.NoExpiry), name)
		if s.BytesOffered {
			gauge(memoryDesc, float64(f.Bytes), name)
		}
	}
	gauge(scannedDesc, float64(s.TakenAt.UnixMilli())/1000)
	gauge(tookDesc, s.Took.Seconds())
}
