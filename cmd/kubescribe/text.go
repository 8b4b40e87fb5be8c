package main

import "strings"

// indent puts every line of an error's text behind a dash.
func indent(err error) string {
	return "  - " + strings.ReplaceAll(err.Error(), "\n", "\n  - ")
}
