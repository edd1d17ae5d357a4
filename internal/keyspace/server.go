package keyspace

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Server is what Redis says of itself. What it does not tell is "N/A".
type Server struct {
	TotalKeys int64
	Memory    string // "1.2M"
	Version   string
	Mode      string // standalone, cluster, sentinel
}

// Server asks Redis for its size, memory and version. In a Cluster, memory and
// version are one node's.
func (r *Reader) Server(ctx context.Context) (Server, error) {
	total, err := r.size(ctx)
	if err != nil {
		return Server{}, err
	}
	s := Server{TotalKeys: total, Memory: "N/A", Version: "N/A", Mode: "N/A"}
	s.Memory = orNotTold(infoField(ctx, r.redis, "memory", "used_memory_human"))
	s.Version = orNotTold(infoField(ctx, r.redis, "server", "redis_version"))
	s.Mode = orNotTold(infoField(ctx, r.redis, "server", "redis_mode"))
	return s, nil
}

// infoField returns "" when the server does not offer INFO or the field.
func infoField(ctx context.Context, c redis.Cmdable, section, field string) string {
	info, err := c.Info(ctx, section).Result()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	return ""
}

func orNotTold(s string) string {
	if s == "" {
		return "N/A"
	}
	return s
}
