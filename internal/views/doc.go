// Package views renders the dashboard: templ components and the plain structs
// that they show. It knows neither Redis nor Prometheus; whoever calls it
// builds the structs.
package views

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.1020 generate
