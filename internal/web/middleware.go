package web

import (
	"net"
	"net/http"
	"strings"

	"github.com/oglab/ogcache/internal/instrumented"
)

// guarded answers only requests that come from this machine: there is no login.
// A foreign Host is a rebound DNS name, a Forwarded header a proxy that brings
// somebody from elsewhere.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); host != "localhost" && host != "127.0.0.1" && host != "::1" {
			s.fail(w, r, newProblem(http.StatusForbidden,
				"without a login ogcache answers only to the hosts localhost, 127.0.0.1 and [::1]"))
			return
		}
		for name := range r.Header {
			if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
				s.fail(w, r, newProblem(http.StatusForbidden,
					"without a login ogcache does not answer through a proxy: the request carries "+name))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// contentPolicy allows what the pages bring along and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// bypass reads the request header that goes around the cache. An unknown mode
// is refused: an ignored bypass would measure a speed-up of 1.
func bypass(r *http.Request) (bool, error) {
	switch mode := r.Header.Get("Ogcache-Mode"); mode {
	case "":
		return false, nil
	case "bypass":
		return true, nil
	default:
		return false, newProblem(http.StatusBadRequest, "the header Ogcache-Mode has an unknown value; the only one is bypass")
	}
}

// cacheStatus renders lookups as RFC 9211 has it, one member each, in order.
func cacheStatus(lookups []instrumented.Lookup) string {
	var b strings.Builder
	for i, l := range lookups {
		if i > 0 {
			b.WriteString(", ")
		}
		detail := l.Family.Name
		switch l.Result {
		case instrumented.Hit:
			b.WriteString("ogcache; hit")
		case instrumented.NearHit, instrumented.Stale:
			b.WriteString("ogcache; hit")
			detail += "/" + string(l.Result)
		case instrumented.Bypass:
			b.WriteString("ogcache; fwd=bypass")
			detail += "/" + string(l.Result)
		case instrumented.Error:
			b.WriteString("ogcache; fwd=miss")
			detail += "/" + string(l.Result)
		default:
			b.WriteString("ogcache; fwd=miss")
		}
		b.WriteString(`; detail="` + detail + `"`)
	}
	return b.String()
}
