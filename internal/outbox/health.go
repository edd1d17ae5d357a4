package outbox

import (
	"context"
	"log/slog"
)

// health tells the log when a task begins to fail and when it works again.
type health struct {
	logger  *slog.Logger
	task    string
	failing bool
}

func (h *health) tell(ctx context.Context, err error) {
	switch {
	case err != nil && !h.failing:
		h.logger.WarnContext(ctx, "the outbox worker fails, it will try again", "task", h.task, "error", err)
	case err == nil && h.failing:
		h.logger.InfoContext(ctx, "the outbox worker works again", "task", h.task)
	}
	h.failing = err != nil
}
